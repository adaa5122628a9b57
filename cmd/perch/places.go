package main

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"

	"perch/adapters/keyring"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

// places are the settings of verbs that work on stores directly.
type places struct {
	Store      string `env:"PERCH_STORE" default:"sqlite:./perch.db" placeholder:"URL" help:"Where everything is kept: sqlite:PATH, postgres://USER@HOST/DATABASE or d1:ACCOUNT/DATABASE."`
	Vault      string `env:"PERCH_VAULT" placeholder:"URL" help:"Where grants are kept, if elsewhere than the rest."`
	KeysetFile string `env:"PERCH_KEYSET_FILE" placeholder:"FILE" help:"The keys that seal what is stored; without it, ./perch.keyset.json."`

	apart

	Cloudflare config.Cloudflare `embed:"" prefix:"cloudflare-" envprefix:"PERCH_CLOUDFLARE_"`
}

// config are the settings as the rest of the house knows them.
func (s places) config(p *program) (config.Config, error) {
	cfg := s.on(config.Config{Store: s.Store, Vault: s.Vault, KeysetFile: s.KeysetFile, Cloudflare: s.Cloudflare})
	if mistakes := p.settings.SettleStores(&cfg); len(mistakes) > 0 {
		return cfg, mistakes
	}
	return cfg, nil
}

// opener opens keys for stores.
type opener func(context.Context, config.Config, wiring.Stores) (*keyring.Ring, error)

// open opens the stores, and the keys that belong to them.
func (s places) open(ctx context.Context, p *program, keys opener) (wiring.Stores, *keyring.Ring, func(), error) {
	cfg, err := s.config(p)
	if err != nil {
		return wiring.Stores{}, nil, nil, err
	}
	stores, shut, err := wiring.Open(ctx, cfg, p.log())
	if err != nil {
		return wiring.Stores{}, nil, nil, err
	}
	ring, err := keys(ctx, cfg, stores)
	if err != nil {
		shut()
		return wiring.Stores{}, nil, nil, err
	}
	return stores, ring, shut, nil
}

// stoppable is ctx until somebody stops the program: what is half done is
// then given up in order.
func stoppable(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// log tells operators beside the answer what a part of the house logs.
func (p *program) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
