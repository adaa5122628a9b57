package wiring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"perch/adapters/telemetry"
	"perch/cmd/internal/config"
	"perch/ports"
)

// Open opens the stores that the settings name, for verbs that work on them
// beside a Perch that serves, or without one. It makes and changes nothing: a
// store that is not there, or not up to date, is refused. So is one in memory,
// of which only the Perch that serves knows anything.
func Open(ctx context.Context, cfg config.Config, log *slog.Logger) (Stores, func(), error) {
	kept := cfg
	kept.Quota = cfg.Store // what is counted is of no interest
	for _, url := range kept.Stores() {
		if kind, _ := config.Backend(url); kind == config.KV || kind == config.Redis {
			continue // they have no schema, and are asked when they are opened
		}
		if err := there(ctx, cfg, url); err != nil {
			return Stores{}, nil, err
		}
	}
	kept.QuotaMode = config.Exact
	return openStores(ctx, kept, log, telemetry.NewLog(log))
}

// OpenJournal opens the journal of this machine for such verbs. Where there is
// none, nothing is pending.
func OpenJournal(cfg config.Config) (ports.Journal, error) {
	if _, err := os.Stat(cfg.Journal); errors.Is(err, fs.ErrNotExist) {
		cfg.Journal = "off"
	}
	return openJournal(cfg)
}

func there(ctx context.Context, cfg config.Config, url string) error {
	kind, place := config.Backend(url)
	switch kind {
	case "memory":
		return errors.New("what is in memory: can be reached by nobody but the Perch that serves it; " +
			"name a store that lasts with PERCH_STORE and PERCH_VAULT")
	case "sqlite":
		if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s does not exist; set PERCH_STORE to where Perch keeps its things, "+
				"or make an empty one with perch migrate", config.Shown(url))
		}
	}
	pending, err := Migrate(ctx, cfg.Only(url), true)
	if err == nil && len(pending) > 0 {
		err = fmt.Errorf("%s lacks %s; run perch migrate", config.Shown(url), strings.Join(pending, ", "))
	}
	return err
}
