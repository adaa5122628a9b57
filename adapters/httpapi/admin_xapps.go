package httpapi

import (
	"net/http"

	"perch/app/xapps"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// listXApps lists the X App of the settings, if there is one, then those stored.
func (s *Server) listXApps(r *request) error {
	_, after, n, err := r.paging()
	if err != nil {
		return err
	}
	var first []xappView
	if after == "" && s.services.XApps.ByDefault() != "" {
		view, err := s.defaultXApp(r)
		if err != nil {
			return err
		}
		first = append(first, view)
	}
	if after == string(xapp.Default) { // it stands before all others, whatever their names
		after = ""
	}
	stored, err := s.services.XApps.List(r.ctx, xapp.ID(after), n+1)
	if err != nil {
		return err
	}
	for _, x := range stored {
		first = append(first, viewXApp(x))
	}
	r.json(plainJSON, pageOf(first, n, func(v xappView) xappView { return v }, func(v xappView) string { return v.ID }))
	return nil
}

func (s *Server) defaultXApp(r *request) (xappView, error) {
	x, err := s.services.XApps.Get(r.ctx, xapp.Default)
	if err != nil {
		return xappView{}, err
	}
	return xappView{
		ID: string(x.ID), Name: "X App of the settings", ClientID: x.ClientID,
		HasClientSecret: !x.ClientSecret.Empty(), HasBearer: !x.Bearer.Empty(), HasAPIKey: x.APIKey != "",
		From: "settings",
	}, nil
}

func (s *Server) addXApp(r *request) error {
	var in struct {
		ID           string `json:"id"`
		Name         string `json:"name"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		Bearer       string `json:"bearer"`
		APIKey       string `json:"api_key"`
		APISecret    string `json:"api_secret"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	x, err := s.services.XApps.Add(r.ctx, in.Name, ports.XApp{
		ID: xapp.ID(in.ID), ClientID: in.ClientID, ClientSecret: secret.New(in.ClientSecret),
		Bearer: secret.New(in.Bearer), APIKey: in.APIKey, APISecret: secret.New(in.APISecret),
	})
	if err != nil {
		return err
	}
	r.event.XApp = x.ID
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, viewXApp(x))
	return nil
}

// changeXApp changes the fields that are there and leaves the others; an empty
// one is taken away.
func (s *Server) changeXApp(r *request) error {
	var in struct {
		Name         *string `json:"name"`
		ClientSecret *string `json:"client_secret"`
		Bearer       *string `json:"bearer"`
		APIKey       *string `json:"api_key"`
		APISecret    *string `json:"api_secret"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	x, err := s.services.XApps.Change(r.ctx, xapp.ID(r.param("id")), xapps.Change{
		Name: in.Name, ClientSecret: sensitive(in.ClientSecret), Bearer: sensitive(in.Bearer),
		APIKey: in.APIKey, APISecret: sensitive(in.APISecret),
	})
	if err != nil {
		return err
	}
	r.json(plainJSON, viewXApp(x))
	return nil
}

func sensitive(text *string) *secret.Text {
	if text == nil {
		return nil
	}
	t := secret.New(*text)
	return &t
}

func (s *Server) removeXApp(r *request) error {
	if err := s.services.XApps.Remove(r.ctx, xapp.ID(r.param("id"))); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}
