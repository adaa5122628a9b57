package wiring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"perch/adapters/keyring"
	"perch/cmd/internal/config"
)

// KeysFor opens the keys that belong to stores which Open has opened. It
// refuses those that do not fit what is stored, and makes none.
func KeysFor(ctx context.Context, cfg config.Config, s Stores) (*keyring.Ring, error) {
	if _, err := os.Stat(cfg.KeysetFile); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the keyset %s does not exist; set PERCH_KEYSET_FILE to the one that belongs to %s, "+
			"or make one for a new store with perch keyset new",
			cfg.KeysetFile, config.Shown(cfg.Store))
	}
	return openRing(ctx, cfg, s, slog.New(slog.DiscardHandler))
}

// Fits reports whether the keyset of the settings belongs to their stores.
func Fits(ctx context.Context, cfg config.Config) error {
	s, shut, err := Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer shut()
	_, err = KeysFor(ctx, cfg, s)
	return err
}
