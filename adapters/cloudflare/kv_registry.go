package cloudflare

import (
	"context"
	"errors"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
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

func newRegistry(kv *KV) *Registry {
	return &Registry{apps: newApplications(kv), keys: newAPIKeys(kv), xapps: newXApps(kv)}
}

// Apps returns the store of client applications.
func (r *Registry) Apps() ports.Applications { return r.apps }

// Keys returns the store of API keys.
func (r *Registry) Keys() ports.APIKeys { return r.keys }

// XApps returns the store of X Apps.
func (r *Registry) XApps() ports.XApps { return r.xapps }

// Applications is a ports.Applications.
type Applications struct {
	apps *table[appRow, client.App]
}

var _ ports.Applications = (*Applications)(nil)

func newApplications(kv *KV) *Applications {
	return &Applications{&table[appRow, client.App]{
		kv: kv, noun: "application", name: "applications",
		id:      func(a client.App) string { return string(a.ID) },
		version: func(a *client.App) *int64 { return &a.Version },
		row:     rowOfApp, value: (*appRow).app,
		keep: func(was client.App, next *client.App) { next.ID = was.ID },
	}}
}

func (s *Applications) Create(ctx context.Context, a client.App) (client.App, error) {
	return s.apps.create(ctx, a)
}

func (s *Applications) Get(ctx context.Context, id client.AppID) (client.App, error) {
	return s.apps.get(ctx, string(id))
}

func (s *Applications) Swap(ctx context.Context, old, next client.App) (client.App, error) {
	return s.apps.swap(ctx, old, next)
}

func (s *Applications) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	return s.apps.list(ctx, string(after), n, every)
}

type appRow struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	XApp         string          `json:"xapp"`
	Status       string          `json:"status"`
	Origins      []client.Origin `json:"origins"`
	RedirectURIs []string        `json:"redirect_uris"`
	Actions      []string        `json:"actions"`
	Scopes       []string        `json:"scopes"`
	Cookies      bool            `json:"cookies,omitempty"`
	DPoP         bool            `json:"dpop,omitempty"`
	Limits       []string        `json:"limits,omitempty"`
	Budget       budgetRow       `json:"budget,omitzero"`
	GrantBudget  budgetRow       `json:"grant_budget,omitzero"`
	Created      int64           `json:"created"`
}

// A budgetRow is in millionths of a US dollar.
type budgetRow struct {
	Day   money.Micros `json:"day,omitempty"`
	Month money.Micros `json:"month,omitempty"`
}

func rowOfApp(a client.App) *appRow {
	return &appRow{
		ID: string(a.ID), Name: a.Name, XApp: string(a.XApp), Status: string(a.Status), Origins: a.Origins,
		RedirectURIs: a.RedirectURIs, Actions: a.Actions, Scopes: a.Scopes, Cookies: a.Cookies, DPoP: a.DPoP,
		Limits: a.Limits, Budget: budgetRow(a.Budget), GrantBudget: budgetRow(a.GrantBudget),
		Created: micros(a.Created),
	}
}

func (r *appRow) app() client.App {
	return client.App{
		ID: client.AppID(r.ID), Name: r.Name, XApp: xapp.ID(r.XApp), Status: client.Status(r.Status), Origins: r.Origins,
		RedirectURIs: r.RedirectURIs, Actions: r.Actions, Scopes: r.Scopes, Cookies: r.Cookies, DPoP: r.DPoP,
		Limits: r.Limits, Budget: money.Budget(r.Budget), GrantBudget: money.Budget(r.GrantBudget),
		Created: moment(r.Created),
	}
}

// APIKeys is a ports.APIKeys.
type APIKeys struct {
	keys *table[keyRow, apikey.Key]
}

var _ ports.APIKeys = (*APIKeys)(nil)

func newAPIKeys(kv *KV) *APIKeys {
	return &APIKeys{&table[keyRow, apikey.Key]{
		kv: kv, noun: "API key", name: "api_keys",
		id:      func(k apikey.Key) string { return string(k.ID) },
		version: func(k *apikey.Key) *int64 { return &k.Version },
		row:     rowOfKey, value: (*keyRow).key,
		alias: func(k apikey.Key) []string { return []string{k.Digest} },
		keep:  func(was apikey.Key, next *apikey.Key) { next.ID, next.Digest = was.ID, was.Digest },
	}}
}

func (s *APIKeys) Create(ctx context.Context, k apikey.Key) (apikey.Key, error) {
	return s.keys.create(ctx, k)
}

func (s *APIKeys) Get(ctx context.Context, id apikey.ID) (apikey.Key, error) {
	return s.keys.get(ctx, string(id))
}

func (s *APIKeys) ByDigest(ctx context.Context, digests []string) (apikey.Key, error) {
	for _, digest := range digests {
		if k, err := s.keys.find(ctx, digest); !errors.Is(err, fault.NotFound) {
			return k, err
		}
	}
	return apikey.Key{}, s.keys.missing()
}

