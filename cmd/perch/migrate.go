package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

type migrateVerb struct {
	Store string `env:"PERCH_STORE" default:"sqlite:./perch.db" placeholder:"URL" help:"Where everything is kept: sqlite:PATH, postgres://USER@HOST/DATABASE or d1:ACCOUNT/DATABASE."`
	Vault string `env:"PERCH_VAULT" placeholder:"URL" help:"Where grants are kept, if elsewhere than the rest."`
	Quota string `env:"PERCH_QUOTA" placeholder:"URL" help:"Where calls are counted, if elsewhere than the rest."`

	apart

	Cloudflare config.Cloudflare `embed:"" prefix:"cloudflare-" envprefix:"PERCH_CLOUDFLARE_"`

	DryRun bool `help:"Say what would be done, and do nothing."`
}

// apart says where the registry is if elsewhere than the rest, and what guards
// that which is in Workers KV.
type apart struct {
	Registry     string `env:"PERCH_REGISTRY" placeholder:"URL" help:"Where client applications, API keys and X Apps are kept, if elsewhere than the rest."`
	Leases       string `env:"PERCH_LEASES" placeholder:"URL" help:"Where the newest versions of what is in Workers KV are kept."`
	SingleWriter bool   `env:"PERCH_SINGLE_WRITER" help:"This is the only Perch that writes to what is in Workers KV."`
}

// on is the settings with these.
func (a apart) on(cfg config.Config) config.Config {
	cfg.Registry, cfg.Leases, cfg.SingleWriter = a.Registry, a.Leases, a.SingleWriter
	return cfg
}

// Run applies what is pending, store by store.
func (v migrateVerb) Run(ctx context.Context, p *program) error {
	cfg := v.on(config.Config{Store: v.Store, Vault: v.Vault, Quota: v.Quota, Cloudflare: v.Cloudflare})
	if mistakes := p.settings.SettleStores(&cfg); len(mistakes) > 0 {
		return mistakes
	}
	for _, store := range cfg.Stores() {
		if err := v.migrate(ctx, p, cfg, store); err != nil {
			return err
		}
	}
	return nil
}

func (v migrateVerb) migrate(ctx context.Context, p *program, cfg config.Config, store string) error {
	kind, path := config.Backend(store)
	shown := config.Shown(store)
	switch {
	case config.Schemaless(store):
		p.say("%s needs no schema\n", shown)
		return nil
	case kind == "sqlite":
		if _, err := os.Stat(path); v.DryRun && errors.Is(err, fs.ErrNotExist) {
			p.say("%s does not exist yet; it would be made with its whole schema\n", shown)
			return nil
		}
	}
	say := "applied"
	if v.DryRun {
		say = "would apply"
	}
	names, err := wiring.Migrate(ctx, cfg.Only(store), v.DryRun)
	for _, name := range names {
		p.say("%s: %s %s\n", shown, say, name)
	}
	if len(names) == 0 && err == nil {
		p.say("%s is up to date\n", shown)
	}
	return err
}
