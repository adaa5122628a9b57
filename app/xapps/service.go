// Package xapps keeps the developer apps of X through which Perch acts.
package xapps

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// Service manages X Apps. The default one comes from settings and is not stored.
type Service struct {
	store     ports.XApps
	apps      ports.Applications
	ring      ports.Keyring
	byDefault ports.XApp
}

// New returns the service. A byDefault without client ID means that settings
// name no X App.
func New(store ports.XApps, apps ports.Applications, ring ports.Keyring, byDefault ports.XApp) *Service {
	byDefault.ID = xapp.Default
	return &Service{store, apps, ring, byDefault}
}

// Through returns the service as it reads X Apps through another store: that of
// the hot path, say.
func (s *Service) Through(store ports.XApps) *Service {
	other := *s
	other.store = store
	return &other
}

// Get returns the X App with its secrets opened, or fault.NotFound.
func (s *Service) Get(ctx context.Context, id xapp.ID) (ports.XApp, error) {
	if id == xapp.Default {
		if s.byDefault.ClientID == "" {
			return ports.XApp{}, missing(id)
		}
		return s.byDefault, nil
	}
	stored, err := s.store.Get(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return ports.XApp{}, missing(id)
	}
	if err != nil {
		return ports.XApp{}, err
	}
	return s.open(ctx, stored)
}

func missing(id xapp.ID) error {
	if id == xapp.Default {
		return fault.New(fault.NotFound, "the settings name no X App; set PERCH_X_CLIENT_ID").Named("no-x-app")
	}
	return fault.New(fault.NotFound, "no X App is called %q; perch xapps list shows those there are", id).
		Named("no-x-app")
}

func (s *Service) open(ctx context.Context, x xapp.App) (ports.XApp, error) {
	out := ports.XApp{ID: x.ID, ClientID: x.ClientID, APIKey: x.APIKey}
	for _, part := range []struct {
		box  secret.Box
		kind string
		into *secret.Text
	}{
		{x.ClientSecret, xapp.SecretLabel, &out.ClientSecret},
		{x.Bearer, xapp.BearerLabel, &out.Bearer},
		{x.APISecret, xapp.APISecretLabel, &out.APISecret},
	} {
		if part.box.Empty() {
			continue
		}
		t, err := s.ring.Open(ctx, part.box, secret.Label(part.kind, string(x.ID)))
		if err != nil {
			return ports.XApp{}, err
		}
		*part.into = t
	}
	return out, nil
}

// Add stores an X App under its ID, which an empty one is given, with its
// secrets sealed.
func (s *Service) Add(ctx context.Context, name string, x ports.XApp) (xapp.App, error) {
	if x.ID == "" {
		x.ID = xapp.ID("xapp_" + strings.ToLower(rand.Text()))
	}
	if err := check(name, x); err != nil {
		return xapp.App{}, err
	}
	out := xapp.App{
		ID: x.ID, Name: name, ClientID: x.ClientID, APIKey: x.APIKey,
		Created: time.Now().UTC().Truncate(time.Microsecond),
	}
	err := s.seal(ctx, x.ID, []part{
		{&x.ClientSecret, xapp.SecretLabel, &out.ClientSecret},
		{&x.Bearer, xapp.BearerLabel, &out.Bearer},
		{&x.APISecret, xapp.APISecretLabel, &out.APISecret},
	})
	if err != nil {
		return xapp.App{}, err
	}
	added, err := s.store.Create(ctx, out)
	if errors.Is(err, fault.Conflict) {
		return xapp.App{}, fault.New(fault.Conflict, "an X App called %q exists already; choose another ID", x.ID)
	}
	return added, err
}

func check(name string, x ports.XApp) error {
	switch {
	case x.ID == xapp.Default:
		return fault.New(fault.Conflict, "the ID %q is that of the X App in the settings; choose another", x.ID)
	case len(x.ID) > 100 || strings.Trim(string(x.ID), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
		return fault.New(fault.Invalid, "the ID of an X App has at most 100 of a-z, 0-9, - and _")
	case x.ClientID == "":
		return fault.New(fault.Invalid, "an X App needs the OAuth 2.0 client ID that X shows for it")
	case (x.APIKey == "") != x.APISecret.Empty():
		return halfAKeyPair()
	}
	if err := checkName(name); err != nil {
		return err
	}
	return checkVisible(x)
}

// List returns the stored X Apps in order of ID.
func (s *Service) List(ctx context.Context, after xapp.ID, n int) ([]xapp.App, error) {
	page, err := s.store.List(ctx, after, n+1)
	page = slices.DeleteFunc(page, func(x xapp.App) bool { return x.ID == xapp.Default })
	return page[:min(n, len(page))], err
}

// ByDefault returns the client ID of the X App in the settings, "" if none.
func (s *Service) ByDefault() string { return s.byDefault.ClientID }

// Remove deletes a stored X App that no client application uses.
func (s *Service) Remove(ctx context.Context, id xapp.ID) error {
	if id == xapp.Default {
		return fault.New(fault.Conflict, "the default X App comes from the settings; remove it there")
	}
	var after client.AppID
	for {
		page, err := s.apps.List(ctx, after, 200)
		if err != nil {
			return err
		}
		for _, a := range page {
			if a.XApp == id {
				return fault.New(fault.Conflict, "client application %s (%s) acts through this X App and can neither "+
					"move to another nor be deleted, so the X App stays. To stop the application, suspend it: "+
					"perch apps change %s --status=suspended; to give the X App other secrets: perch xapps change %s",
					a.ID, a.Name, a.ID, id)
			}
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
	}
	err := s.store.Delete(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return missing(id)
	}
	return err
}
