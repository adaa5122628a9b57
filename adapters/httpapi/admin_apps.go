package httpapi

import (
	"net/http"
	"slices"

	"perch/domain/client"
	"perch/domain/xapp"
)

func (s *Server) listApps(r *request) error {
	_, after, n, err := r.paging()
	if err != nil {
		return err
	}
	all, err := s.services.Clients.List(r.ctx, client.AppID(after), n+1)
	if err != nil {
		return err
	}
	r.json(plainJSON, pageOf(all, n, viewApp, func(a client.App) string { return string(a.ID) }))
	return nil
}

func (s *Server) getApp(r *request) error {
	a, err := s.services.Clients.Get(r.ctx, client.AppID(r.param("id")))
	if err != nil {
		return err
	}
	r.json(plainJSON, viewApp(a))
	return nil
}

func (s *Server) createApp(r *request) error {
	var in struct {
		Name         string   `json:"name"`
		XApp         string   `json:"x_app"`
		Origins      []string `json:"origins"`
		RedirectURIs []string `json:"redirect_uris"`
		Actions      []string `json:"actions"`
		Scopes       []string `json:"scopes"`
		Cookies      bool     `json:"cookies"`
		DPoP         bool     `json:"dpop"`
		Limits       []string `json:"limits"`
		budgetsChange
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	budgets, err := in.read()
	if err != nil {
		return err
	}
	app := client.App{
		Name: in.Name, XApp: xapp.ID(in.XApp), Origins: origins(in.Origins),
		RedirectURIs: in.RedirectURIs, Actions: in.Actions, Scopes: in.Scopes, Cookies: in.Cookies, DPoP: in.DPoP,
		Limits: in.Limits,
	}
	budgets(&app)
	a, err := s.services.Clients.Register(r.ctx, app)
	if err != nil {
		return err
	}
	r.event.App = a.ID
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, viewApp(a))
	return nil
}

// changeApp changes the fields that are there and leaves the others.
func (s *Server) changeApp(r *request) error {
	var in struct {
		Name         *string   `json:"name"`
		Status       *string   `json:"status"`
		Origins      *[]string `json:"origins"`
		RedirectURIs *[]string `json:"redirect_uris"`
		Actions      *[]string `json:"actions"`
		Scopes       *[]string `json:"scopes"`
		Cookies      *bool     `json:"cookies"`
		DPoP         *bool     `json:"dpop"`
		Limits       *[]string `json:"limits"`
		budgetsChange
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	budgets, err := in.read()
	if err != nil {
		return err
	}
	a, err := s.services.Clients.Change(r.ctx, client.AppID(r.param("id")), func(a client.App) client.App {
		put(&a.Name, in.Name)
		put(&a.Cookies, in.Cookies)
		put(&a.DPoP, in.DPoP)
		budgets(&a)
		if in.Status != nil {
			a.Status = client.Status(*in.Status)
		}
		if in.Origins != nil {
			a.Origins = origins(*in.Origins)
		}
		replace(&a.RedirectURIs, in.RedirectURIs)
		replace(&a.Actions, in.Actions)
		replace(&a.Scopes, in.Scopes)
		replace(&a.Limits, in.Limits)
		return a
	})
	if err != nil {
		return err
	}
	r.json(plainJSON, viewApp(a))
	return nil
}

// put sets what is there.
func put[T any](field, by *T) {
	if by != nil {
		*field = *by
	}
}

func replace(list, by *[]string) {
	if by != nil {
		*list = slices.Clone(*by)
	}
}

func origins(texts []string) []client.Origin {
	out := make([]client.Origin, len(texts))
	for i, t := range texts {
		out[i] = client.Origin(t)
	}
	return out
}
