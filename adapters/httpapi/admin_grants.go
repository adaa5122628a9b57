package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"perch/app/grants"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
)

func (s *Server) listAllGrants(r *request) error {
	q, after, n, err := r.paging("app", "state")
	if err != nil {
		return err
	}
	state := oauth.State(q.Get("state"))
	if state != "" && !slices.Contains(oauth.States(), state) {
		return fault.New(fault.Invalid, "the state %q is unknown; grants are %s", clip(string(state), 40),
			strings.Join(texts(oauth.States()), ", "))
	}
	r.event.App = client.AppID(q.Get("app"))
	all, err := s.services.Grants.List(r.ctx, r.event.App, oauth.GrantID(after), n+1)
	if err != nil {
		return err
	}
	p := pageOf(all, n, viewGrant, grantID)
	if state != "" { // a page may be shorter than asked for, and empty, and not the last
		p.Data = slices.DeleteFunc(p.Data, func(g grantView) bool { return g.State != string(state) })
	}
	r.json(plainJSON, p)
	return nil
}

func (s *Server) revokeAnyGrant(r *request) error {
	if err := s.services.Grants.Revoke(r.ctx, "", oauth.GrantID(r.param("id"))); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// An importBody has the members of X's own token reply, and whose they are.
type importBody struct {
	AppID        string          `json:"app_id"`
	UserID       string          `json:"user_id"`
	Username     string          `json:"username"`
	Name         string          `json:"name"`
	AccessToken  string          `json:"access_token"`
	RefreshToken string          `json:"refresh_token"`
	Scope        string          `json:"scope"`
	TokenType    json.RawMessage `json:"token_type"` // X always says bearer
	ExpiresIn    *int64          `json:"expires_in"` // seconds from now
	ExpiresAt    time.Time       `json:"expires_at"`
	Replace      bool            `json:"replace"`
}

// expires is when the access token does; zero where that is not known.
func (in importBody) expires() (time.Time, error) {
	const day = 24 * 60 * 60
	switch {
	case in.ExpiresIn == nil:
		return in.ExpiresAt, nil
	case !in.ExpiresAt.IsZero():
		return time.Time{}, fault.New(fault.Invalid, "expires_in and expires_at are both given; keep one").
			With("field", "expires_in")
	case *in.ExpiresIn < 0 || *in.ExpiresIn > day:
		return time.Time{}, fault.New(fault.Invalid, "expires_in is a number of seconds from now, from 0 to %d", day).
			With("field", "expires_in")
	}
	return time.Now().Add(time.Duration(*in.ExpiresIn) * time.Second), nil
}

// importGrant takes in tokens that a user gave to the X App elsewhere.
func (s *Server) importGrant(r *request) error {
	var in importBody
	if err := r.decode(&in); err != nil {
		return err
	}
	if in.AppID == "" {
		return fault.New(fault.Invalid, "name the client application in app_id").With("field", "app_id")
	}
	app, err := s.services.Clients.Get(r.ctx, client.AppID(in.AppID))
	if err != nil {
		return err
	}
	r.event.App, r.event.User = app.ID, user.ID(clip(in.UserID, maxID))
	scopes, err := oauth.ParseScopes(in.Scope)
	if err != nil {
		return err
	}
	expires, err := in.expires()
	if err != nil {
		return err
	}
	g, err := s.services.Grants.Import(r.ctx, app.ID, app.XApp, grants.Import{
		User:   user.User{ID: user.ID(in.UserID), Username: in.Username, Name: in.Name},
		Access: secret.New(in.AccessToken), Refresh: secret.New(in.RefreshToken),
		Scopes: scopes, Expires: expires, Replace: in.Replace,
	})
	if err != nil {
		return err
	}
	r.event.Grant = g.ID
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, viewGrant(g))
	return nil
}
