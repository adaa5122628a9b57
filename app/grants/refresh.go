package grants

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

// leaseTTL is how long a refresh may take; presentBy is how far into it X may be
// asked at the latest, so that the answer comes while the lease lasts.
const (
	leaseTTL  = 30 * time.Second
	presentBy = 9 * time.Second
)

// WaitAndSee is how long whoever takes an unsettled grant over watches it first.
// One that X had answered, and whom its store failed, brings the answer within
// that time after the store is back; see [Service.Replay].
const WaitAndSee = 5 * time.Second

// renewed takes the grant's lease and refreshes it; fault.Conflict means that
// somebody else has done so, or is doing it. Leases are judged by the store's
// clock.
func (s *Service) renewed(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	s.underway.Add(1)
	defer s.underway.Add(-1)
	attempt := rand.Text()
	if _, err := g.Acquire(attempt, s.clock.Now(), leaseTTL); err != nil {
		return oauth.Grant{}, err // as nearly always; it spares the store a question
	}
	tell, err := s.breaker.Allow(g.XApp)
	if err != nil {
		return oauth.Grant{}, err
	}
	trial := ports.Untried
	defer func() { tell(trial, err) }()
	if err := s.clock.Look(ctx); err != nil {
		return oauth.Grant{}, err
	}
	now, began := s.clock.Now(), time.Now()
	if g.Fresh(now) {
		return g, nil // our own clock was wrong
	}
	leased, err := g.Acquire(attempt, now, leaseTTL)
	if err != nil {
		return oauth.Grant{}, err
	}
	// From here on the client may leave: a lease must not be left behind, and what
	// X gives must not be lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTTL)
	defer cancel()
	if leased, err = s.lease(ctx, g, leased); err != nil {
		return oauth.Grant{}, err
	}
	if g.Unsettled() {
		if leased, err = s.watch(ctx, leased); err != nil {
			return oauth.Grant{}, err
		}
	}
	leased, trial, err = s.refresh(ctx, leased, began)
	return leased, err
}

// lease stores a lease. If the store's answer is lost the lease may be there.
func (s *Service) lease(ctx context.Context, g, leased oauth.Grant) (oauth.Grant, error) {
	stored, err := s.vault.Swap(ctx, g, leased)
	if !errors.Is(err, fault.Unavailable) {
		return stored, err
	}
	if now, readErr := s.vault.Get(ctx, g.ID); readErr == nil && now.Lease.Holder == leased.Lease.Holder {
		return now, nil
	}
	return oauth.Grant{}, err
}

// watch waits whether the attempt before ours comes to an end after all.
func (s *Service) watch(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	if !sleep(ctx, s.waitAndSee) {
		return oauth.Grant{}, fault.New(fault.Unavailable, "the grant was still being refreshed when time ran out; "+
			"try again").Named("grant-busy").After(time.Second).Because(ctx.Err())
	}
	stored, err := s.vault.Get(ctx, g.ID)
	if err == nil && (stored.Lease.Holder != g.Lease.Holder || stored.Generation != g.Generation) {
		err = fault.New(fault.Conflict, "the grant has been refreshed, or has changed, meanwhile")
	}
	return stored, err
}

// refresh presents the refresh token of a grant whose lease we hold, once, and
// says what that tells of X's token endpoint. began is when the lease was taken.
func (s *Service) refresh(
	ctx context.Context, g oauth.Grant, began time.Time,
) (_ oauth.Grant, trial ports.Trial, err error) {
	defer func() { s.observe(ctx, "grant.refresh", g.App, g, began, err) }()
	tokens, err := s.present(ctx, g, began)
	if err == nil {
		next, err := s.renew(ctx, g, tokens)
		return next, ports.Worked, err
	}
	s.drop(ctx, g, g.Lease.Holder)
	end, trial := s.verdict(g, err)
	if end != nil {
		err = errors.Join(err, s.settle(ctx, g, end))
	}
	return oauth.Grant{}, trial, err
}

// verdict is what becomes of the lease after an attempt that gave no tokens, and
// what the attempt tells of X. Without an end nobody knows what X did: the lease
// runs out by itself, and then it is tried once more.
func (s *Service) verdict(g oauth.Grant, err error) (end func(oauth.Grant) oauth.Grant, t ports.Trial) {
	now := s.clock.Now()
	switch {
	case errors.Is(err, ports.ErrRejected) && g.State == oauth.Suspect: // which tells nothing new
		return func(g oauth.Grant) oauth.Grant { return g.Doubt(now) }, ports.Untried
	case errors.Is(err, ports.ErrRejected):
		return func(g oauth.Grant) oauth.Grant { return g.Doubt(now) }, ports.Failed
	case errors.Is(err, fault.Limited):
		return func(g oauth.Grant) oauth.Grant { return g.Postpone(waitOf(err), now) }, ports.Untried
	case errors.Is(err, errUnpresented), errors.Is(err, fault.Internal):
		return oauth.Grant.Release, ports.Untried
	case errors.Is(err, ports.ErrUnsent), errors.Is(err, fault.Upstream):
		return oauth.Grant.Release, ports.Failed // X has not used the token up
	}
	return nil, ports.Failed
}

// settle ends our attempt, whatever else has changed about the grant meanwhile.
func (s *Service) settle(ctx context.Context, g oauth.Grant, end func(oauth.Grant) oauth.Grant) error {
	_, err := s.change(ctx, g.ID, func(stored oauth.Grant) oauth.Grant {
		if stored.Lease.Holder != g.Lease.Holder {
			return stored
		}
		return end(stored)
	})
	return err
}

// errUnpresented marks attempts that ended before X was asked.
var errUnpresented = errors.New("the refresh token was not presented")

// present asks X, once, with everything that may fail before that behind it.
func (s *Service) present(ctx context.Context, g oauth.Grant, began time.Time) (ports.Tokens, error) {
	x, err := s.xapps.Get(ctx, g.XApp)
	if err != nil {
		return ports.Tokens{}, errors.Join(err, errUnpresented)
	}
	old, err := s.ring.Open(ctx, g.Refresh, g.Label(oauth.RefreshLabel))
	if err != nil {
		return ports.Tokens{}, err
	}
	if err := s.journal.Reserve(ctx, g.Lease.Holder); err != nil {
		return ports.Tokens{}, errors.Join(err, errUnpresented)
	}
	// A machine that was suspended notices by the time of day alone.
	if time.Since(began) > presentBy || s.clock.Now().After(g.Lease.Until.Add(presentBy-leaseTTL)) {
		return ports.Tokens{}, fault.New(fault.Unavailable, "the grant could not be refreshed in time; try again").
			Named("grant-busy").After(time.Second).Because(errUnpresented)
	}
	return s.x.Refresh(ctx, x, old)
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
