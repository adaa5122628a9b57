package grants

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

// A keeping is tokens that a user gave just now, on their way to the vault.
type keeping struct {
	g      oauth.Grant
	tokens ports.Tokens
	only   oauth.GrantID // to replace this one or none; empty: any, or a new one
	more   oauth.Scopes  // which it must get, and keep what it has
	unsure []oauth.Grant // writes whose answer was lost
}

// in reports whether what is stored is one of our writes, or came after one: a
// refresh of our tokens must not be undone with those it has used up.
func (k *keeping) in(stored oauth.Grant) bool {
	return slices.ContainsFunc(k.unsure, func(u oauth.Grant) bool {
		return stored.Access == u.Access || (stored.ID == u.ID && stored.Generation > u.Generation)
	})
}

// keep stores the user's grant, in place of an earlier one if there is one. It
// does not give up while the store is away and there is time.
func (s *Service) keep(ctx context.Context, k *keeping) (oauth.Grant, error) {
	for pause := newPause(); ; {
		kept, err := s.keepOnce(ctx, k)
		switch {
		case errors.Is(err, fault.Unavailable):
			if !pause(ctx) {
				return oauth.Grant{}, err
			}
		case !errors.Is(err, fault.Conflict):
			return kept, err
		}
	}
}

func (s *Service) keepOnce(ctx context.Context, k *keeping) (oauth.Grant, error) {
	now := s.clock.Now()
	old, err := s.vault.Find(ctx, k.g.App, k.g.XApp, k.g.User.ID)
	if err := k.mayReplace(old, err); err != nil {
		return oauth.Grant{}, err
	}
	switch {
	case errors.Is(err, fault.NotFound):
		next, err := s.founded(ctx, k.g, k.tokens, now)
		if err != nil {
			return oauth.Grant{}, err
		}
		return k.write(next, func() (oauth.Grant, error) { return s.vault.Create(ctx, next) })
	case err != nil:
		return oauth.Grant{}, err
	case k.in(old):
		return old, nil
	case old.State == oauth.Revoked:
		// Sessions that a revocation did not reach must not come to life again.
		if _, err := s.sessions.EndAll(ctx, old.ID, now); err != nil {
			return oauth.Grant{}, err
		}
	}
	pair, err := s.seal(ctx, old, k.tokens, now)
	if err != nil {
		return oauth.Grant{}, err
	}
	next := old.Reconnect(k.g.User, pair, now)
	return k.write(next, func() (oauth.Grant, error) { return s.vault.Swap(ctx, old, next) })
}

// write remembers what was to be written where nobody knows whether it was.
func (k *keeping) write(next oauth.Grant, do func() (oauth.Grant, error)) (oauth.Grant, error) {
	kept, err := do()
	if errors.Is(err, fault.Unavailable) {
		k.unsure = append(k.unsure, next)
	}
	return kept, err
}

// create stores a grant of a user who has none for the application and X App;
// else it returns fault.Conflict.
func (s *Service) create(
	ctx context.Context, g oauth.Grant, tokens ports.Tokens, now time.Time,
) (oauth.Grant, error) {
	g, err := s.founded(ctx, g, tokens, now)
	if err != nil {
		return oauth.Grant{}, err
	}
	return s.vault.Create(ctx, g)
}

// founded is a new grant with the tokens.
func (s *Service) founded(
	ctx context.Context, g oauth.Grant, tokens ports.Tokens, now time.Time,
) (oauth.Grant, error) {
	g.ID, g.Created = oauth.NewGrantID(now, rand.Text()), now
	pair, err := s.seal(ctx, g, tokens, now)
	if err != nil {
		return oauth.Grant{}, err
	}
	g = g.Reconnect(g.User, pair, now)
	g.Generation = 0
	return g, nil
}
