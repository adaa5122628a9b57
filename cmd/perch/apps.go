package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type appVerbs struct {
	Add    appAdd    `cmd:"" help:"Register a client application."`
	List   appList   `cmd:"" help:"List client applications."`
	Show   appShow   `cmd:"" help:"Show one client application."`
	Change appChange `cmd:"" help:"Change a client application, or suspend it."`
}

// application is a client application as the REST API shows it.
type application struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	XApp         string   `json:"x_app"`
	Status       string   `json:"status"`
	Origins      words    `json:"origins"`
	RedirectURIs words    `json:"redirect_uris"`
	Actions      words    `json:"actions"`
	Scopes       words    `json:"scopes"`
	Cookies      bool     `json:"cookies"`
	DPoP         bool     `json:"dpop"`
	Limits       []string `json:"limits"`
	budgets
	CreatedAt *time.Time `json:"created_at"`
}

const appsPath = "/admin/v1/apps"

func appPath(id string) string { return appsPath + "/" + url.PathEscape(id) }

type appAdd struct {
	remote
	Name         string   `arg:"" help:"What people call it."`
	XApp         string   `name:"x-app" placeholder:"ID" help:"The X App it acts through; without it, the one in the settings."`
	Origins      []string `name:"origin" placeholder:"ORIGIN" help:"An origin whose pages may call, as https://app.example. May be given again."`
	RedirectURIs []string `name:"redirect-uri" sep:"none" placeholder:"URI" help:"Where browsers may return to after signing in; exact. May be given again."`
	Actions      []string `name:"action" placeholder:"ACTION" help:"What it may do: everything, read, post, engage, messages, tag:NAME or X's operation IDs. Without it, everything."`
	Scopes       []string `name:"scope" placeholder:"SCOPE" help:"What it may ask of users at most, in X's words, as tweet.read. May be given again. Without it, what its actions take; if it may do everything, to read, post and like."`
	Cookies      bool     `name:"cookies" help:"Its pages hold their session in a cookie and get no tokens; they must be of the same site as Perch."`
	DPoP         bool     `name:"dpop" help:"Its access tokens must be bound to a key (RFC 9449)."`
	Limits       []string `name:"limit" sep:"none" placeholder:"RULE" help:"How often it may call, before the limits in the settings and in their words. May be given again."`
	budgetFlags
}

// Run registers a client application.
func (v appAdd) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]any{
		"name": v.Name, "origins": split(v.Origins), "redirect_uris": some(v.RedirectURIs),
		"actions": some(v.Actions), "scopes": split(v.Scopes),
	}
	for name, is := range map[string]bool{"cookies": v.Cookies, "dpop": v.DPoP} {
		if is {
			in[name] = true
		}
	}
	if v.XApp != "" {
		in["x_app"] = v.XApp
	}
	if limits := some(v.Limits); len(limits) > 0 {
		in["limits"] = limits
	}
	v.into(in)
	var out json.RawMessage
	if err := o.call(ctx, http.MethodPost, appsPath, in, &out); err != nil {
		return err
	}
	return v.showApp(p, out)
}

// some drops empty texts, and spaces around others.
func some(list []string) []string {
	out := []string{}
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (r remote) showApp(p *program, raw json.RawMessage) error {
	if r.JSON {
		return asJSON(p.out, raw)
	}
	apps, err := each[application]([]json.RawMessage{raw})
	if err != nil {
		return err
	}
	a := apps[0]
	fields(p.out, [][]string{
		{"ID", a.ID}, {"Name", a.Name}, {"Status", a.Status}, {"X App", a.XApp}, {"Origins", a.Origins.String()},
		{"Redirect URIs", a.RedirectURIs.String()}, {"Actions", a.Actions.String()}, {"Scopes", a.Scopes.String()},
		{"Sessions", a.sessions()}, {"Limits", strings.Join(a.Limits, ", ")},
		{"Budget", a.budget()}, {"Grant budget", a.grantBudget()}, {"Created", when(a.CreatedAt)},
	})
	return nil
}

// sessions says what its pages hold after a sign-in.
func (a application) sessions() string {
	switch {
	case a.Cookies:
		return "in cookies"
	case a.DPoP:
		return "tokens bound to a key"
	}
	return "tokens"
}

type appList struct{ remote }

// Run lists client applications.
func (v appList) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	items, err := o.list(ctx, appsPath, url.Values{})
	if err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, items)
	}
	apps, err := each[application](items)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, a := range apps {
		rows = append(rows, []string{
			a.ID, a.Name, a.Status, a.XApp, a.Origins.String(), strings.Join(a.Limits, ", "), a.budget(), when(a.CreatedAt),
		})
	}
	p.list("ID\tNAME\tSTATUS\tX APP\tORIGINS\tLIMITS\tBUDGET\tCREATED", rows,
		"There are no client applications; perch apps add NAME registers one.")
	return nil
}

type appShow struct {
	remote
	ID string `arg:"" help:"The client application."`
}

// Run shows a client application.
func (v appShow) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	var out json.RawMessage
	if err := o.call(ctx, http.MethodGet, appPath(v.ID), nil, &out); err != nil {
		return err
	}
	return v.showApp(p, out)
}

type appChange struct {
	remote
	ID           string   `arg:"" help:"The client application."`
	Name         string   `placeholder:"NAME" help:"What people call it."`
	Status       string   `placeholder:"STATUS" help:"active or suspended."`
	Origins      []string `name:"origin" placeholder:"ORIGIN" help:"Its origins, in place of those it has; an empty one for none."`
	RedirectURIs []string `name:"redirect-uri" sep:"none" placeholder:"URI" help:"Its redirect URIs, in place of those it has; an empty one for none."`
	Actions      []string `name:"action" placeholder:"ACTION" help:"What it may do, in place of what it may."`
	Scopes       []string `name:"scope" placeholder:"SCOPE" help:"What it may ask of users at most, in place of what it may."`
	Cookies      *bool    `name:"cookies" negatable:"" help:"Whether its pages hold their session in a cookie and get no tokens. Whoever is signed in must sign in again."`
	DPoP         *bool    `name:"dpop" negatable:"" help:"Whether its access tokens must be bound to a key (RFC 9449)."`
	Limits       []string `name:"limit" sep:"none" placeholder:"RULE" help:"Its limits, in place of those it has; an empty one for none."`
	budgetFlags
}

// Run changes what was given and nothing else.
func (v appChange) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]any{}
	for name, value := range map[string]string{"name": v.Name, "status": v.Status} {
		if value != "" {
			in[name] = value
		}
	}
	for name, list := range map[string][]string{"origins": v.Origins, "scopes": v.Scopes} {
		if list != nil {
			in[name] = split(list)
		}
	}
	for name, list := range map[string][]string{
		"redirect_uris": v.RedirectURIs, "actions": v.Actions, "limits": v.Limits,
	} {
		if list != nil {
			in[name] = some(list)
		}
	}
	for name, is := range map[string]*bool{"cookies": v.Cookies, "dpop": v.DPoP} {
		if is != nil {
			in[name] = *is
		}
	}
	v.into(in)
	if len(in) == 0 {
		return misuse("say what to change: --name, --status, --origin, --redirect-uri, --action, --scope, " +
			"--cookies, --dpop, --limit or a budget")
	}
	var out json.RawMessage
	if err := o.call(ctx, http.MethodPatch, appPath(v.ID), in, &out); err != nil {
		return err
	}
	return v.showApp(p, out)
}
