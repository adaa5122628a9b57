package wiring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"perch/adapters/jws"
	"perch/adapters/keyring"
	"perch/app/clock"
	"perch/cmd/internal/config"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// openRing opens the keys that seal what is stored, making them if there are
// none and nothing is sealed yet. Keys that do not fit what is stored are
// refused here, before anything is written with them.
func openRing(ctx context.Context, cfg config.Config, s Stores, log *slog.Logger) (*keyring.Ring, error) {
	if cfg.KeysetFile == "" {
		return keyring.Ephemeral(), nil
	}
	boxes, err := samples(ctx, s)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(cfg.KeysetFile); errors.Is(err, fs.ErrNotExist) && len(boxes) > 0 {
		return nil, fmt.Errorf("the keyset %s is missing, and %s holds what was sealed with it; "+
			"restore it from a backup, or set PERCH_KEYSET_FILE to where it is", cfg.KeysetFile, config.Shown(cfg.Store))
	}
	ring, created, err := keyring.OpenOrCreate(cfg.KeysetFile)
	if err != nil {
		return nil, err
	}
	if created {
		log.Warn("made a new keyset; back it up: without it nothing that is stored can be opened",
			"file", cfg.KeysetFile)
	}
	for _, b := range boxes {
		if _, err := ring.Open(ctx, b.box, b.label); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, fmt.Errorf("the keyset %s (its primary key is %s) does not open the %s in %s; "+
				"set PERCH_KEYSET_FILE to the one that belongs to this store",
				cfg.KeysetFile, ring.Primary(), b.what, config.Shown(cfg.Store))
		}
	}
	ring.Follow(log)
	return ring, nil
}

// sampleGrants is among how many grants one is looked for that still has a
// token: those that were revoked have none.
const sampleGrants = 50

// A sample is a box that the right keys open.
type sample struct {
	what  string
	box   secret.Box
	label string
}

// samples takes one box of each kind that the stores hold. The newest signing
// key is there from the first start on.
func samples(ctx context.Context, s Stores) ([]sample, error) {
	var boxes []sample
	signing, err := s.SigningKeys.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(signing) > 0 {
		k := signing[0]
		boxes = append(boxes, sample{"signing key", k.Private, secret.Label(ports.SigningKeyLabel, k.ID)})
	}
	held, err := s.Vault.List(ctx, "", "", sampleGrants)
	if err != nil {
		return nil, err
	}
	for _, g := range held {
		what := "grant " + string(g.ID)
		switch {
		case !g.Access.Empty():
			return append(boxes, sample{what, g.Access, g.Label(oauth.AccessLabel)}), nil
		case !g.Refresh.Empty():
			return append(boxes, sample{what, g.Refresh, g.Label(oauth.RefreshLabel)}), nil
		}
	}
	return boxes, nil
}

func newKeyring(r *keyring.Ring) ports.Keyring { return r }

// newSigner has the first signing key made, so that a later start can tell
// whether its keys fit.
func newSigner(
	ctx context.Context, s Stores, ring ports.Keyring, c *clock.Clock, cfg config.Config,
) (*jws.Signer, error) {
	signer := jws.New(s.SigningKeys, ring, cfg.PublicURL, c.Now)
	_, err := signer.JWKS(ctx)
	return signer, err
}