func (s *APIKeys) Swap(ctx context.Context, old, next apikey.Key) (apikey.Key, error) {
	return s.keys.swap(ctx, old, next)
}

func (s *APIKeys) List(ctx context.Context, app client.AppID, after apikey.ID, n int) ([]apikey.Key, error) {
	return s.keys.list(ctx, string(after), n, func(k apikey.Key) bool { return app == "" || k.App == app })
}

type keyRow struct {
	ID        string          `json:"id"`
	App       string          `json:"app"`
	Kind      string          `json:"kind"`
	Name      string          `json:"name,omitempty"`
	Hint      string          `json:"hint"`
	Digest    string          `json:"digest"`
	First     oauth.GrantID   `json:"grant_id"` // of the grants, for versions that know of one alone
	Grants    []oauth.GrantID `json:"grants,omitempty"`
	Actions   []string        `json:"actions,omitempty"`
	Addresses []string        `json:"addresses,omitempty"`
	AppOnly   bool            `json:"app_only"`
	Batch     bool            `json:"batch,omitempty"`
	Created   int64           `json:"created"`
	Expires   int64           `json:"expires"`
	Revoked   int64           `json:"revoked"`
}

func rowOfKey(k apikey.Key) *keyRow {
	r := &keyRow{
		ID: string(k.ID), App: string(k.App), Kind: string(k.Kind), Name: k.Name, Hint: k.Hint, Digest: k.Digest,
		Grants: k.Grants, Actions: k.Actions, Addresses: apikey.Written(k.Addresses), AppOnly: k.AppOnly,
		Batch: k.Batch, Created: micros(k.Created), Expires: micros(k.Expires), Revoked: micros(k.Revoked),
	}
	if len(k.Grants) > 0 {
		r.First = k.Grants[0]
	}
	return r
}

func (r *keyRow) key() apikey.Key {
	grants := r.Grants
	if len(grants) == 0 && r.First != "" { // from before there could be several
		grants = []oauth.GrantID{r.First}
	}
	return apikey.Key{
		ID: apikey.ID(r.ID), App: client.AppID(r.App), Kind: apikey.Kind(r.Kind), Name: r.Name, Hint: r.Hint,
		Digest: r.Digest, Grants: grants, Actions: r.Actions, Addresses: apikey.Read(r.Addresses), AppOnly: r.AppOnly,
		Batch: r.Batch, Created: moment(r.Created), Expires: moment(r.Expires), Revoked: moment(r.Revoked),
	}
}

// XApps is a ports.XApps. One that is made anew after a removal goes on counting
// versions where the old one ended.
type XApps struct {
	xapps *table[xappRow, xapp.App]
}

var _ ports.XApps = (*XApps)(nil)

func newXApps(kv *KV) *XApps {
	return &XApps{&table[xappRow, xapp.App]{
		kv: kv, noun: "X App", name: "xapps",
		id:      func(x xapp.App) string { return string(x.ID) },
		version: func(x *xapp.App) *int64 { return &x.Version },
		row:     rowOfXApp, value: (*xappRow).xapp,
		keep: func(was xapp.App, next *xapp.App) { next.ID = was.ID },
	}}
}

func (s *XApps) Create(ctx context.Context, x xapp.App) (xapp.App, error) {
	return s.xapps.create(ctx, x)
}

func (s *XApps) Get(ctx context.Context, id xapp.ID) (xapp.App, error) {
	return s.xapps.get(ctx, string(id))
}

func (s *XApps) Swap(ctx context.Context, old, next xapp.App) (xapp.App, error) {
	return s.xapps.swap(ctx, old, next)
}

func (s *XApps) Delete(ctx context.Context, id xapp.ID) error {
	return s.xapps.remove(ctx, string(id))
}

func (s *XApps) List(ctx context.Context, after xapp.ID, n int) ([]xapp.App, error) {
	return s.xapps.list(ctx, string(after), n, every)
}

type xappRow struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Bearer       string `json:"bearer"`
	APIKey       string `json:"api_key"`
	APISecret    string `json:"api_secret"`
	Created      int64  `json:"created"`
}

func rowOfXApp(x xapp.App) *xappRow {
	return &xappRow{
		ID: string(x.ID), Name: x.Name, ClientID: x.ClientID, ClientSecret: string(x.ClientSecret),
		Bearer: string(x.Bearer), APIKey: x.APIKey, APISecret: string(x.APISecret), Created: micros(x.Created),
	}
}

func (r *xappRow) xapp() xapp.App {
	return xapp.App{
		ID: xapp.ID(r.ID), Name: r.Name, ClientID: r.ClientID, ClientSecret: secret.Box(r.ClientSecret),
		Bearer: secret.Box(r.Bearer), APIKey: r.APIKey, APISecret: secret.Box(r.APISecret), Created: moment(r.Created),
	}
}
