package cloudflare

import (
	"context"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// Vault is a ports.TokenVault.
type Vault struct {
	grants *table[grantRow, oauth.Grant]
}

var _ ports.TokenVault = (*Vault)(nil)

func newVault(kv *KV) *Vault {
	return &Vault{&table[grantRow, oauth.Grant]{
		kv: kv, noun: "grant", name: "grants",
		id:      func(g oauth.Grant) string { return string(g.ID) },
		version: func(g *oauth.Grant) *int64 { return &g.Version },
		row:     rowOfGrant, value: (*grantRow).grant,
		alias: func(g oauth.Grant) []string { return []string{string(g.App), string(g.XApp), string(g.User.ID)} },
		keep: func(was oauth.Grant, next *oauth.Grant) {
			next.ID, next.App, next.XApp, next.User.ID = was.ID, was.App, was.XApp, was.User.ID
		},
	}}
}

func (v *Vault) Create(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	return v.grants.create(ctx, g)
}

func (v *Vault) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	return v.grants.get(ctx, string(id))
}

func (v *Vault) Find(ctx context.Context, app client.AppID, x xapp.ID, u user.ID) (oauth.Grant, error) {
	return v.grants.find(ctx, string(app), string(x), string(u))
}

func (v *Vault) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	return v.grants.swap(ctx, old, next)
}

func (v *Vault) List(ctx context.Context, app client.AppID, after oauth.GrantID, n int) ([]oauth.Grant, error) {
	return v.grants.list(ctx, string(after), n, func(g oauth.Grant) bool { return app == "" || g.App == app })
}

type grantRow struct {
	ID          string `json:"id"`
	App         string `json:"app"`
	XApp        string `json:"xapp"`
	UserID      string `json:"user_id"`
	Username    string `json:"username"`
	Name        string `json:"display_name"`
	Scopes      string `json:"scopes"`
	State       string `json:"state"`
	Access      string `json:"access_box"`
	Refresh     string `json:"refresh_box"`
	Expires     int64  `json:"expires"`
	Generation  int64  `json:"generation"`
	Failures    int    `json:"failures"`
	Retry       int64  `json:"retry"`
	LeaseHolder string `json:"lease_holder"`
	LeaseUntil  int64  `json:"lease_until"`
	Created     int64  `json:"created"`
	Updated     int64  `json:"updated"`
}

func rowOfGrant(g oauth.Grant) *grantRow {
	return &grantRow{
		ID: string(g.ID), App: string(g.App), XApp: string(g.XApp),
		UserID: string(g.User.ID), Username: g.User.Username, Name: g.User.Name,
		Scopes: string(g.Scopes), State: string(g.State), Access: string(g.Access), Refresh: string(g.Refresh),
		Expires: micros(g.Expires), Generation: g.Generation, Failures: g.Failures, Retry: micros(g.Retry),
		LeaseHolder: g.Lease.Holder, LeaseUntil: micros(g.Lease.Until),
		Created: micros(g.Created), Updated: micros(g.Updated),
	}
}

func (r *grantRow) grant() oauth.Grant {
	return oauth.Grant{
		ID: oauth.GrantID(r.ID), App: client.AppID(r.App), XApp: xapp.ID(r.XApp),
		User:   user.User{ID: user.ID(r.UserID), Username: r.Username, Name: r.Name},
		Scopes: oauth.Scopes(r.Scopes), State: oauth.State(r.State),
		Access: secret.Box(r.Access), Refresh: secret.Box(r.Refresh),
		Expires: moment(r.Expires), Generation: r.Generation, Failures: r.Failures, Retry: moment(r.Retry),
		Lease:   oauth.Lease{Holder: r.LeaseHolder, Until: moment(r.LeaseUntil)},
		Created: moment(r.Created), Updated: moment(r.Updated),
	}
}
