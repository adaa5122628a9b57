package grants

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"time"

	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// Access returns an access token of the grant that is good for at least
// oauth.Margin. If it is stale it is refreshed, once, however many callers ask.
// While somebody else refreshes, or nobody knows how a refresh ended, a token
// that X should still accept is returned.
func (s *Service) Access(ctx context.Context, g oauth.Grant) (secret.Text, error) {
	for {
		now := s.clock.Now()
		switch {
		case g.State == oauth.Revoked:
			return secret.Text{}, oauth.ErrRevoked()
		case g.Fresh(now), g.Unsettled() && g.Usable(now):
			return s.openAccess(ctx, g)
		}
		next, err := s.renewed(ctx, g)
		switch {
		case err == nil:
			return s.openAccess(ctx, next)
		case !errors.Is(err, fault.Conflict) && g.Usable(now) && !oauth.IsRevoked(err):
			return s.openAccess(ctx, g) // X still accepts it, whatever went wrong
		case !errors.Is(err, fault.Conflict):
			return secret.Text{}, err
		case !g.Usable(now):
			if err := pause(ctx); err != nil {
				return secret.Text{}, err
			}
		}
		if g, err = s.Get(ctx, g.App, g.ID); err != nil {
			return secret.Text{}, err
		}
	}
}

// pause waits a little before looking again, not all waiters at once.
func pause(ctx context.Context) error {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(30*time.Millisecond)))
	if err != nil {
		return err
	}
	if !sleep(ctx, 10*time.Millisecond+time.Duration(n.Int64())) {
		return fault.New(fault.Unavailable, "the grant was still being refreshed when time ran out; try again").
			Named("grant-busy").After(time.Second).Because(ctx.Err())
	}
	return nil
}

// sleep reports whether the time passed before the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// wornIn is how old a refreshed token must be for a refusal of X to be the
// token's fault. Refreshing again sooner would only wear X out.
const wornIn = time.Minute

// Distrust marks the grant's access token as refused by X, unless it has been
// replaced since, and returns the grant as it is now. A token that X gave a
// moment ago stays; that X refuses it too is fault.Upstream.
func (s *Service) Distrust(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	young := false
	stored, err := s.change(ctx, g.ID, func(stored oauth.Grant) oauth.Grant {
		now := s.clock.Now()
		young = false
		switch {
		case stored.Generation != g.Generation, stored.State == oauth.Revoked, !stored.Usable(now):
			return stored
		case stored.Generation > 0 && stored.Fresh(now) && now.Sub(stored.Updated) < wornIn:
			young = true
			return stored
		}
		return stored.Stale(now)
	})
	if err == nil && young {
		return oauth.Grant{}, fault.New(fault.Upstream, "X refuses an access token it gave less than a minute ago; "+
			"X may be having trouble. Try again in a minute").Named("x-unauthorized").After(wornIn)
	}
	return stored, err
}

func (s *Service) observe(
	ctx context.Context, verb string, app client.AppID, g oauth.Grant, began time.Time, err error,
) {
	s.observer.Observe(ctx, audit.Event{
		At: s.clock.Now(), Verb: verb, App: app, XApp: g.XApp, Grant: g.ID, User: g.User.ID,
		Outcome: outcome(err), Duration: time.Since(began), Err: err,
	})
}
