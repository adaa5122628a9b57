package grants

import (
	"context"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/ports"
)

// renew keeps the pair X gave in exchange for g's refresh token: first in the
// journal, then in the vault. Where the vault does not take it in time, Replay
// goes on.
func (s *Service) renew(ctx context.Context, g oauth.Grant, tokens ports.Tokens) (oauth.Grant, error) {
	now := s.clock.Now()
	pair, err := s.seal(ctx, g, tokens, now)
	if err != nil {
		return oauth.Grant{}, err
	}
	r := ports.Renewal{
		Attempt: g.Lease.Holder, Grant: g.ID, App: g.App, XApp: g.XApp, User: g.User.ID,
		Generation: g.Generation, Pair: pair, At: now,
	}
	if err := s.journal.Keep(ctx, r); err != nil {
		s.observe(ctx, "grant.journal", g.App, g, time.Now(), err) // the vault may take it all the same
	}
	next, err := s.commit(ctx, g, r)
	if err == nil || over(err) {
		s.drop(ctx, g, r.Attempt)
	}
	return next, err
}

// drop forgets what the journal has of an attempt. Where that fails it is
// replayed, which does no harm.
func (s *Service) drop(ctx context.Context, g oauth.Grant, attempt string) {
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
		if next, err := s.known(ctx, stored, r); next.ID != "" || err != nil {
			return next, err
		}
		next, err := s.vault.Swap(ctx, stored, stored.Renew(r.Pair, r.At))
		if err == nil {
			return next, nil
		}
		if !errors.Is(err, fault.Conflict) && !pause(ctx) {
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

// known returns the grant if it has the renewal already, or why it is over;
// neither where it is still to be stored.
func (s *Service) known(ctx context.Context, stored oauth.Grant, r ports.Renewal) (oauth.Grant, error) {
	switch {
	case stored.Access == r.Pair.Access:
		return stored, nil // an earlier swap was kept, its answer lost
	case stored.Generation != r.Generation:
		return oauth.Grant{}, fault.New(fault.Conflict, "the user has connected again meanwhile").Because(errOver)
	case stored.State == oauth.Revoked:
		s.giveBackRenewal(ctx, stored, r)
		return oauth.Grant{}, errors.Join(oauth.ErrRevoked(), errOver)
	}
	return oauth.Grant{}, nil
}

// Replay brings renewals to the vault that are in the journal because a process
// died, or a store was away, before the vault had them. It returns how many it
// brought, and how many stay because this vault cannot take them. The error is
// that of a store which does not answer: try again soon, for whoever takes the
// grants over waits no longer than WaitAndSee.
func (s *Service) Replay(ctx context.Context) (brought, stay int, err error) {
	pending, err := s.journal.Pending(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, r := range pending {
		began := time.Now()
		taken, err := s.replay(ctx, r)
		if taken || err != nil {
			g := oauth.Grant{ID: r.Grant, XApp: r.XApp, User: user.User{ID: r.User}}
			s.observe(ctx, "grant.replay", r.App, g, began, err)
		}
		switch {
		case errors.Is(err, fault.Unavailable):
			return brought, stay, err
		case err != nil:
			stay++
		case taken:
			brought++
		}
	}
	return brought, stay, nil
}

// replay reports whether the vault took the renewal from the journal now.
func (s *Service) replay(ctx context.Context, r ports.Renewal) (bool, error) {
	stored, err := s.vault.Get(ctx, r.Grant)
	if errors.Is(err, fault.NotFound) {
		return false, fault.New(fault.NotFound, "the journal has tokens of a grant that is not in this vault; they are "+
			"kept. Point PERCH_VAULT at the vault they belong to, or remove the file from the journal").Because(err)
	}
	if err != nil {
		return false, err
	}
	already := stored.Access == r.Pair.Access
	if _, err = s.commit(ctx, stored, r); err != nil && !over(err) {
		return false, err
	}
	return err == nil && !already, s.journal.Drop(ctx, r.Attempt)
}

// giveBackRenewal has X forget a renewal of a grant that was revoked meanwhile.
func (s *Service) giveBackRenewal(ctx context.Context, g oauth.Grant, r ports.Renewal) {
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
			s.observe(ctx, "grant.give_back", g.App, g, time.Now(), err)
			continue
		}
		*part.into = token
	}
	s.giveBack(ctx, g, tokens)
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
