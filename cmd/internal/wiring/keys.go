package wiring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"

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
	if err := fits(ctx, ring, boxes, cfg, log); err != nil {
		return nil, err
	}
	ring.Follow(log)
	return ring, nil
}

// fits refuses keys that lack one which something is sealed with, and those that
// open nothing. Single boxes that do not open are damaged, which others need not
// suffer for.
func fits(ctx context.Context, ring *keyring.Ring, boxes []sample, cfg config.Config, log *slog.Logger) error {
	opened := len(boxes) == 0
	for _, b := range boxes {
		_, err := ring.Open(ctx, b.box, b.label)
		switch {
		case err == nil:
			opened = true
		case ctx.Err() != nil:
			return err
		case ring.KeyOf(b.box) != "" && !holds(ring, b.box):
			return fmt.Errorf("the keyset %s (its primary key is %s) lacks the key %s, with which the %s in %s is sealed; "+
				"set PERCH_KEYSET_FILE to the one that belongs to this store, or restore its newest copy",
				cfg.KeysetFile, ring.Primary(), ring.KeyOf(b.box), b.what, config.Shown(cfg.Store))
		default:
			log.Error("a box does not open, so it is damaged or in a wrong place; perch doctor tells more", "what", b.what)
		}
	}
	if !opened {
		return fmt.Errorf("the keyset %s (its primary key is %s) does not open the %s in %s; "+
			"set PERCH_KEYSET_FILE to the one that belongs to this store",
			cfg.KeysetFile, ring.Primary(), boxes[0].what, config.Shown(cfg.Store))
	}
	return nil
}

func holds(ring *keyring.Ring, box secret.Box) bool {
	return slices.ContainsFunc(ring.Keys(), func(k keyring.Key) bool { return k.ID == ring.KeyOf(box) })
}

// sampleGrants is how many grants are looked at.
const sampleGrants = 50

// A sample is a box that the right keys open.
type sample struct {
	what  string
	box   secret.Box
	label string
}

// samples takes boxes of each kind that the stores hold, older and newer ones: a
// keyset from before a rotation opens some of them. The newest signing key is
// there from the first start on.
func samples(ctx context.Context, s Stores) (boxes []sample, err error) {
	signing, err := s.SigningKeys.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range signing {
		boxes = append(boxes, sample{"signing key " + k.ID, k.Private, secret.Label(ports.SigningKeyLabel, k.ID)})
	}
	held, err := s.Vault.List(ctx, "", "", sampleGrants)
	if err != nil {
		return nil, err
	}
	for _, g := range held {
		what := "grant " + string(g.ID)
		boxes = append(boxes,
			sample{what, g.Access, g.Label(oauth.AccessLabel)}, sample{what, g.Refresh, g.Label(oauth.RefreshLabel)})
	}
	return slices.DeleteFunc(boxes, func(b sample) bool { return b.box.Empty() }), nil
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
