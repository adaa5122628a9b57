// Package wiring puts the house together: it is the only place that knows every
// room. Which backend keeps what is decided here, by the settings.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"perch/adapters/cloudflare"
	"perch/adapters/memory"
	"perch/adapters/sqlstore"
	"perch/app/quotas"
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
	Operators() ports.Operators
	Uses() ports.Uses
	Quota() ports.QuotaStore
	Heads() ports.Heads
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
	Operators      ports.Operators
	Uses           ports.Uses
	Quota          ports.QuotaStore
	Clock          ports.Clock // that of the vault
	Warm           Warm
	Backends       []Backend  // each once
	Followers      []follower // those whose home may have missed something
}

// A Backend is one of the stores by its setting.
type Backend struct {
	URL      string
	Name     string // of what it does, where that is one thing; else it goes by its kind
	Ping     ports.Pinger
	Required bool // without it Perch cannot serve
}

// openStores opens the backends that the settings name, each once. The schema of
// an embedded one it brings up to date.
func openStores(ctx context.Context, cfg config.Config, log *slog.Logger, watch ports.Observer) (
	Stores, func(), error,
) {
	o := &opener{cfg: cfg, log: log, closers: map[string]io.Closer{}}
	s, err := o.all(ctx)
	if err == nil {
		err = o.openQuota(ctx, &s, watch)
	}
	if err != nil {
		o.shut()
		return Stores{}, nil, err
	}
	s.Backends = o.parts
	s, cool := keepWarm(ctx, s, o.backend(cfg.Store), o.backend(cfg.Vault), o.backend(cfg.Registry))
	return s, func() { cool(); o.giveBack(); o.shut() }, nil
}

// An opener opens stores by their URLs and remembers them.
type opener struct {
	cfg     config.Config
	log     *slog.Logger
	closers map[string]io.Closer
	parts   []Backend
	blocks  *quotas.Blocks // nil: none are taken
}

// backend returns the backend at the URL; nil for one that keeps some things only.
func (o *opener) backend(url string) backend {
	b, _ := o.closers[url].(backend)
	return b
}

func (o *opener) shut() {
	for url, c := range o.closers {
		if err := c.Close(); err != nil {
			o.log.Error("closing a store", "store", config.Shown(url), "error", err)
		}
	}
}

func (o *opener) all(ctx context.Context) (Stores, error) {
	main, err := o.open(ctx, o.cfg.Store)
	if err != nil {
		return Stores{}, err
	}
	s := Stores{
		Vault: main.Vault(), Registry: main.Registry(), Authorizations: main.Authorizations(), Codes: main.Codes(),
		Sessions: main.Sessions(), SigningKeys: main.SigningKeys(),
		Operators: main.Operators(), Uses: main.Uses(), Clock: main,
	}
	for _, part := range []struct {
		url  string
		take func(b backend)
	}{
		{o.cfg.Vault, func(b backend) { s.Vault, s.Clock = b.Vault(), b }},
		{o.cfg.Registry, func(b backend) { s.Registry = b.Registry() }},
	} {
		if kind, _ := config.Backend(part.url); kind == config.KV {
			continue
		}
		b, err := o.open(ctx, part.url)
		if err != nil {
			return Stores{}, err
		}
		part.take(b)
	}
	return s, o.openKV(ctx, &s)
}

// open opens a backend unless it is open already.
func (o *opener) open(ctx context.Context, url string) (backend, error) {
	if b, ok := o.closers[url].(backend); ok {
		return b, nil
	}
	b, err := openBackend(ctx, url, o.cfg, o.log)
	if err != nil {
		return nil, err
	}
	o.closers[url] = b
	o.parts = append(o.parts, Backend{URL: url, Ping: b, Required: true})
	return b, nil
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
	db, err := cloudflare.OpenD1(cloudflareOf(cfg, account), database)
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
	for _, url := range cfg.Stores() {
		if config.Schemaless(url) {
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
