package clients

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/secret"
)

// IssueKey makes a key for the application and returns it with its text, which
// is not kept and cannot be shown again.
func (s *Service) IssueKey(ctx context.Context, k apikey.Key) (apikey.Key, secret.Text, error) {
	if err := s.checkKey(ctx, k); err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	text := k.Kind.Prefix() + rand.Text()
	digests, err := s.digests(ctx, text)
	if err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	k.ID = apikey.ID("key_" + strings.ToLower(rand.Text()))
	k.Hint, k.Digest = apikey.Hint(text), digests[0]
	k.Created, k.Revoked = moment(time.Now()), time.Time{}
	if k, err = s.keys.Create(ctx, k); err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	return k, secret.New(text), nil
}

func (s *Service) checkKey(ctx context.Context, k apikey.Key) error {
	if _, err := s.Get(ctx, k.App); err != nil {
		return err
	}
	if err := k.Check(); err != nil {
		return err
	}
	return checkExpiry(k.Expires)
}

func checkExpiry(at time.Time) error {
	if !at.IsZero() && at.Before(time.Now()) {
		return fault.New(fault.Invalid, "the key would have expired already; choose a later time, or revoke it").
			With("field", "expires_at")
	}
	return nil
}

// Keys returns up to n keys of the application after the given one.
func (s *Service) Keys(ctx context.Context, app client.AppID, after apikey.ID, n int) ([]apikey.Key, error) {
	return s.keys.List(ctx, app, after, n)
}

// Key returns the key, or fault.NotFound.
func (s *Service) Key(ctx context.Context, id apikey.ID) (apikey.Key, error) {
	k, err := s.keys.Get(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return k, fault.New(fault.NotFound, "no API key has the ID %q", id)
	}
	return k, err
}

// RevokeKey ends a key. Revoking it again changes nothing.
func (s *Service) RevokeKey(ctx context.Context, id apikey.ID) (apikey.Key, error) {
	return s.edit(ctx, id, func(k apikey.Key) (apikey.Key, error) {
		if k.Revoked.IsZero() {
			k.Revoked = moment(time.Now())
		}
		return k, nil
	})
}

// ChangeKey applies edit to the key as it is stored: its name, its expiry, what
// narrows it and whether it is for batches. All else stays as it was.
func (s *Service) ChangeKey(
	ctx context.Context, id apikey.ID, edit func(apikey.Key) apikey.Key,
) (apikey.Key, error) {
	return s.edit(ctx, id, func(old apikey.Key) (apikey.Key, error) {
		if !old.Revoked.IsZero() {
			return old, fault.New(fault.Conflict, "this key was revoked, which is for good; make a new one").
				Named("key-revoked")
		}
		to, next := edit(old), old
		next.Name, next.Grants, next.Actions, next.Addresses = to.Name, to.Grants, to.Actions, to.Addresses
		next.Batch = to.Batch
		if err := next.Check(); err != nil || to.Expires.Equal(old.Expires) {
			return next, err
		}
		next.Expires = to.Expires
		return next, checkExpiry(next.Expires)
	})
}

// maxOverlap is how long an old key may go on beside the new one.
const maxOverlap = 30 * 24 * time.Hour

// RotateKey makes a key that may do what the given one may, and returns it with
// its text. The given key ends after the overlap, or sooner if it would anyway;
// without one it is revoked. If it was changed meanwhile, which is fault.Conflict,
// there is no new key: that could do more than it should.
func (s *Service) RotateKey(
	ctx context.Context, id apikey.ID, overlap time.Duration,
) (apikey.Key, secret.Text, error) {
	old, err := s.Key(ctx, id)
	if err != nil {
		return old, secret.Text{}, err
	}
	now := moment(time.Now())
	switch {
	case overlap < 0 || overlap > maxOverlap:
		return old, secret.Text{}, fault.New(fault.Invalid, "the old key may go on for 30 days at most, and not less than 0")
	case !old.Good(now):
		return old, secret.Text{}, fault.New(fault.Conflict, "this key has ended already; make a new one").
			Named("key-ended")
	}
	next, text, err := s.IssueKey(ctx, old.Next(now))
	if err != nil {
		return next, text, err
	}
	cut := old.Until(now.Add(overlap))
	if overlap == 0 {
		cut = old
		cut.Revoked = now
	}
	_, err = s.keys.Swap(ctx, old, cut)
	if errors.Is(err, fault.Conflict) {
		err = fault.New(fault.Conflict, "the key was changed meanwhile; look at it and rotate it again").
			Named("key-changed").Because(err)
	}
	if err != nil {
		return apikey.Key{}, secret.Text{}, errors.Join(err, s.takeBack(ctx, next.ID))
	}
	return next, text, nil
}

// takeBack ends a key that nobody has seen, whether or not somebody still waits
// for the answer.
func (s *Service) takeBack(ctx context.Context, id apikey.ID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, err := s.RevokeKey(ctx, id)
	return err
}

// edit stores what edit makes of the key, however many others change it too.
func (s *Service) edit(
	ctx context.Context, id apikey.ID, edit func(apikey.Key) (apikey.Key, error),
) (apikey.Key, error) {
	for {
		old, err := s.Key(ctx, id)
		if err != nil {
			return old, err
		}
		next, err := edit(old)
		if err != nil {
			return old, err
		}
		next, err = s.keys.Swap(ctx, old, next)
		if !errors.Is(err, fault.Conflict) {
			return next, err
		}
	}
}

// moment is the time as stores keep it.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
