package httpapi

import (
	"net/http"
	"time"

	"perch/app/grants"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
)

func (s *Server) listAllGrants(r *request) error {
	q, after, n, err := r.paging("app")
	if err != nil {
		return err
	}
	all, err := s.services.Grants.List(r.ctx, client.AppID(q.Get("app")), oauth.GrantID(after), n+1)
	if err != nil {
		return err
	}
	r.json(plainJSON, pageOf(all, n, viewGrant, grantID))
	return nil
}

func (s *Server) revokeAnyGrant(r *request) error {
	if err := s.services.Grants.Revoke(r.ctx, "", oauth.GrantID(r.param("id"))); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// importGrant takes in tokens that a user gave to the X App elsewhere.
func (s *Server) importGrant(r *request) error {
	var in struct {
		AppID        string    `json:"app_id"`
		UserID       string    `json:"user_id"`
		Username     string    `json:"username"`
		Name         string    `json:"name"`
		AccessToken  string    `json:"access_token"`
		RefreshToken string    `json:"refresh_token"`
		Scope        string    `json:"scope"`
		ExpiresAt    time.Time `json:"expires_at"`
	}
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
	scopes, err := oauth.ParseScopes(in.Scope)
	if err != nil {
		return err
	}
	g, err := s.services.Grants.Import(r.ctx, app.ID, app.XApp, grants.Import{
		User:   user.User{ID: user.ID(in.UserID), Username: in.Username, Name: in.Name},
		Access: secret.New(in.AccessToken), Refresh: secret.New(in.RefreshToken),
		Scopes: scopes, Expires: in.ExpiresAt,
	})
	if err != nil {
		return err
	}
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, viewGrant(g))
	return nil
}
