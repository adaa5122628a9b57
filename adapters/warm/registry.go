package warm

import (
	"context"
	"slices"
	"strings"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/xapp"
	"perch/ports"
)

// A Registry is a ports.Registry that reads the store it stands before. What is
// written through it is known at once to those who read through Warm.
type Registry struct {
	apps  *Applications
	keys  *APIKeys
	xapps *XApps
}

var _ ports.Registry = (*Registry)(nil)

// Registry returns a registry before r.
func (w *Watch) Registry(r ports.Registry) *Registry {
	return &Registry{
		apps: &Applications{r.Apps(), newShelf[client.AppID](w,
			func(n ports.Counts) int64 { return n.Applications },
			func(a client.App, _ time.Time) bool { return a.Status == client.Active },
			func(a client.App) client.App {
				a.Origins, a.RedirectURIs = slices.Clone(a.Origins), slices.Clone(a.RedirectURIs)
				a.Actions, a.Scopes, a.Limits = slices.Clone(a.Actions), slices.Clone(a.Scopes), slices.Clone(a.Limits)
				return a
			})},
		keys: &APIKeys{r.Keys(), newShelf[string](w,
			func(n ports.Counts) int64 { return n.Keys },
			func(k apikey.Key, now time.Time) bool { return k.Good(now) },
			func(k apikey.Key) apikey.Key {
				k.Grants, k.Actions, k.Addresses = slices.Clone(k.Grants), slices.Clone(k.Actions), slices.Clone(k.Addresses)
				return k
			})},
		xapps: &XApps{r.XApps(), newShelf[xapp.ID](w,
			func(n ports.Counts) int64 { return n.XApps },
			func(xapp.App, time.Time) bool { return true }, nil)},
	}
}

// Apps returns the store of client applications.
func (r *Registry) Apps() ports.Applications { return r.apps }

// Keys returns the store of API keys.
func (r *Registry) Keys() ports.APIKeys { return r.keys }

// XApps returns the store of X Apps.
func (r *Registry) XApps() ports.XApps { return r.xapps }

// Warm returns the registry as the hot path reads it.
func (r *Registry) Warm() ports.Registry { return warmRegistry{r} }

type warmRegistry struct{ *Registry }

func (r warmRegistry) Apps() ports.Applications { return warmApplications{r.apps} }
func (r warmRegistry) Keys() ports.APIKeys      { return warmAPIKeys{r.keys} }
func (r warmRegistry) XApps() ports.XApps       { return warmXApps{r.xapps} }

// Applications is a ports.Applications.
type Applications struct {
	ports.Applications
	apps *shelf[client.AppID, client.App]
}

func (s *Applications) Create(ctx context.Context, a client.App) (client.App, error) {
	defer s.apps.drop(a.ID)
	return s.Applications.Create(ctx, a)
}

func (s *Applications) Swap(ctx context.Context, old, next client.App) (client.App, error) {
	defer s.apps.drop(old.ID)
	return s.Applications.Swap(ctx, old, next)
}

type warmApplications struct{ *Applications }

func (s warmApplications) Get(ctx context.Context, id client.AppID) (client.App, error) {
	return s.apps.get(ctx, id, func(ctx context.Context) (client.App, error) { return s.Applications.Get(ctx, id) })
}

// APIKeys is a ports.APIKeys. Keys are kept by the digests they are asked for
// with, so that which of those a key has need not be known to find it.
type APIKeys struct {
	ports.APIKeys
	keys *shelf[string, apikey.Key]
}

func (s *APIKeys) Create(ctx context.Context, k apikey.Key) (apikey.Key, error) {
	defer s.keys.clear()
	return s.APIKeys.Create(ctx, k)
}

func (s *APIKeys) Swap(ctx context.Context, old, next apikey.Key) (apikey.Key, error) {
	defer s.keys.clear()
	return s.APIKeys.Swap(ctx, old, next)
}

type warmAPIKeys struct{ *APIKeys }

func (s warmAPIKeys) ByDigest(ctx context.Context, digests []string) (apikey.Key, error) {
	return s.keys.get(ctx, strings.Join(digests, "\x00"), func(ctx context.Context) (apikey.Key, error) {
		return s.APIKeys.ByDigest(ctx, digests)
	})
}

// XApps is a ports.XApps.
type XApps struct {
	ports.XApps
	xapps *shelf[xapp.ID, xapp.App]
}

func (s *XApps) Create(ctx context.Context, x xapp.App) (xapp.App, error) {
	defer s.xapps.drop(x.ID)
	return s.XApps.Create(ctx, x)
}

func (s *XApps) Swap(ctx context.Context, old, next xapp.App) (xapp.App, error) {
	defer s.xapps.drop(old.ID)
	return s.XApps.Swap(ctx, old, next)
}

func (s *XApps) Delete(ctx context.Context, id xapp.ID) error {
	defer s.xapps.drop(id)
	return s.XApps.Delete(ctx, id)
}

type warmXApps struct{ *XApps }

func (s warmXApps) Get(ctx context.Context, id xapp.ID) (xapp.App, error) {
	return s.xapps.get(ctx, id, func(ctx context.Context) (xapp.App, error) { return s.XApps.Get(ctx, id) })
}
