package operators

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"perch/domain/apikey"
	"perch/domain/fault"
	"perch/domain/operator"
	"perch/domain/secret"
)

// MaxOverlap is how long a token that was rotated may stay good at most.
const MaxOverlap = 30 * 24 * time.Hour

// Add stores a new operator with the name, role and end of o, and returns it
// with its token, which is not kept and cannot be shown again.
func (s *Service) Add(ctx context.Context, by, o operator.Operator) (operator.Operator, secret.Text, error) {
	if err := Permit(by, operator.Owner); err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	if err := future(o.Expires); err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	return s.mint(ctx, o)
}

func future(expires time.Time) error {
	if !expires.IsZero() && !time.Now().Before(expires) {
		return fault.New(fault.Invalid, "the token would have expired already; choose a later time").
			With("field", "expires_at")
	}
	return nil
}

func (s *Service) mint(ctx context.Context, o operator.Operator) (operator.Operator, secret.Text, error) {
	if err := o.Check(); err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	text := prefix + rand.Text()
	digests, err := s.ring.Digests(ctx, secret.New(text), digestLabel)
	if err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	o, err = s.store.Create(ctx, operator.Operator{
		ID: operator.ID("operator_" + strings.ToLower(rand.Text())), Name: o.Name, Role: o.Role,
		Hint: apikey.Hint(text), Digest: digests[0], Created: now(), Expires: o.Expires,
	})
	if err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	return o, secret.New(text), nil
}

// now is the time as stores keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// A Change says what of an operator changes; what is nil stays.
type Change struct {
	Name    *string
	Role    *operator.Role
	Expires *time.Time // a zero time is never
}

// Change changes an operator. What it may do changes with its next call.
func (s *Service) Change(
	ctx context.Context, by operator.Operator, id operator.ID, c Change,
) (operator.Operator, error) {
	return s.edit(ctx, by, id, func(o operator.Operator) (operator.Operator, error) {
		if !o.Revoked.IsZero() {
			return o, revoked(id)
		}
		if c.Name != nil {
			o.Name = *c.Name
		}
		if c.Role != nil {
			o.Role = *c.Role
		}
		if c.Expires != nil {
			o.Expires = *c.Expires
			if err := future(o.Expires); err != nil {
				return o, err
			}
		}
		return o, o.Check()
	})
}

func revoked(id operator.ID) error {
	return fault.New(fault.Conflict, "the operator %s was revoked, which lasts; add a new one", id).
		Named("operator-revoked")
}

// Revoke ends an operator's token. Doing it again changes nothing.
func (s *Service) Revoke(ctx context.Context, by operator.Operator, id operator.ID) (operator.Operator, error) {
	return s.edit(ctx, by, id, func(o operator.Operator) (operator.Operator, error) {
		if o.Revoked.IsZero() {
			o.Revoked = now()
		}
		return o, nil
	})
}

// Rotate gives an operator a new token, under a new ID, with the old one's name
// and role, and as much time as that had in all. The old token stays good for
// the overlap, unless it ends before; without one it is revoked. An operator who
// was changed meanwhile is fault.Conflict.
func (s *Service) Rotate(
	ctx context.Context, by operator.Operator, id operator.ID, overlap time.Duration,
) (operator.Operator, secret.Text, error) {
	if err := Permit(by, operator.Owner); err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	if overlap < 0 || overlap > MaxOverlap {
		return operator.Operator{}, secret.Text{}, fault.New(fault.Invalid,
			"the old token can stay good for 0 to %d seconds", int(MaxOverlap.Seconds())).With("field", "overlap_seconds")
	}
	old, err := s.Get(ctx, id)
	if err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	if !old.Good(time.Now()) {
		return operator.Operator{}, secret.Text{}, fault.New(fault.Conflict,
			"the operator's token is not good any more; add a new one").Named("operator-revoked")
	}
	next := old
	if !old.Expires.IsZero() {
		next.Expires = now().Add(old.Expires.Sub(old.Created))
	}
	next, text, err := s.mint(ctx, next)
	if err != nil {
		return operator.Operator{}, secret.Text{}, err
	}
	_, err = s.edit(ctx, by, id, func(o operator.Operator) (operator.Operator, error) {
		switch end := now().Add(overlap); {
		case !o.Revoked.IsZero():
			return o, revoked(id)
		case o.Version != old.Version: // the new token may be for more than it should
			return o, fault.New(fault.Conflict, "the operator was changed meanwhile; look at it and rotate it again").
				Named("operator-changed")
		case overlap == 0:
			o.Revoked = end
		case o.Expires.IsZero() || end.Before(o.Expires):
			o.Expires = end
		}
		return o, nil
	})
	if err != nil {
		return operator.Operator{}, secret.Text{}, errors.Join(err, s.undo(ctx, next.ID))
	}
	return next, text, nil
}

// undo takes back an operator whose token nobody has seen.
func (s *Service) undo(ctx context.Context, id operator.ID) error {
	ctx, cancel := regardless(ctx)
	defer cancel()
	o, err := s.store.Get(ctx, id)
	if err != nil {
		return err
	}
	next := o
	next.Revoked = now()
	_, err = s.store.Swap(ctx, o, next)
	return err
}
