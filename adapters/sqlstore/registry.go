package sqlstore

import (
	"context"

	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/money"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// Registry is a ports.Registry.
type Registry struct {
	apps  *Applications
	keys  *APIKeys
	xapps *XApps
}

var _ ports.Registry = (*Registry)(nil)

func newRegistry(s *Store) *Registry {
	return &Registry{apps: newApplications(s), keys: newAPIKeys(s), xapps: newXApps(s)}
}

// Apps returns the store of client applications.
func (r *Registry) Apps() ports.Applications { return r.apps }

// Keys returns the store of API keys.
func (r *Registry) Keys() ports.APIKeys { return r.keys }

// XApps returns the store of X Apps.
func (r *Registry) XApps() ports.XApps { return r.xapps }

// Applications is a ports.Applications.
type Applications struct {
	apps table[appRow, client.App]
}

var _ ports.Applications = (*Applications)(nil)

func newApplications(s *Store) *Applications {
	return &Applications{table[appRow, client.App]{
		reads: s.reads, writes: s.writes, noun: "application", key: "id", fixed: []string{"id"},
		row: rowOfApp, value: (*appRow).app,
	}}
}

func (s *Applications) Create(ctx context.Context, a client.App) (client.App, error) {
	a.Version = 1
	return s.apps.insert(ctx, a)
}

func (s *Applications) Get(ctx context.Context, id client.AppID) (client.App, error) {
	return s.apps.get(ctx, "id = ?", id)
}

func (s *Applications) Swap(ctx context.Context, old, next client.App) (client.App, error) {
	next.ID, next.Version = old.ID, old.Version+1
	return s.apps.swap(ctx, old.ID, old.Version, next)
}

func (s *Applications) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	return s.apps.list(ctx, after, n, "")
}

type appRow struct {
	bun.BaseModel `bun:"table:applications,alias:a"`

	ID           string `bun:"id,pk"`
	Name         string `bun:"name"`
	XApp         string `bun:"xapp"`
	Status       string `bun:"status"`
	Origins      list   `bun:"origins"`
	RedirectURIs list   `bun:"redirect_uris"`
	Actions      list   `bun:"actions"`
	Scopes       list   `bun:"scopes"`
	Cookies      int64  `bun:"cookies"` // 1: yes
	DPoP         int64  `bun:"dpop"`    // 1: yes
	Limits       list   `bun:"limits"`
	BudgetDay    int64  `bun:"budget_day"` // in millionths of a US dollar, as those that follow
	BudgetMonth  int64  `bun:"budget_month"`
	GrantDay     int64  `bun:"grant_budget_day"`
	GrantMonth   int64  `bun:"grant_budget_month"`
	Created      int64  `bun:"created"`
	Version      int64  `bun:"version"`
}

func rowOfApp(a client.App) *appRow {
	return &appRow{
		ID: string(a.ID), Name: a.Name, XApp: string(a.XApp), Status: string(a.Status),
		Origins: listOf(a.Origins), RedirectURIs: listOf(a.RedirectURIs),
		Actions: listOf(a.Actions), Scopes: listOf(a.Scopes), Cookies: flag(a.Cookies), DPoP: flag(a.DPoP),
		Limits: listOf(a.Limits), BudgetDay: int64(a.Budget.Day), BudgetMonth: int64(a.Budget.Month),
		GrantDay: int64(a.GrantBudget.Day), GrantMonth: int64(a.GrantBudget.Month),
		Created: micros(a.Created), Version: a.Version,
	}
}

func (r *appRow) app() client.App {
	return client.App{
		ID: client.AppID(r.ID), Name: r.Name, XApp: xapp.ID(r.XApp), Status: client.Status(r.Status),
		Origins: itemsOf[client.Origin](r.Origins), RedirectURIs: itemsOf[string](r.RedirectURIs),
		Actions: itemsOf[string](r.Actions), Scopes: itemsOf[string](r.Scopes), Cookies: r.Cookies == 1, DPoP: r.DPoP == 1,
		Limits:      itemsOf[string](r.Limits),
		Budget:      money.Budget{Day: money.Micros(r.BudgetDay), Month: money.Micros(r.BudgetMonth)},
		GrantBudget: money.Budget{Day: money.Micros(r.GrantDay), Month: money.Micros(r.GrantMonth)},
		Created:     moment(r.Created), Version: r.Version,
	}
}

// XApps is a ports.XApps.
type XApps struct {
	xapps table[xappRow, xapp.App]
}

var _ ports.XApps = (*XApps)(nil)

func newXApps(s *Store) *XApps {
	return &XApps{table[xappRow, xapp.App]{
		reads: s.reads, writes: s.writes, noun: "X App", key: "id", fixed: []string{"id"},
		row: rowOfXApp, value: (*xappRow).xapp,
	}}
}

func (s *XApps) Create(ctx context.Context, x xapp.App) (xapp.App, error) {
	x.Version = 1
	return s.xapps.insert(ctx, x)
}

func (s *XApps) Get(ctx context.Context, id xapp.ID) (xapp.App, error) {
	return s.xapps.get(ctx, "id = ?", id)
}

func (s *XApps) Swap(ctx context.Context, old, next xapp.App) (xapp.App, error) {
	next.ID, next.Version = old.ID, old.Version+1
	return s.xapps.swap(ctx, old.ID, old.Version, next)
}

func (s *XApps) Delete(ctx context.Context, id xapp.ID) error {
	n, err := s.xapps.remove(ctx, "id = ?", id)
	if err == nil && n == 0 {
		return missing("X App")
	}
	return err
}

func (s *XApps) List(ctx context.Context, after xapp.ID, n int) ([]xapp.App, error) {
	return s.xapps.list(ctx, after, n, "")
}

type xappRow struct {
	bun.BaseModel `bun:"table:xapps,alias:x"`

	ID           string `bun:"id,pk"`
	Name         string `bun:"name"`
	ClientID     string `bun:"client_id"`
	ClientSecret string `bun:"client_secret"`
	Bearer       string `bun:"bearer"`
	APIKey       string `bun:"api_key"`
	APISecret    string `bun:"api_secret"`
	Created      int64  `bun:"created"`
	Version      int64  `bun:"version"`
}

func rowOfXApp(x xapp.App) *xappRow {
	return &xappRow{
		ID: string(x.ID), Name: x.Name, ClientID: x.ClientID, ClientSecret: string(x.ClientSecret),
		Bearer: string(x.Bearer), APIKey: x.APIKey, APISecret: string(x.APISecret),
		Created: micros(x.Created), Version: x.Version,
	}
}

func (r *xappRow) xapp() xapp.App {
	return xapp.App{
		ID: xapp.ID(r.ID), Name: r.Name, ClientID: r.ClientID, ClientSecret: secret.Box(r.ClientSecret),
		Bearer: secret.Box(r.Bearer), APIKey: r.APIKey, APISecret: secret.Box(r.APISecret),
		Created: moment(r.Created), Version: r.Version,
	}
}
