// Package clients registers client applications and knows them by their keys.
package clients

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/xapp"
	"perch/ports"
)

// OriginsTTL is how old the list of allowed origins may be that preflights are
// answered from.
const OriginsTTL = time.Second

// xapps tells whether an X App exists.
type xapps interface {
	Get(ctx context.Context, id xapp.ID) (ports.XApp, error)
}

// Service manages client applications and their API keys.
type Service struct {
	apps  ports.Applications
	keys  ports.APIKeys
	ring  ports.Keyring
	xapps xapps

	mu      sync.Mutex
	origins map[client.Origin]bool
	read    time.Time
}

// New returns the service.
func New(apps ports.Applications, keys ports.APIKeys, ring ports.Keyring, x xapps) *Service {
	return &Service{apps: apps, keys: keys, ring: ring, xapps: x}
}

// Register stores a new, active application and gives it its ID. Without
// actions it may do everything; without an X App it uses the default one.
func (s *Service) Register(ctx context.Context, a client.App) (client.App, error) {
	a.ID = client.AppID("app_" + strings.ToLower(rand.Text()))
	a.Status, a.Created = client.Active, time.Now().UTC().Truncate(time.Microsecond)
	if a.XApp == "" {
		a.XApp = xapp.Default
	}
	if len(a.Actions) == 0 {
		a.Actions = []string{client.Everything}
	}
	if err := s.check(ctx, a); err != nil {
		return client.App{}, err
	}
	a, err := s.apps.Create(ctx, a)
	s.forget()
	return a, err
}

func (s *Service) check(ctx context.Context, a client.App) error {
	if err := a.Check(); err != nil {
		return err
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
	defer s.forget()
	for {
		old, err := s.Get(ctx, id)
		if err != nil {
			return client.App{}, err
		}
		next := edit(old)
		next.ID, next.XApp, next.Created = old.ID, old.XApp, old.Created
		if err := s.check(ctx, next); err != nil {
			return client.App{}, err
		}
		next, err = s.apps.Swap(ctx, old, next)
		if !errors.Is(err, fault.Conflict) {
			return next, err
		}
	}
}

// Allowed reports whether some active application allows calls from the
// origin. It may be behind by OriginsTTL.
func (s *Service) Allowed(ctx context.Context, o client.Origin) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.origins == nil || time.Since(s.read) > OriginsTTL {
		origins, err := s.readOrigins(ctx)
		if err != nil {
			return false, err
		}
		s.origins, s.read = origins, time.Now()
	}
	return s.origins[o], nil
}

func (s *Service) readOrigins(ctx context.Context) (map[client.Origin]bool, error) {
	origins := map[client.Origin]bool{}
	var after client.AppID
	for {
		page, err := s.apps.List(ctx, after, 500)
		if err != nil {
			return nil, err
		}
		for _, a := range page {
			if a.Status != client.Active {
				continue
			}
			for _, o := range a.Origins {
				origins[o] = true
			}
		}
		if len(page) == 0 {
			return origins, nil
		}
		after = page[len(page)-1].ID
	}
}

func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origins = nil
}
