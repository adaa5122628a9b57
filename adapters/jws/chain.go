package jws

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/ports"
)

const (
	// lead is how long before a key retires the next one is stored. Until then
	// the old one signs, so everybody has seen a key long before it is used.
	lead = time.Hour

	// overlap is how much longer than its last token a key verifies, for clocks
	// that differ.
	overlap = 5 * time.Minute

	// pause is how often at most the store is asked because of an unknown key.
	pause = 2 * time.Second

	// maxAge is how long a key that was removed from the store is still trusted.
	maxAge = time.Minute
)

var errUnknownKey = errors.New("no such signing key")

// A key is a signing key with its private half opened.
type key struct {
	id      string
	private *ecdsa.PrivateKey
	retires time.Time
}

func (k key) signs(now time.Time) bool { return now.Before(k.retires) }
func (k key) verifies(now time.Time) bool {
	return now.Before(k.retires.Add(session.AccessTTL + overlap))
}

// A chain is the keys of one listing, those that retire first at its head.
type chain struct {
	keys   []key
	listed time.Time
	rest   time.Time // the store failed; what can wait is not asked before this
}

// signer returns the key that signs: of those that may, the oldest.
func (c *chain) signer(now time.Time) (key, bool) {
	i := slices.IndexFunc(c.keys, func(k key) bool { return k.signs(now) })
	if i < 0 {
		return key{}, false
	}
	return c.keys[i], true
}

// due reports whether the next key should be made.
func (c *chain) due(now time.Time) bool {
	return len(c.keys) == 0 || !c.keys[len(c.keys)-1].signs(now.Add(lead))
}

func (c *chain) find(id string, now time.Time) (key, bool) {
	i := slices.IndexFunc(c.keys, func(k key) bool { return k.id == id && k.verifies(now) })
	if i < 0 {
		return key{}, false
	}
	return c.keys[i], true
}

// signing returns the key to sign with, and makes the next one when it is due.
func (s *Signer) signing(ctx context.Context) (key, error) {
	known, err := s.current(ctx)
	if err != nil {
		return key{}, err
	}
	now := s.now()
	k, ok := known.signer(now)
	if !known.due(now) || ok && now.Before(known.rest) {
		return k, nil
	}
	rotated, err := s.rotate(ctx, now)
	if err != nil && ok {
		s.leave(known)
		return k, nil // the old key is good yet; a later call tries again
	}
	if err != nil {
		return key{}, err
	}
	k, ok = rotated.signer(now)
	if !ok {
		return key{}, fault.New(fault.Unavailable, "no signing key is in force; try again in a moment")
	}
	return k, nil
}

// rotate makes the next key unless somebody else has.
func (s *Signer) rotate(ctx context.Context, now time.Time) (*chain, error) {
	known, err := s.list(ctx, now)
	if err != nil || !known.due(now) {
		return known, err
	}
	next, err := s.mint(ctx, now, known.end(now))
	if err != nil {
		return nil, err
	}
	if err := s.store.Add(ctx, next); err != nil && !errors.Is(err, fault.Conflict) {
		return nil, err
	}
	return s.list(ctx, s.now())
}

// end is when the next key retires. Replicas that rotate at once agree on it, so
// the store takes one key of theirs.
func (c *chain) end(now time.Time) time.Time {
	from := now.Truncate(time.Hour)
	if n := len(c.keys); n > 0 && c.keys[n-1].retires.After(from) {
		from = c.keys[n-1].retires
	}
	return from.UTC().Add(session.KeyTTL)
}

func (s *Signer) mint(ctx context.Context, now, end time.Time) (ports.SigningKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return ports.SigningKey{}, fault.New(fault.Internal, "").Because(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return ports.SigningKey{}, fault.New(fault.Internal, "").Because(err)
	}
	id := rand.Text()
	box, err := s.ring.Seal(ctx, secret.New(base64.StdEncoding.EncodeToString(der)), label(id))
	if err != nil {
		return ports.SigningKey{}, err
	}
	return ports.SigningKey{
		ID: id, Private: box, Created: now.UTC().Truncate(time.Microsecond), Retires: end,
	}, nil
}

func label(id string) string { return secret.Label(ports.SigningKeyLabel, id) }

// current returns what is known, listed anew when that is old. While the store
// does not answer, what is known stays good.
func (s *Signer) current(ctx context.Context) (*chain, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.New(fault.Unavailable, "the call has ended").Because(err)
	}
	known, now := s.chain.Load(), s.now()
	if known != nil && (now.Sub(known.listed) < maxAge || now.Before(known.rest)) {
		return known, nil
	}
	fresh, err := s.list(ctx, now.Add(-maxAge))
	if err == nil || known == nil || len(known.keys) == 0 {
		return fresh, err
	}
	s.leave(known)
	return known, nil
}

// leave notes that the store failed, so that not every call waits for it.
func (s *Signer) leave(known *chain) {
	s.chain.CompareAndSwap(known, &chain{keys: known.keys, listed: known.listed, rest: s.now().Add(pause)})
}

// list returns the keys as the store had them at asked or later. Callers that
// come together share one listing.
func (s *Signer) list(ctx context.Context, asked time.Time) (*chain, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "the signing keys were not read in time").Because(ctx.Err())
	}
	if known := s.chain.Load(); known != nil && known.listed.After(asked) {
		return known, nil
	}
	now := s.now()
	stored, err := s.store.List(ctx)
	if err != nil {
		return nil, err
	}
	fresh := &chain{listed: now}
	for _, k := range stored {
		opened, err := s.open(ctx, k)
		if err != nil && opened.signs(now) {
			return nil, err
		}
		if err == nil && opened.verifies(now) {
			fresh.keys = append(fresh.keys, opened)
		}
	}
	slices.SortFunc(fresh.keys, func(a, b key) int { return a.retires.Compare(b.retires) })
	s.chain.Store(fresh)
	return fresh, nil
}

// open opens the private half, or takes it from the last listing.
func (s *Signer) open(ctx context.Context, k ports.SigningKey) (key, error) {
	opened := key{id: k.ID, retires: k.Retires}
	if known := s.chain.Load(); known != nil {
		for _, old := range known.keys {
			if old.id == k.ID {
				opened.private = old.private
				return opened, nil
			}
		}
	}
	text, err := s.ring.Open(ctx, k.Private, label(k.ID))
	if err != nil {
		return opened, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	der, err := base64.StdEncoding.DecodeString(text.Reveal())
	if err != nil {
		return opened, unreadable(k.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return opened, unreadable(k.ID)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return opened, unreadable(k.ID)
	}
	opened.private = private
	return opened, nil
}

func unreadable(id string) error {
	return fault.New(fault.Internal, "").Because(fmt.Errorf("signing key %s is not a P-256 key", id))
}
