package jws

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/ports"
)

const issuer = "https://perch.example"

// A shelf is a store of signing keys that can fail and that counts.
type shelf struct {
	mu    sync.Mutex
	keys  []ports.SigningKey
	lists int
	adds  int
	down  bool
	slow  time.Duration
}

func (s *shelf) Add(_ context.Context, k ports.SigningKey) error {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return fault.New(fault.Unavailable, "the shelf is down")
	}
	for _, old := range s.keys {
		if old.ID == k.ID || !old.Retires.Before(k.Retires) {
			return fault.New(fault.Conflict, "taken")
		}
	}
	s.adds++
	s.keys = append(s.keys, k)
	return nil
}

func (s *shelf) List(context.Context) ([]ports.SigningKey, error) {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	if s.down {
		return nil, fault.New(fault.Unavailable, "the shelf is down")
	}
	keys := slices.Clone(s.keys)
	slices.SortFunc(keys, func(a, b ports.SigningKey) int {
		return cmp.Or(b.Retires.Compare(a.Retires), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

func (s *shelf) Reseal(_ context.Context, id string, old, next secret.Box) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.keys, func(k ports.SigningKey) bool { return k.ID == id && k.Private == old })
	if i < 0 {
		return fault.New(fault.Conflict, "changed meanwhile")
	}
	s.keys[i].Private = next
	return nil
}

func (s *shelf) Sweep(_ context.Context, before time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.keys)
	s.keys = slices.DeleteFunc(s.keys, func(k ports.SigningKey) bool { return k.Retires.Before(before) })
	return n - len(s.keys), nil
}

func (s *shelf) fail(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *shelf) counts() (lists, adds int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists, s.adds
}

// A house is several signers over one store and one keyring.
type house struct {
	shelf *shelf
	ring  ports.Keyring
}

func newHouse() house { return house{shelf: &shelf{}, ring: keyring.Ephemeral()} }

func (h house) signer() *Signer { return New(h.shelf, h.ring, issuer, time.Now) }

func said(now time.Time) session.Claims {
	now = now.UTC().Truncate(time.Second)
	return session.Claims{
		ID: "jti-1", Issuer: issuer, App: "app", Grant: "grant", Session: "session", User: "42",
		Scopes: "tweet.read users.read", Issued: now, Expires: now.Add(session.AccessTTL),
	}
}

func sign(t *testing.T, s *Signer) secret.Text {
	t.Helper()
	token, err := s.Sign(t.Context(), said(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func good(t *testing.T, s *Signer, token secret.Text) {
	t.Helper()
	if _, err := s.Verify(t.Context(), token); err != nil {
		t.Errorf("a good token is refused: %v", err)
	}
}
