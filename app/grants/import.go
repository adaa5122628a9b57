package grants

import (
	"context"
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
}

// Import keeps tokens that a user gave to the X App elsewhere as a grant of the
// application, in place of one the user has already.
func (s *Service) Import(ctx context.Context, app client.AppID, x xapp.ID, in Import) (g oauth.Grant, err error) {
	opened, err := s.xapps.Get(ctx, x)
	if err != nil {
		return oauth.Grant{}, err
	}
	if in.Refresh.Empty() && in.Access.Empty() {
		return oauth.Grant{}, fault.New(fault.Invalid, "an access_token or a refresh_token is needed")
	}
	if in.Scopes == "" {
		return oauth.Grant{}, fault.New(fault.Invalid, "name the scopes the user granted in scope")
	}
	if in.User.ID == "" {
		if in.Access.Empty() {
			return oauth.Grant{}, fault.New(fault.Invalid, "user_id is needed where there is no access_token to ask X with")
		}
		if in.User, err = s.whoIs(ctx, opened, in.Access); err != nil {
			return oauth.Grant{}, err
		}
	}
	began := time.Now()
	defer func() { s.observe(ctx, "grant.import", app, g, began, err) }()
	ttl := max(0, time.Until(in.Expires))
	return s.keep(ctx, oauth.Grant{App: app, XApp: x, User: in.User}, ports.Tokens{
		Access: in.Access, Refresh: in.Refresh, Scopes: in.Scopes, TTL: ttl,
	})
}
