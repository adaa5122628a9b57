package grants

import (
	"context"
	"errors"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// An Import is a permission that was given elsewhere.
type Import struct {
	User    user.User // without ID, X is asked whose access token it is
	Access  secret.Text
	Refresh secret.Text
	Scopes  oauth.Scopes
	Expires time.Time // of the access token; zero: it is refreshed at first use
	Replace bool      // in place of the grant the user has already
}

// Import keeps tokens that a user gave to the X App elsewhere as a grant of the
// application. Unless told to replace it, a grant that the user has already
// stays, for its tokens may be newer, and the error is fault.Conflict.
func (s *Service) Import(ctx context.Context, app client.AppID, x xapp.ID, in Import) (g oauth.Grant, err error) {
	if err := in.check(s.clock.Now()); err != nil {
		return oauth.Grant{}, err
	}
	opened, err := s.xapps.Get(ctx, x)
	if err != nil {
		return oauth.Grant{}, err
	}
	if in.User.ID == "" {
		who, paid, err := s.whoIs(ctx, app, opened, in.Access)
		defer func() { paid(g.ID) }()
		if in.User = who; errors.Is(err, fault.Upstream) {
			return oauth.Grant{}, fault.New(fault.Invalid, "X does not say whose the access token is; it may have run out, as "+
				"after two hours. Add user_id, X's number for the user: then the refresh token is enough").
				Named("x-unknown-user").Because(err)
		}
		if err != nil {
			return oauth.Grant{}, err
		}
	}
	began := time.Now()
	defer func() { s.observe(ctx, "grant.import", app, g, began, err) }()
	g = oauth.Grant{App: app, XApp: x, User: in.User}
	tokens := ports.Tokens{
		Access: in.Access, Refresh: in.Refresh, Scopes: in.Scopes, TTL: max(0, in.Expires.Sub(s.clock.Now())),
	}
	if in.Replace {
		return s.keep(ctx, &keeping{g: g, tokens: tokens})
	}
	g, err = s.create(ctx, g, tokens, s.clock.Now())
	if errors.Is(err, fault.Conflict) {
		return g, fault.New(fault.Conflict, "the user has, or had, a grant of this client application: its tokens may be "+
			"newer, or it was revoked. It was left as it is; import with replace to put these tokens in its place").
			Named(grantExists)
	}
	return g, err
}

// grantExists is the slug of an import that changes nothing.
const grantExists = "grant-exists"

func (in Import) check(now time.Time) error {
	switch {
	case in.Refresh.Empty() && in.Access.Empty():
		return fault.New(fault.Invalid, "an access_token or a refresh_token is needed")
	case !visible(in.Access.Reveal()) || !visible(in.Refresh.Reveal()):
		return fault.New(fault.Invalid, "a token is of visible ASCII characters, without spaces")
	case in.Scopes == "":
		return fault.New(fault.Invalid, "name the scopes the user granted in scope")
	case in.User.ID == "" && in.Access.Empty():
		return fault.New(fault.Invalid, "user_id is needed where there is no access_token to ask X with")
	case strings.Trim(string(in.User.ID), "0123456789") != "" || len(in.User.ID) > 20:
		return fault.New(fault.Invalid, "user_id is X's number for the user, in digits")
	case in.Expires.Sub(now) > 24*time.Hour:
		return fault.New(fault.Invalid, "expires_at is more than a day away; X's access tokens last two hours")
	}
	return nil
}

// visible reports whether s can be sent in a header as it is.
func visible(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
