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
	"perch/ports"
)

// leaseTTL is how long a refresh may take; the call to X must end within it.
const leaseTTL = 30 * time.Second

// Access returns an access token of the grant that is good for at least
// oauth.Margin. If it is stale it is refreshed, once, however many callers ask.
// While somebody else refreshes, or nobody knows how a refresh ended, a token
// that X should still accept is returned.
func (s *Service) Access(ctx context.Context, g oauth.Grant) (secret.Text, error) {
	for {
		now := clock()
		switch {
		case g.State == oauth.Revoked:
			return secret.Text{}, oauth.ErrRevoked()
		case g.Fresh(now), g.Unsettled() && g.Usable(now):
			return s.openAccess(ctx, g)
		}
		next, err := s.renewed(ctx, g, now)
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

// renewed takes the grant's lease and refreshes it; fault.Conflict means that
// somebody else has done so, or is doing it.
func (s *Service) renewed(ctx context.Context, g oauth.Grant, now time.Time) (oauth.Grant, error) {
	leased, err := g.Acquire(rand.Text(), now, leaseTTL)
	if err != nil {
		return oauth.Grant{}, err
	}
	if leased, err = s.vault.Swap(ctx, g, leased); err != nil {
		return oauth.Grant{}, err
	}
	return s.refresh(ctx, leased)
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

// refresh presents the refresh token of a grant whose lease we hold, once.
func (s *Service) refresh(ctx context.Context, g oauth.Grant) (_ oauth.Grant, err error) {
	// From here on the client may leave, but the tokens must not be lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTTL)
	defer cancel()
	began := time.Now()
	defer func() { s.observe(ctx, "grant.refresh", g.App, g, began, err) }()

	tokens, err := s.present(ctx, g)
	now := clock()
	switch {
	case err == nil:
		return s.renew(ctx, g, tokens, now)
	case errors.Is(err, ports.ErrRejected):
		if _, swapErr := s.vault.Swap(ctx, g, g.Doubt(now)); swapErr != nil {
			err = errors.Join(err, swapErr)
		}
	case errors.Is(err, fault.Limited):
		if _, swapErr := s.vault.Swap(ctx, g, g.Postpone(waitOf(err), now)); swapErr != nil {
			err = errors.Join(err, swapErr)
		}
	case errors.Is(err, ports.ErrUnsent), errors.Is(err, fault.Upstream), errors.Is(err, fault.Internal):
		// X has not used the token up: give the lease back.
		if _, swapErr := s.vault.Swap(ctx, g, g.Release()); swapErr != nil {
			err = errors.Join(err, swapErr)
		}
	default:
		// Nobody knows what X did. The lease runs out by itself, then it is tried once more.
	}
	return oauth.Grant{}, err
}

func (s *Service) present(ctx context.Context, g oauth.Grant) (ports.Tokens, error) {
	x, err := s.xapps.Get(ctx, g.XApp)
	if err != nil {
		return ports.Tokens{}, errors.Join(err, ports.ErrUnsent)
	}
	old, err := s.ring.Open(ctx, g.Refresh, g.Label(oauth.RefreshLabel))
	if err != nil {
		return ports.Tokens{}, err
	}
	return s.x.Refresh(ctx, x, old)
}

// renew keeps the pair X gave in exchange for g's refresh token, whatever the
// store does and whoever else writes: what is stored is worthless until then.
// Only a new consent or a revocation stands before it.
func (s *Service) renew(
	ctx context.Context, g oauth.Grant, tokens ports.Tokens, now time.Time,
) (oauth.Grant, error) {
	pair, err := s.seal(ctx, g, tokens, now)
	if err != nil {
		return oauth.Grant{}, err
	}
	stored := g
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		next, err := s.vault.Swap(ctx, stored, stored.Renew(pair, now))
		if err == nil {
			return next, nil
		}
		if !errors.Is(err, fault.Conflict) && !sleep(ctx, wait) {
			return oauth.Grant{}, err
		}
		current, err := s.vault.Get(ctx, g.ID)
		switch {
		case err != nil && !sleep(ctx, wait):
			return oauth.Grant{}, err
		case err != nil:
			continue
		case current.Access == pair.Access:
			return current, nil // an earlier swap was kept, its answer lost
		case current.State == oauth.Revoked:
			s.giveBack(ctx, g, tokens)
			return oauth.Grant{}, oauth.ErrRevoked()
		case current.Refresh != g.Refresh:
			return oauth.Grant{}, fault.New(fault.Conflict, "the user has connected again meanwhile")
		}
		stored = current
	}
}

// waitOf is how long to leave X alone after it said that it is asked too often:
// what it said, from a minute to one of its windows.
func waitOf(err error) time.Duration {
	wait := time.Minute
	if f, ok := errors.AsType[*fault.Error](err); ok {
		wait = max(f.Wait, wait)
	}
	return min(wait, 15*time.Minute)
}

// giveBack has X forget tokens that cannot be kept, so that no permission stays
// alive which nobody can take back.
func (s *Service) giveBack(ctx context.Context, g oauth.Grant, tokens ports.Tokens) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer cancel()
	began := time.Now()
	x, err := s.xapps.Get(ctx, g.XApp)
	for _, token := range []secret.Text{tokens.Refresh, tokens.Access} {
		if err == nil && !token.Empty() {
			err = s.x.Revoke(ctx, x, token)
		}
	}
	s.observe(ctx, "grant.give_back", g.App, g, began, err)
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

// settled is how old a refreshed token must be for a refusal of X to be the
// token's fault. Refreshing again sooner would only wear X out.
const settled = time.Minute

// Distrust marks the grant's access token as refused by X, unless it has been
// replaced since, and returns the grant as it is now. A token that X gave a
// moment ago stays; that X refuses it too is fault.Upstream.
func (s *Service) Distrust(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	young := false
	now, err := s.change(ctx, g.ID, func(stored oauth.Grant) oauth.Grant {
		now := clock()
		young = false
		switch {
		case stored.Access != g.Access, stored.State == oauth.Revoked, !stored.Usable(now):
			return stored
		case stored.Generation > 0 && stored.Fresh(now) && now.Sub(stored.Updated) < settled:
			young = true
			return stored
		}
		return stored.Stale(now)
	})
	if err == nil && young {
		return oauth.Grant{}, fault.New(fault.Upstream, "X refuses an access token it gave less than a minute ago; "+
			"X may be having trouble. Try again in a minute").Named("x-unauthorized").After(settled)
	}
	return now, err
}

func (s *Service) observe(
	ctx context.Context, verb string, app client.AppID, g oauth.Grant, began time.Time, err error,
) {
	s.observer.Observe(ctx, audit.Event{
		At: clock(), Verb: verb, App: app, XApp: g.XApp, Grant: g.ID, User: g.User.ID,
		Outcome: outcome(err), Duration: time.Since(began), Err: err,
	})
}
