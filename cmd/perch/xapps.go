package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

type xappVerbs struct {
	Add    xappAdd    `cmd:"" help:"Add an X App."`
	List   xappList   `cmd:"" help:"List X Apps."`
	Change xappChange `cmd:"" help:"Change an X App's name or secrets."`
	Remove xappRemove `cmd:"" help:"Remove an X App that no client application uses."`
}

// xApp is an X App as the REST API shows it.
type xApp struct {
	ID              string     `json:"id"`
	Name            string     `json:"name"`
	ClientID        string     `json:"client_id"`
	HasClientSecret bool       `json:"has_client_secret"`
	HasBearer       bool       `json:"has_bearer"`
	HasAPIKey       bool       `json:"has_api_key"`
	CreatedAt       *time.Time `json:"created_at"`
	From            string     `json:"from"`
}

const xappsPath = "/admin/v1/xapps"

type xappAdd struct {
	remote
	Name             string `arg:"" help:"What people call it."`
	ID               string `name:"id" placeholder:"ID" help:"What client applications call it: a-z, 0-9, - and _. Without it, one is made."`
	ClientID         string `required:"" placeholder:"ID" help:"Its OAuth 2.0 client ID."`
	ClientSecretFile string `placeholder:"FILE" help:"A file that holds its client secret, or - to read it as a line. Without it, a public client."`
	BearerFile       string `placeholder:"FILE" help:"A file that holds its app-only bearer, or -."`
	APIKey           string `name:"api-key" placeholder:"KEY" help:"Its API key (consumer key)."`
	APISecretFile    string `name:"api-secret-file" placeholder:"FILE" help:"A file that holds the API key's secret, or -."`
}

// Run adds an X App.
func (v xappAdd) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]string{"name": v.Name, "client_id": v.ClientID}
	for name, value := range map[string]string{"id": v.ID, "api_key": v.APIKey} {
		if value != "" {
			in[name] = value
		}
	}
	if err := p.addSecrets(in, []secretFlag{
		{"client_secret", "client secret", full(v.ClientSecretFile)},
		{"bearer", "app-only bearer", full(v.BearerFile)},
		{"api_secret", "secret of the API key", full(v.APISecretFile)},
	}); err != nil {
		return err
	}
	var raw json.RawMessage
	if err := o.call(ctx, http.MethodPost, xappsPath, in, &raw); err != nil {
		return err
	}
	return v.showXApps(p, raw)
}

func (r remote) showXApps(p *program, raw json.RawMessage) error {
	if r.JSON {
		return asJSON(p.out, raw)
	}
	return xappTable(p, []json.RawMessage{raw})
}

func xappTable(p *program, items []json.RawMessage) error {
	apps, err := each[xApp](items)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, a := range apps {
		rows = append(rows, []string{
			a.ID, a.Name, a.ClientID, has(a.HasClientSecret), has(a.HasBearer), has(a.HasAPIKey), a.From, when(a.CreatedAt),
		})
	}
	p.list("ID\tNAME\tCLIENT ID\tSECRET\tBEARER\tAPI KEY\tFROM\tCREATED", rows,
		"There are no X Apps; set PERCH_X_CLIENT_ID, or add one with perch xapps add.")
	return nil
}

func has(it bool) string {
	if it {
		return "yes"
	}
	return "no"
}

type xappList struct{ remote }

// Run lists X Apps.
func (v xappList) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	items, err := o.list(ctx, xappsPath, url.Values{})
	if err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, items)
	}
	return xappTable(p, items)
}

type xappRemove struct {
	remote
	ID string `arg:"" help:"The X App."`
}

// Run removes an X App.
func (v xappRemove) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	if err := o.call(ctx, http.MethodDelete, xappsPath+"/"+url.PathEscape(v.ID), nil, nil); err != nil {
		return err
	}
	return v.done(p, "removed", v.ID)
}
