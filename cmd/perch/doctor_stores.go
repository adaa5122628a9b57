package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"perch/adapters/sqlstore"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// sample is how many grants are tried.
const sample = 50

// stores opens each store there is, and looks at what is in it.
func (e *exam) stores(ctx context.Context) {
	if len(e.cfg.CheckStores()) > 0 {
		return // reported with the settings
	}
	for _, store := range e.cfg.Stores() {
		if kind, _ := config.Backend(store); kind == config.KV || kind == config.Redis {
			continue // looked at below
		}
		e.store(ctx, store)
	}
	e.redis(ctx)
	e.counts(ctx)
}

func (e *exam) store(ctx context.Context, store string) {
	s := e.open(ctx, store)
	if s == nil {
		if store == e.cfg.Leases {
			e.kvWithout(ctx)
		}
		return
	}
	if store == e.cfg.Vault {
		e.grants(ctx, s.Vault())
		e.census(ctx, s.Vault())
	}
	if store == e.cfg.Registry {
		e.registry(ctx, s.Registry())
	}
	if store == e.cfg.Store {
		e.signing(ctx, s.SigningKeys())
	}
	if store == e.cfg.Leases {
		e.kv(ctx, s)
	}
	if err := s.Close(); err != nil {
		e.add(doubtful, "store", "%s did not close: %v", config.Shown(store), err)
	}
}

func (e *exam) registry(ctx context.Context, r ports.Registry) {
	e.applications(ctx, r.Apps())
	e.xApps(ctx, r.XApps())
}

// open returns the store if it is there and up to date.
func (e *exam) open(ctx context.Context, store string) *sqlstore.Store {
	const about = "store"
	kind, path := config.Backend(store)
	switch {
	case kind == "memory":
		e.add(doubtful, about, "memory: keeps nothing; users must connect again after each start")
		return nil
	case kind == "sqlite" && !e.file(store, path):
		return nil
	}
	shown := config.Shown(store)
	pending, err := wiring.Migrate(ctx, e.cfg.Only(store), true)
	if err != nil {
		e.add(broken, about, "%v", err)
		return nil
	}
	if len(pending) > 0 {
		who := "perch migrate or the next perch serve does it"
		if config.Common(store) && !e.cfg.Migrate {
			who = "run perch migrate, or perch serve does not start"
		}
		e.add(doubtful, about, "%s: %s to be applied; %s", shown, strings.Join(pending, ", "), who)
		return nil
	}
	s, err := wiring.OpenSQL(ctx, e.cfg, store)
	if err != nil {
		e.add(broken, about, "%v", err)
		return nil
	}
	e.newer(ctx, s, store)
	return s
}

// newer looks whether another version has been at work in the store.
func (e *exam) newer(ctx context.Context, s *sqlstore.Store, store string) {
	switch names, err := wiring.Newer(ctx, s, store); {
	case err != nil:
		e.add(broken, "store", "%v", err)
	case len(names) > 0:
		e.add(doubtful, "store", "%s opens; a newer version of Perch has extended it (%s), and this one goes on "+
			"without what is new", config.Shown(store), strings.Join(names, ", "))
	default:
		e.add(fine, "store", "%s opens and is up to date", config.Shown(store))
	}
}

// file looks at the file of a store and reports whether it can be opened.
func (e *exam) file(store, path string) bool {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.folder(store, filepath.Dir(path))
		return false
	case err != nil:
		e.add(broken, "store", "%s cannot be opened: %v", store, err)
		return false
	case info.Mode().Perm()&0o077 != 0:
		e.add(doubtful, "store", "%s can be read by others (mode %04o); run: chmod 600 %s", store, info.Mode().Perm(), path)
	}
	return true
}

// folder looks at where a store that is not there yet would be made.
func (e *exam) folder(store, folder string) {
	info, err := os.Stat(folder)
	if err != nil || !info.IsDir() {
		e.add(broken, "store", "%s cannot be made, because %s is no folder; make it: mkdir -p %s", store, folder, folder)
		return
	}
	if _, err := os.Stat(e.cfg.KeysetFile); err == nil {
		e.add(doubtful, "store", "%s does not exist, though the keyset %s does; perch serve would make an empty one. "+
			"If this Perch has served before, name its store", store, e.cfg.KeysetFile)
		return
	}
	e.add(fine, "store", "%s does not exist yet; perch serve makes it", store)
}

func (e *exam) grants(ctx context.Context, vault ports.TokenVault) {
	list, err := vault.List(ctx, "", "", sample)
	if err != nil {
		e.add(broken, "grants", "cannot be read: %v", err)
		return
	}
	var boxes []sealed
	for _, g := range list {
		boxes = append(boxes, sealed{g.Access, g.Label(oauth.AccessLabel)}, sealed{g.Refresh, g.Label(oauth.RefreshLabel)})
		e.byDefault = e.byDefault || g.XApp == xapp.Default
	}
	if shut := e.opened(ctx, "grants", boxes); shut == 0 {
		e.add(fine, "grants", "%d looked at", len(list))
	}
}

func (e *exam) xApps(ctx context.Context, store ports.XApps) {
	list, err := store.List(ctx, "", sample)
	if err != nil {
		e.add(broken, "X Apps", "cannot be read: %v", err)
		return
	}
	var boxes []sealed
	for _, x := range list {
		id := string(x.ID)
		if x.ID == xapp.Default {
			e.wasDefault = x.ClientID
		}
		boxes = append(boxes,
			sealed{x.ClientSecret, secret.Label(xapp.SecretLabel, id)},
			sealed{x.Bearer, secret.Label(xapp.BearerLabel, id)},
			sealed{x.APISecret, secret.Label(xapp.APISecretLabel, id)})
		e.seals("X Apps", x.ClientSecret, x.Bearer, x.APISecret)
	}
	e.opened(ctx, "X Apps", boxes)
}

func (e *exam) applications(ctx context.Context, store ports.Applications) {
	list, err := store.List(ctx, "", 200)
	if err != nil {
		e.add(broken, "applications", "cannot be read: %v", err)
		return
	}
	before := len(e.findings)
	for _, a := range list {
		if err := a.Check(); err != nil {
			e.add(broken, "applications", "%s (%s): %v; repair it with perch apps change", a.ID, a.Name, err)
		}
		for _, say := range append(doubts(a), strangers(a, e.cfg.PublicURL)...) {
			e.add(doubtful, "applications", "%s (%s) %s", a.ID, a.Name, say)
		}
	}
	if len(e.findings) == before {
		e.add(fine, "applications", "%d looked at", len(list))
	}
}

// doubts says what would not work for the pages of an application.
func doubts(a client.App) (say []string) {
	if len(a.Origins) == 0 {
		return nil // servers only
	}
	if len(a.RedirectURIs) == 0 {
		say = append(say, "has origins but no redirect URI, so nobody can sign in; "+
			"add one with perch apps change --redirect-uri")
	}
	for _, uri := range a.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || a.From(client.Origin(u.Scheme+"://"+u.Host)) {
			continue
		}
		say = append(say, fmt.Sprintf("returns browsers to %s, but pages from there may not call Perch; "+
			"if it is a page, add its origin with perch apps change --origin", uri))
	}
	return say
}
