package memory

import (
	"context"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// Vault is a ports.TokenVault.
type Vault struct {
	grants table[oauth.GrantID, oauth.Grant]
}

var _ ports.TokenVault = (*Vault)(nil)

// owner is whom a grant belongs to. There is one grant for each.
type owner struct {
	app  client.AppID
	xapp xapp.ID
	user user.ID
}

// NewVault returns an empty vault.
func NewVault() *Vault {
	return &Vault{grants: table[oauth.GrantID, oauth.Grant]{
		noun:    "grant",
		id:      func(g *oauth.Grant) *oauth.GrantID { return &g.ID },
		version: func(g *oauth.Grant) *int64 { return &g.Version },
		alias:   func(g oauth.Grant) any { return owner{g.App, g.XApp, g.User.ID} },
		copied: func(g oauth.Grant) oauth.Grant {
			g.Expires, g.Retry, g.Lease.Until = moment(g.Expires), moment(g.Retry), moment(g.Lease.Until)
			g.Created, g.Updated = moment(g.Created), moment(g.Updated)
			return g
		},
		fixed: func(was oauth.Grant, next *oauth.Grant) {
			next.App, next.XApp, next.User.ID = was.App, was.XApp, was.User.ID
		},
		alters: func(was, next oauth.Grant) bool { return next.Alters(was) },
	}}
}

func (v *Vault) Create(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	return v.grants.create(ctx, g)
}

func (v *Vault) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	return v.grants.get(ctx, id)
}

func (v *Vault) Find(ctx context.Context, app client.AppID, x xapp.ID, u user.ID) (oauth.Grant, error) {
	return v.grants.find(ctx, owner{app, x, u})
}

func (v *Vault) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	return v.grants.swap(ctx, old, next)
}

func (v *Vault) List(ctx context.Context, app client.AppID, after oauth.GrantID, n int) ([]oauth.Grant, error) {
	return v.grants.list(ctx, after, n, func(g oauth.Grant) bool { return app == "" || g.App == app })
}
