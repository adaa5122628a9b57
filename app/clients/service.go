// Package clients registers client applications and knows them by their keys.
package clients

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

// xapps tells whether an X App exists.
type xapps interface {
	Get(ctx context.Context, id xapp.ID) (ports.XApp, error)
}

// uses notes that credentials are used.
type uses interface{ Mark(id string) }

// Service manages client applications and their API keys.
type Service struct {
	apps   ports.Applications
	keys   ports.APIKeys
	ring   ports.Keyring
	xapps  xapps
	uses   uses
	wrongs *wrongs
	usual  *atomic.Value // client.AppID of whoever was let in last

	origins *origins
}

// New returns the service.
func New(apps ports.Applications, keys ports.APIKeys, ring ports.Keyring, x xapps, u uses) *Service {
	s := &Service{
		apps: apps, keys: keys, ring: ring, xapps: x, uses: u, wrongs: newWrongs(), usual: &atomic.Value{},
		origins: newOrigins(apps, apps),
	}
	s.usual.Store(nobody)
	return s
}

// Through returns the service as it reads through other stores: those of the
// hot path, say.
func (s *Service) Through(apps ports.Applications, keys ports.APIKeys) *Service {
	return &Service{
		apps: apps, keys: keys, ring: s.ring, xapps: s.xapps, uses: s.uses, wrongs: s.wrongs, usual: s.usual,
		origins: s.origins,
	}
}

// Register stores a new, active application and gives it its ID. Without
// actions it may do everything; without an X App it uses the default one.
// Without scopes it may ask for those that scopesFor chooses.
func (s *Service) Register(ctx context.Context, a client.App) (client.App, error) {
	a.ID = client.AppID("app_" + strings.ToLower(rand.Text()))
	a.Status, a.Created = client.Active, time.Now().UTC().Truncate(time.Microsecond)
	if a.XApp == "" {
		a.XApp = xapp.Default
	}
	if len(a.Actions) == 0 {
		a.Actions = []string{xapi.Everything}
	}
	if len(a.Scopes) == 0 {
		a.Scopes = scopesFor(a.Actions).List()
	}
	if err := s.check(ctx, a); err != nil {
		return client.App{}, err
	}
	a, err := s.apps.Create(ctx, a)
	s.origins.forget()
	return a, err
}

func (s *Service) check(ctx context.Context, a client.App) error {
	if err := a.Check(); err != nil {
		return err
	}
	if unknown := oauth.Everything.Missing(a.Scopes); len(unknown) > 0 {
		return fault.New(fault.Invalid, "X has no scope %q; it has %s", unknown[0], oauth.Everything)
	}
	_, err := s.xapps.Get(ctx, a.XApp)
	return err
}

// Get returns the application, or fault.NotFound.
func (s *Service) Get(ctx context.Context, id client.AppID) (client.App, error) {
	a, err := s.apps.Get(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return a, fault.New(fault.NotFound, "no client application has the ID %q", id)
	}
	return a, err
}

// List returns up to n applications after the given one.
func (s *Service) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	return s.apps.List(ctx, after, n)
}

// Change applies edit to the application as it is stored. ID, X App, creation
// time and version stay as they were: a grant belongs to one X App.
func (s *Service) Change(
	ctx context.Context, id client.AppID, edit func(client.App) client.App,
) (client.App, error) {
	defer s.origins.forget()
	for {
		old, err := s.Get(ctx, id)
		if err != nil {
			return client.App{}, err
		}
		next := edit(old)
		next.ID, next.XApp, next.Created = old.ID, old.XApp, old.Created
		if err := s.check(ctx, next); err != nil && !onlySuspends(old, next) {
			return client.App{}, err
		}
		next, err = s.apps.Swap(ctx, old, next)
		if !errors.Is(err, fault.Conflict) {
			return next, err
		}
	}
}

// onlySuspends reports whether the change takes everything away and alters nothing
// else. That is always possible, also where what is stored is from before a rule.
func onlySuspends(old, next client.App) bool {
	if next.Status != client.Suspended {
		return false
	}
	old.Status = client.Suspended
	return reflect.DeepEqual(old, next)
}
