package memory

import (
	"context"
	"slices"

	"perch/domain/apikey"
	"perch/domain/client"
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

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{apps: newApplications(), keys: newAPIKeys(), xapps: newXApps()}
}

// Apps returns the store of client applications.
func (r *Registry) Apps() ports.Applications { return r.apps }

// Keys returns the store of API keys.
func (r *Registry) Keys() ports.APIKeys { return r.keys }

// XApps returns the store of X Apps.
func (r *Registry) XApps() ports.XApps { return r.xapps }

// Applications is a ports.Applications.
type Applications struct {
	apps table[client.AppID, client.App]
}

var _ ports.Applications = (*Applications)(nil)

func newApplications() *Applications {
	return &Applications{apps: table[client.AppID, client.App]{
		noun:    "application",
		id:      func(a *client.App) *client.AppID { return &a.ID },
		version: func(a *client.App) *int64 { return &a.Version },
		copied: func(a client.App) client.App {
			a.Origins, a.RedirectURIs = slices.Clone(a.Origins), slices.Clone(a.RedirectURIs)
			a.Actions, a.Scopes, a.Limits = slices.Clone(a.Actions), slices.Clone(a.Scopes), slices.Clone(a.Limits)
			a.Created = moment(a.Created)
			return a
		},
	}}
}

func (s *Applications) Create(ctx context.Context, a client.App) (client.App, error) {
	return s.apps.create(ctx, a)
}

func (s *Applications) Get(ctx context.Context, id client.AppID) (client.App, error) {
	return s.apps.get(ctx, id)
}

func (s *Applications) Swap(ctx context.Context, old, next client.App) (client.App, error) {
	return s.apps.swap(ctx, old, next)
}

func (s *Applications) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	return s.apps.list(ctx, after, n, every)
}

// APIKeys is a ports.APIKeys.
type APIKeys struct {
	keys table[apikey.ID, apikey.Key]
}

var _ ports.APIKeys = (*APIKeys)(nil)

func newAPIKeys() *APIKeys {
	return &APIKeys{keys: table[apikey.ID, apikey.Key]{
		noun:    "API key",
		id:      func(k *apikey.Key) *apikey.ID { return &k.ID },
		version: func(k *apikey.Key) *int64 { return &k.Version },
		alias:   func(k apikey.Key) any { return k.Digest },
		copied: func(k apikey.Key) apikey.Key {
			k.Grants, k.Actions = slices.Clone(k.Grants), slices.Clone(k.Actions)
			k.Addresses = slices.Clone(k.Addresses)
			k.Created, k.Expires, k.Revoked = moment(k.Created), moment(k.Expires), moment(k.Revoked)
			return k
		},
		fixed: func(was apikey.Key, next *apikey.Key) { next.Digest = was.Digest },
	}}
}

func (s *APIKeys) Create(ctx context.Context, k apikey.Key) (apikey.Key, error) {
	return s.keys.create(ctx, k)
}

func (s *APIKeys) Get(ctx context.Context, id apikey.ID) (apikey.Key, error) {
	return s.keys.get(ctx, id)
}

func (s *APIKeys) ByDigest(ctx context.Context, digests []string) (apikey.Key, error) {
	aliases := make([]any, len(digests))
	for i, d := range digests {
		aliases[i] = d
	}
	return s.keys.find(ctx, aliases...)
}

func (s *APIKeys) Swap(ctx context.Context, old, next apikey.Key) (apikey.Key, error) {
	return s.keys.swap(ctx, old, next)
}

func (s *APIKeys) List(ctx context.Context, app client.AppID, after apikey.ID, n int) ([]apikey.Key, error) {
	return s.keys.list(ctx, after, n, func(k apikey.Key) bool { return app == "" || k.App == app })
}

// XApps is a ports.XApps.
type XApps struct {
	xapps table[xapp.ID, xapp.App]
}

var _ ports.XApps = (*XApps)(nil)

func newXApps() *XApps {
	return &XApps{xapps: table[xapp.ID, xapp.App]{
		noun:    "X App",
		id:      func(x *xapp.App) *xapp.ID { return &x.ID },
		version: func(x *xapp.App) *int64 { return &x.Version },
		copied: func(x xapp.App) xapp.App {
			x.Created = moment(x.Created)
			return x
		},
	}}
}

func (s *XApps) Create(ctx context.Context, x xapp.App) (xapp.App, error) {
	return s.xapps.create(ctx, x)
}

func (s *XApps) Get(ctx context.Context, id xapp.ID) (xapp.App, error) {
	return s.xapps.get(ctx, id)
}

func (s *XApps) Swap(ctx context.Context, old, next xapp.App) (xapp.App, error) {
	return s.xapps.swap(ctx, old, next)
}

func (s *XApps) Delete(ctx context.Context, id xapp.ID) error {
	n, err := s.xapps.remove(ctx, func(x xapp.App) bool { return x.ID == id })
	if err == nil && n == 0 {
		return missing("X App")
	}
	return err
}

func (s *XApps) List(ctx context.Context, after xapp.ID, n int) ([]xapp.App, error) {
	return s.xapps.list(ctx, after, n, every)
}
