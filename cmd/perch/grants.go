package main

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

type grantVerbs struct {
	List   grantList   `cmd:"" help:"List grants."`
	Revoke grantRevoke `cmd:"" help:"End a grant, here and at X."`
	Import grantImport `cmd:"" help:"Take over grants from elsewhere, or what was exported."`
	Export grantExport `cmd:"" help:"Write everything that grants need into a sealed file, for another store."`
}

// grant is a grant as the REST API shows it.
type grant struct {
	ID    string `json:"id"`
	AppID string `json:"app_id"`
	XApp  string `json:"x_app"`
	User  struct {
		ID       string `json:"id"`
		Username string `json:"username"`
	} `json:"user"`
	Scopes    words      `json:"scopes"`
	State     string     `json:"state"`
	ExpiresAt *time.Time `json:"expires_at"`
	CreatedAt *time.Time `json:"created_at"`
}

const grantsPath = "/admin/v1/grants"

type grantList struct {
	remote
	App   string `placeholder:"ID" help:"Only those of this client application."`
	State string `enum:",active,suspect,revoked" default:"" placeholder:"STATE" help:"Only those in this state: active, suspect or revoked."`
}

// Run lists grants.
func (v grantList) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, value := range map[string]string{"app": v.App, "state": v.State} {
		if value != "" {
			query.Set(name, value)
		}
	}
	items, err := o.list(ctx, grantsPath, query)
	if err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, items)
	}
	grants, err := each[grant](items)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, g := range grants {
		name := g.User.ID
		if g.User.Username != "" {
			name = "@" + g.User.Username
		}
		rows = append(rows, []string{g.ID, g.AppID, name, g.State, g.XApp, when(g.CreatedAt), when(g.ExpiresAt)})
	}
	p.list("ID\tAPPLICATION\tUSER\tSTATE\tX APP\tCREATED\tACCESS TOKEN UNTIL", rows,
		"There are no such grants; a user makes one by connecting, perch grants import by taking tokens over.")
	return nil
}

type grantRevoke struct {
	remote
	ID string `arg:"" help:"The grant."`
}

// Run ends a grant.
func (v grantRevoke) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	if err := o.call(ctx, http.MethodDelete, grantsPath+"/"+url.PathEscape(v.ID), nil, nil); err != nil {
		return err
	}
	return v.done(p, "revoked", v.ID)
}
