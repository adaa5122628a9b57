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

	Cloudflare config.Cloudflare `embed:"" prefix:"cloudflare-" envprefix:"PERCH_CLOUDFLARE_"`

	DryRun bool `help:"Say what would be done, and do nothing."`
}

// Run applies what is pending, store by store.
func (v migrateVerb) Run(ctx context.Context, p *program) error {
	cfg := config.Config{Store: v.Store, Vault: v.Vault, Quota: v.Quota, Cloudflare: v.Cloudflare}
	if mistakes := p.settings.SettleStores(&cfg); len(mistakes) > 0 {
		return mistakes
	}
	for _, store := range stores(cfg) {
		if err := v.migrate(ctx, p, cfg, store); err != nil {
			return err
		}
	}
	return nil
}

// stores lists the backends that the settings name, each once.
func stores(cfg config.Config) []string {
	list := []string{cfg.Store}
	for _, s := range []string{cfg.Vault, cfg.Quota} {
		if s != list[0] && s != list[len(list)-1] {
			list = append(list, s)
		}
	}
	return list
}

func (v migrateVerb) migrate(ctx context.Context, p *program, cfg config.Config, store string) error {
	kind, path := config.Backend(store)
	shown := config.Shown(store)
	switch kind {
	case "memory":
		p.say("%s needs no schema\n", shown)
		return nil
	case "sqlite":
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
