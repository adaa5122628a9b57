package sqlstore

import (
	"context"

	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// Vault is a ports.TokenVault.
type Vault struct {
	grants table[grantRow, oauth.Grant]
}

var _ ports.TokenVault = (*Vault)(nil)

func newVault(s *Store) *Vault {
	return &Vault{table[grantRow, oauth.Grant]{
		reads: s.reads, writes: s.writes, noun: "grant", key: "id",
		fixed: []string{"id", "app", "xapp", "user_id"},
		row:   rowOfGrant, value: (*grantRow).grant,
	}}
}

func (v *Vault) Create(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	g.Version = 1
	return v.grants.insert(ctx, g)
}

func (v *Vault) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	return v.grants.get(ctx, "id = ?", id)
}

func (v *Vault) Find(ctx context.Context, app client.AppID, x xapp.ID, u user.ID) (oauth.Grant, error) {
	return v.grants.get(ctx, "app = ? AND xapp = ? AND user_id = ?", app, x, u)
}

func (v *Vault) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	next.ID, next.Version = old.ID, old.Version+1
	next.App, next.XApp, next.User.ID = old.App, old.XApp, old.User.ID
	return v.grants.swap(ctx, old.ID, old.Version, next)
}

func (v *Vault) List(ctx context.Context, app client.AppID, after oauth.GrantID, n int) ([]oauth.Grant, error) {
	return v.grants.list(ctx, after, n, string(app))
}

type grantRow struct {
	bun.BaseModel `bun:"table:grants,alias:g"`

	ID          string `bun:"id,pk"`
	App         string `bun:"app"`
	XApp        string `bun:"xapp"`
	UserID      string `bun:"user_id"`
	Username    string `bun:"username"`
	Name        string `bun:"display_name"`
	Scopes      string `bun:"scopes"`
	State       string `bun:"state"`
	Access      string `bun:"access_box"`
	Refresh     string `bun:"refresh_box"`
	Expires     int64  `bun:"expires"`
	Generation  int64  `bun:"generation"`
	Failures    int64  `bun:"failures"`
	Retry       int64  `bun:"retry"`
	LeaseHolder string `bun:"lease_holder"`
	LeaseUntil  int64  `bun:"lease_until"`
	Created     int64  `bun:"created"`
	Updated     int64  `bun:"updated"`
	Version     int64  `bun:"version"`
}

func rowOfGrant(g oauth.Grant) *grantRow {
	return &grantRow{
		ID: string(g.ID), App: string(g.App), XApp: string(g.XApp),
		UserID: string(g.User.ID), Username: g.User.Username, Name: g.User.Name,
		Scopes: string(g.Scopes), State: string(g.State), Access: string(g.Access), Refresh: string(g.Refresh),
		Expires: micros(g.Expires), Generation: g.Generation, Failures: int64(g.Failures), Retry: micros(g.Retry),
		LeaseHolder: g.Lease.Holder, LeaseUntil: micros(g.Lease.Until),
		Created: micros(g.Created), Updated: micros(g.Updated), Version: g.Version,
	}
}

func (r *grantRow) grant() oauth.Grant {
	return oauth.Grant{
		ID: oauth.GrantID(r.ID), App: client.AppID(r.App), XApp: xapp.ID(r.XApp),
		User:   user.User{ID: user.ID(r.UserID), Username: r.Username, Name: r.Name},
		Scopes: oauth.Scopes(r.Scopes), State: oauth.State(r.State),
		Access: secret.Box(r.Access), Refresh: secret.Box(r.Refresh),
		Expires: moment(r.Expires), Generation: r.Generation, Failures: int(r.Failures), Retry: moment(r.Retry),
		Lease:   oauth.Lease{Holder: r.LeaseHolder, Until: moment(r.LeaseUntil)},
		Created: moment(r.Created), Updated: moment(r.Updated), Version: r.Version,
	}
}
