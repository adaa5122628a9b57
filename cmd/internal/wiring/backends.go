// Package wiring puts the house together: it is the only place that knows every
// room. Which backend keeps what is decided here, by the settings.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"perch/adapters/cloudflare"
	"perch/adapters/memory"
	"perch/adapters/sqlstore"
	"perch/cmd/internal/config"
	"perch/migrations"
	"perch/ports"
)

// A backend keeps everything; settings may give single ports to another one.
type backend interface {
	ports.Pinger
	ports.Clock
	Vault() ports.TokenVault
	Registry() ports.Registry
	Authorizations() ports.Authorizations
	Codes() ports.Codes
	Sessions() ports.Sessions
	SigningKeys() ports.SigningKeys
	Quota() ports.QuotaStore
	Close() error
}

// Stores is where a house keeps its things.
type Stores struct {
	Vault          ports.TokenVault
	Registry       ports.Registry
	Authorizations ports.Authorizations
	Codes          ports.Codes
	Sessions       ports.Sessions
	SigningKeys    ports.SigningKeys
	Quota          ports.QuotaStore
	Clock          ports.Clock // that of the vault
	Warm           Warm
	Backends       []Backend // each once
}

// A Backend is one of the stores by its setting.
type Backend struct {
	URL  string
	Ping ports.Pinger
}

// openStores opens the backends that the settings name, each once. The schema of
// an embedded one it brings up to date.
func openStores(ctx context.Context, cfg config.Config, log *slog.Logger) (Stores, func(), error) {
	opened := map[string]backend{}
	shut := func() {
		for url, b := range opened {
			if err := b.Close(); err != nil {
				log.Error("closing a store", "store", config.Shown(url), "error", err)
			}
		}
	}
	for _, url := range []string{cfg.Store, cfg.Vault, cfg.Quota} {
		if opened[url] != nil {
			continue
		}
		b, err := openBackend(ctx, url, cfg, log)
		if err != nil {
			shut()
			return Stores{}, nil, err
		}
		opened[url] = b
	}
	main := opened[cfg.Store]
	s := Stores{
		Vault: opened[cfg.Vault].Vault(), Registry: main.Registry(), Authorizations: main.Authorizations(),
		Codes: main.Codes(), Sessions: main.Sessions(), SigningKeys: main.SigningKeys(), Quota: opened[cfg.Quota].Quota(),
		Clock: opened[cfg.Vault],
	}
	for url, b := range opened {
		s.Backends = append(s.Backends, Backend{url, b})
	}
	s, cool := keepWarm(ctx, s, main, opened[cfg.Vault])
	return s, func() { cool(); shut() }, nil
}

func openBackend(ctx context.Context, url string, cfg config.Config, log *slog.Logger) (backend, error) {
	kind, _ := config.Backend(url)
	if kind == "memory" {
		return memory.Open(), nil
	}
	s, err := OpenSQL(ctx, cfg, url)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, s, url, cfg.Migrate, log); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenSQL opens the store in a database, whatever its schema is.
func OpenSQL(ctx context.Context, cfg config.Config, url string) (*sqlstore.Store, error) {
	kind, place := config.Backend(url)
	if kind != config.D1 {
		return sqlstore.Open(ctx, url)
	}
	account, database := config.InD1(place)
	db, err := cloudflare.OpenD1(cloudflare.Config{
		URL: cfg.Cloudflare.URL, Account: account, Token: cfg.Cloudflare.Token,
	}, database)
	if err != nil {
		return nil, err
	}
	s, err := sqlstore.OnD1(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("open %s at %s: %w", url, cfg.Cloudflare.URL, err)
	}
	return s, nil
}

// prepare brings a schema up to date. That of a database which others depend on
// too is left alone, unless the operator wants it otherwise.
func prepare(ctx context.Context, s *sqlstore.Store, url string, wanted bool, log *slog.Logger) error {
	newer, err := schema(url).Newer(ctx, s.DB())
	if err != nil {
		return err
	}
	if len(newer) > 0 {
		log.Warn("a newer version of Perch has extended the store; this one goes on without what is new",
			"store", config.Shown(url), "migrations", newer)
	}
	if config.Common(url) && !wanted {
		pending, err := schema(url).Pending(ctx, s.DB())
		if err == nil && len(pending) > 0 {
			err = fmt.Errorf("%s lacks %s; run perch migrate, or start with --migrate (PERCH_MIGRATE=true)",
				config.Shown(url), strings.Join(pending, ", "))
		}
		return err
	}
	applied, err := schema(url).Apply(ctx, s.DB())
	for _, name := range applied {
		log.Info("migrated the store", "store", config.Shown(url), "migration", name)
	}
	return err
}

// schema is the one for the store.
func schema(url string) migrations.Schema {
	switch kind, _ := config.Backend(url); kind {
	case config.Postgres:
		return migrations.Postgres()
	case config.D1:
		return migrations.D1()
	}
	return migrations.SQLite()
}

// Migrate brings the schemas of the settings' stores up to date and returns
// what it applied, or with dry would apply. A store in memory has no schema.
func Migrate(ctx context.Context, cfg config.Config, dry bool) (names []string, err error) {
	urls := []string{cfg.Store, cfg.Vault, cfg.Quota}
	slices.Sort(urls)
	for _, url := range slices.Compact(urls) {
		if kind, _ := config.Backend(url); kind == "memory" {
			continue
		}
		more, err := migrate(ctx, cfg, url, dry)
		names = append(names, more...)
		if err != nil {
			return names, fmt.Errorf("%s: %w", config.Shown(url), err)
		}
	}
	return names, nil
}

func migrate(ctx context.Context, cfg config.Config, url string, dry bool) (names []string, err error) {
	s, err := OpenSQL(ctx, cfg, url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if dry {
		return schema(url).Pending(ctx, s.DB())
	}
	return schema(url).Apply(ctx, s.DB())
}

// Newer returns the names of migrations that a newer version has applied to the
// store.
func Newer(ctx context.Context, s *sqlstore.Store, url string) ([]string, error) {
	return schema(url).Newer(ctx, s.DB())
}
