package grants

import (
	"context"
	"errors"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// Revoke ends a grant: first here, so that it is never used again, then its
// sessions, then at X. If X cannot be told the tokens stay sealed, the error is
// fault.Unavailable, and revoking again tells X then.
func (s *Service) Revoke(ctx context.Context, app client.AppID, id oauth.GrantID) (err error) {
	began := time.Now()
	g, err := s.Get(ctx, app, id)
	if err != nil {
		return err
	}
	// A revocation that has begun is finished, whether or not the caller waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer cancel()
	defer func() { s.observe(ctx, "grant.revoke", g.App, g, began, err) }()

	g, err = s.change(ctx, id, func(g oauth.Grant) oauth.Grant {
		if g.State == oauth.Revoked {
			return g
		}
		return g.Revoke(s.clock.Now())
	})
	if err != nil {
		return err
	}
	if _, err := s.sessions.EndAll(ctx, g.ID, s.clock.Now()); err != nil {
		return err
	}
	if g.Access.Empty() && g.Refresh.Empty() {
		return nil
	}
	if err := s.tellX(ctx, g); err != nil {
		return fault.New(fault.Unavailable, "the grant is revoked here, but X could not be told; "+
			"revoke it again to tell X").Named("x-not-told").After(time.Minute).Because(err)
	}
	_, err = s.change(ctx, id, func(stored oauth.Grant) oauth.Grant {
		if stored.State != oauth.Revoked || stored.Generation != g.Generation {
			return stored // connected anew meanwhile
		}
		return stored.Forget(s.clock.Now())
	})
	return err
}

func (s *Service) tellX(ctx context.Context, g oauth.Grant) error {
	x, err := s.xapps.Get(ctx, g.XApp)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		box  secret.Box
		kind string
	}{{g.Refresh, oauth.RefreshLabel}, {g.Access, oauth.AccessLabel}} {
		if part.box.Empty() {
			continue
		}
		token, err := s.ring.Open(ctx, part.box, g.Label(part.kind))
		if err != nil {
			return err
		}
		if err := s.x.Revoke(ctx, x, token); err != nil {
			return errors.Join(errors.New("revoking at X"), err)
		}
	}
	return nil
}
