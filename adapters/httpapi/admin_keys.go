package httpapi

import (
	"net/http"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/oauth"
)

func (s *Server) listKeys(r *request) error {
	_, after, n, err := r.paging()
	if err != nil {
		return err
	}
	app, err := s.services.Clients.Get(r.ctx, client.AppID(r.param("id")))
	if err != nil {
		return err
	}
	all, err := s.services.Clients.Keys(r.ctx, app.ID, apikey.ID(after), n+1)
	if err != nil {
		return err
	}
	r.json(plainJSON, pageOf(all, n, viewKey, func(k apikey.Key) string { return string(k.ID) }))
	return nil
}

// issueKey makes a key and shows it, this once.
func (s *Server) issueKey(r *request) error {
	var in struct {
		Kind      string    `json:"kind"`
		GrantID   string    `json:"grant_id"`
		AppOnly   bool      `json:"app_only"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	app := client.AppID(r.param("id"))
	if in.GrantID != "" {
		if _, err := s.services.Grants.Get(r.ctx, app, oauth.GrantID(in.GrantID)); err != nil {
			return err
		}
	}
	key := apikey.Key{App: app, Kind: apikey.Kind(in.Kind), AppOnly: in.AppOnly, Expires: micros(in.ExpiresAt)}
	if in.GrantID != "" {
		key.Grants = []oauth.GrantID{oauth.GrantID(in.GrantID)}
	}
	k, text, err := s.services.Clients.IssueKey(r.ctx, key)
	if err != nil {
		return err
	}
	view := viewKey(k)
	view.Key = text.Reveal()
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, view)
	return nil
}

// micros is the time as stores keep it.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func (s *Server) revokeKey(r *request) error {
	if _, err := s.services.Clients.RevokeKey(r.ctx, apikey.ID(r.param("id"))); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}
