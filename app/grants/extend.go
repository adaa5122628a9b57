package grants

import (
	"context"
	"errors"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

// extending returns what X is asked so that the grant gets more scopes: those it
// has, because X's tokens hold exactly what they were asked for, the new ones,
// and what it takes to learn who the user is.
func (s *Service) extending(ctx context.Context, a oauth.Authorization) (xapp.ID, oauth.Scopes, error) {
	g, err := s.Get(ctx, a.App, a.Extends)
	if err != nil {
		return "", "", err
	}
	if g.State == oauth.Revoked {
		return "", "", oauth.ErrRevoked()
	}
	me, _ := xapi.ByID("getUsersMe")
	return g.XApp, g.Scopes.And(a.Scopes).And(oauth.ScopesOf(me.Needs())), nil
}

// errChanged says that a grant reaches further than when its extension began.
var errChanged = errors.New("the grant was changed meanwhile")

// extend puts tokens with more scopes in the place of those the grant has. Where
// they are not the grant's own user's, or hold less than the grant does, X takes
// them back and nothing changes.
func (s *Service) extend(
	ctx context.Context, a oauth.Authorization, g oauth.Grant, tokens ports.Tokens,
) (oauth.Grant, error) {
	kept, err := s.keepOrGiveBack(ctx, &keeping{g: g, tokens: tokens, only: a.Extends, more: a.Scopes})
	if errors.Is(err, errChanged) {
		return kept, fault.New(fault.Unavailable, "the user has allowed something else meanwhile, so this was left out; "+
			"try again").Named("grant-changed").Because(err)
	}
	return kept, err
}

// mayReplace returns why the tokens may not take the place of those that the
// grant has which was found, or was not.
func (k *keeping) mayReplace(found oauth.Grant, err error) error {
	missing := errors.Is(err, fault.NotFound)
	switch {
	case k.only == "", err != nil && !missing, err == nil && k.in(found):
		return nil
	case missing, found.ID != k.only:
		return fault.New(fault.Forbidden, "at X you are signed in as @%s, but the permission is another account's, "+
			"so nothing was changed; switch accounts at X and try again", k.g.User.Username).Named(oauth.OtherUser)
	case found.State == oauth.Revoked:
		return oauth.ErrRevoked()
	case len(k.tokens.Scopes.Missing(k.more.List())) > 0:
		return fault.New(fault.Upstream, "X allowed less than it was asked for, so nothing was changed; try again").
			Named("x-allowed-less")
	case len(k.tokens.Scopes.Missing(found.Scopes.List())) > 0:
		return errChanged
	}
	return nil
}
