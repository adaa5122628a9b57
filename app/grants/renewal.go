package grants

import (
	"context"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// renew keeps the pair X gave in exchange for g's refresh token: first in the
// journal, however long the rest took, then in the vault. Where the vault does
// not take it in time, Replay goes on.
func (s *Service) renew(ctx context.Context, g oauth.Grant, tokens ports.Tokens) (oauth.Grant, error) {
	now := s.clock.Now()
	safe, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer cancel()
	pair, err := s.seal(safe, g, tokens, now)
	if err != nil {
		return oauth.Grant{}, err
	}
	r := ports.Renewal{
		Attempt: g.Lease.Holder, Grant: g.ID, App: g.App, XApp: g.XApp, User: g.User.ID,
		Generation: g.Generation, Pair: pair, At: now,
	}
	if err := s.journal.Keep(safe, r); err != nil {
		s.loose.keep(r) // the vault may take it all the same
		s.observe(safe, "grant.journal", g.App, g, time.Now(), err)
	}
	next, err := s.commit(ctx, g, r)
	if err == nil || over(err) {
		s.drop(safe, g, r.Attempt)
	}
	return next, err
}

// drop forgets what the journal has of an attempt. Where that fails it is
// replayed, which does no harm.
func (s *Service) drop(ctx context.Context, g oauth.Grant, attempt string) {
	s.loose.drop(attempt)
	if err := s.journal.Drop(ctx, attempt); err != nil {
		s.observe(ctx, "grant.journal", g.App, g, time.Now(), err)
	}
}

// errOver says that a renewal is of no use any more.
var errOver = errors.New("the renewal is over")

func over(err error) bool { return errors.Is(err, errOver) }

// commit brings a renewal to the vault, whatever the store does and whoever else
// writes: what is stored is worthless until then. Only a new consent or a
// revocation stands before it. stored is the grant as it was last seen.
func (s *Service) commit(ctx context.Context, stored oauth.Grant, r ports.Renewal) (oauth.Grant, error) {
	for pause := newPause(); ; {
		if next, err := s.look(ctx, stored, r); next.ID != "" || err != nil {
			return next, err
		}
		from := stored
		from.Generation = max(from.Generation, r.Generation) // of a store that was set back
		next, err := s.vault.Swap(ctx, stored, from.Renew(r.Pair, r.At))
		if err == nil {
			return next, nil
		}
		away := errors.Is(err, fault.Unavailable) && pause(ctx)
		if !away && !errors.Is(err, fault.Conflict) {
			return oauth.Grant{}, err
		}
		if stored, err = s.seen(ctx, r.Grant, pause); err != nil {
			return oauth.Grant{}, err
		}
	}
}

// seen reads the grant, and waits for a store that is away.
func (s *Service) seen(ctx context.Context, id oauth.GrantID, pause func(context.Context) bool) (oauth.Grant, error) {
	for {
		g, err := s.vault.Get(ctx, id)
		if !errors.Is(err, fault.Unavailable) || !pause(ctx) {
			return g, err
		}
	}
}

// newPause returns what waits longer each time, up to a second, and reports
// whether the time passed before the context ended.
func newPause() func(context.Context) bool {
	wait := 5 * time.Millisecond
	return func(ctx context.Context) bool {
		wait = min(2*wait, time.Second)
		return sleep(ctx, wait)
	}
}

// look returns the grant if it has the renewal already, or why it is over;
// neither where it is still to be stored. A store that was set back to before
// the refresh has none of it.
func (s *Service) look(ctx context.Context, stored oauth.Grant, r ports.Renewal) (oauth.Grant, error) {
	switch {
	case stored.Access == r.Pair.Access:
		return stored, nil // an earlier swap was kept, its answer lost
	case stored.Generation > r.Generation:
		return oauth.Grant{}, fault.New(fault.Conflict, "the user has connected again meanwhile").Because(errOver)
	case stored.State == oauth.Revoked:
		if err := s.giveBackRenewal(ctx, stored, r); err != nil {
			return oauth.Grant{}, errors.Join(oauth.ErrRevoked(), err)
		}
		return oauth.Grant{}, errors.Join(oauth.ErrRevoked(), errOver)
	}
	return oauth.Grant{}, nil
}

// giveBackRenewal has X forget a renewal of a grant that was revoked meanwhile.
func (s *Service) giveBackRenewal(ctx context.Context, g oauth.Grant, r ports.Renewal) error {
	var tokens ports.Tokens
	for _, part := range []struct {
		box  secret.Box
		kind string
		into *secret.Text
	}{{r.Pair.Access, oauth.AccessLabel, &tokens.Access}, {r.Pair.Refresh, oauth.RefreshLabel, &tokens.Refresh}} {
		if part.box.Empty() {
			continue
		}
		token, err := s.ring.Open(ctx, part.box, g.Label(part.kind))
		if err != nil {
			return err
		}
		*part.into = token
	}
	return s.giveBack(ctx, g, tokens)
}

// giveBack has X forget tokens that cannot be kept, so that no permission stays
// alive which nobody can take back.
func (s *Service) giveBack(ctx context.Context, g oauth.Grant, tokens ports.Tokens) error {
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
	return err
}
