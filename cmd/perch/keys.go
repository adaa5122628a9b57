package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

type keyVerbs struct {
	Add    keyAdd    `cmd:"" help:"Make an API key; it is shown once."`
	List   keyList   `cmd:"" help:"List the API keys of a client application."`
	Revoke keyRevoke `cmd:"" help:"End an API key."`
}

// apiKey is an API key as the REST API shows it.
type apiKey struct {
	ID        string     `json:"id"`
	AppID     string     `json:"app_id"`
	Kind      string     `json:"kind"`
	Hint      string     `json:"hint"`
	GrantID   string     `json:"grant_id"`
	AppOnly   bool       `json:"app_only"`
	CreatedAt *time.Time `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	Key       string     `json:"key"` // only when it was made
}

func (k apiKey) state(now time.Time) string {
	switch {
	case k.RevokedAt != nil && !k.RevokedAt.IsZero():
		return "revoked"
	case k.ExpiresAt != nil && !k.ExpiresAt.IsZero() && !now.Before(*k.ExpiresAt):
		return "expired"
	}
	return "good"
}

func (k apiKey) does() string {
	switch {
	case k.GrantID != "" && k.AppOnly:
		return k.GrantID + ", app-only"
	case k.AppOnly:
		return "any grant, app-only"
	case k.GrantID != "":
		return k.GrantID
	case k.Kind == "publishable":
		return "sign-ins"
	}
	return "any grant"
}

type keyAdd struct {
	remote
	App     string        `required:"" placeholder:"ID" help:"The client application."`
	Kind    string        `default:"secret" enum:"secret,publishable" help:"secret, for servers, or publishable, for pages."`
	Grant   string        `placeholder:"ID" help:"The one grant it acts for; then any X client works with the key alone."`
	AppOnly bool          `help:"It may perform app-only actions, with the X App's own bearer."`
	Expires time.Duration `placeholder:"TIME" help:"How long it is good, as 720h; without it, until it is revoked."`
}

// Run makes a key.
func (v keyAdd) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]any{"kind": v.Kind}
	if v.Grant != "" {
		in["grant_id"] = v.Grant
	}
	if v.AppOnly {
		in["app_only"] = true
	}
	if v.Expires != 0 {
		in["expires_at"] = time.Now().Add(v.Expires).UTC().Format(time.RFC3339)
	}
	var raw json.RawMessage
	if err := o.call(ctx, http.MethodPost, appPath(v.App)+"/keys", in, &raw); err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, raw)
	}
	made, err := each[apiKey]([]json.RawMessage{raw})
	if err != nil {
		return err
	}
	k := made[0]
	fields(p.out, [][]string{
		{"ID", k.ID}, {"Kind", k.Kind}, {"Acts for", k.does()}, {"Expires", when(k.ExpiresAt)}, {"Key", k.Key},
	})
	p.note("Keep the key now: it cannot be shown again.\n")
	return nil
}

type keyList struct {
	remote
	App string `required:"" placeholder:"ID" help:"The client application."`
}

// Run lists keys.
func (v keyList) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	items, err := o.list(ctx, appPath(v.App)+"/keys", url.Values{})
	if err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, items)
	}
	keys, err := each[apiKey](items)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, k := range keys {
		rows = append(rows, []string{
			k.ID, k.Kind, k.Hint, k.does(), k.state(time.Now()), when(k.CreatedAt), when(k.ExpiresAt),
		})
	}
	table(p.out, "ID\tKIND\tKEY\tACTS FOR\tSTATE\tCREATED\tEXPIRES", rows)
	return nil
}

type keyRevoke struct {
	remote
	ID string `arg:"" help:"The key's ID, not the key."`
}

// Run ends a key.
func (v keyRevoke) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	if err := o.call(ctx, http.MethodDelete, "/admin/v1/keys/"+url.PathEscape(v.ID), nil, nil); err != nil {
		return err
	}
	return v.done(p, "revoked", v.ID)
}

// done says what was done to what.
func (r remote) done(p *program, what, id string) error {
	if r.JSON {
		return asJSON(p.out, map[string]string{what: id})
	}
	p.say("%s %s\n", what, id)
	return nil
}
