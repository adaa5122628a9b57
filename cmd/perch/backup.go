package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"perch/adapters/sqlstore"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

type backupVerb struct {
	places
	File string `arg:"" placeholder:"FILE" help:"Where the backup goes; a file that is there stays as it is."`
}

// Help says what a backup is good for, and for how long.
func (backupVerb) Help() string {
	return `Copies the SQLite database as it is at one moment, while Perch serves it. Keep the keyset file as well, and
apart from it: neither is any use without the other, and both together are the users' tokens.

A backup grows old fast: X's refresh tokens work once, so each grant that was refreshed since cannot be refreshed
from it. It saves applications, keys and grants that were not used since; the other users connect again.`
}

// Run makes a backup.
func (v backupVerb) Run(ctx context.Context, p *program) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	cfg, err := v.config(p)
	if err != nil {
		return err
	}
	path, err := sqliteOnly(cfg.Store, "backup")
	if err != nil {
		return err
	}
	b, err := sqlstore.BackUp(ctx, path, v.File)
	if err != nil {
		return fmt.Errorf("no backup was made: %w", err)
	}
	p.say("%s is a backup of %s with %d grants\n", v.File, config.Shown(cfg.Store), b.Grants)
	if cfg.Vault != cfg.Store {
		p.note("Grants are in %s (PERCH_VAULT), of which this is no backup; make one of it, too.\n", config.Shown(cfg.Vault))
	}
	p.note("Keep %s as well, and apart from it: without it the backup opens nowhere.\n", cfg.KeysetFile)
	return nil
}

// sqliteOnly is the path of an SQLite store; of others it says what to use
// instead.
func sqliteOnly(store, verb string) (path string, err error) {
	kind, path := config.Backend(store)
	say := "perch " + verb + " is for SQLite, and PERCH_STORE is " + config.Shown(store)
	switch kind {
	case "sqlite":
		return path, nil
	case config.Postgres:
		return "", misuse(say + "; use PostgreSQL's pg_dump --format=custom and pg_restore, or its point-in-time recovery")
	case "d1":
		return "", misuse(say + "; use wrangler d1 export, or D1's Time Travel (wrangler d1 time-travel restore)")
	case "memory":
		return "", misuse(say + ", which ends with Perch; there is nothing to keep")
	}
	return "", misuse(say + "; use what that store has for it")
}

type restoreVerb struct {
	places
	File    string `arg:"" placeholder:"FILE" help:"What perch backup made; it stays as it is."`
	Replace bool   `help:"Put it in the place of a database that is there, which is kept beside it."`
}

// Help says what comes back with a backup.
func (restoreVerb) Help() string {
	return `Puts a backup where PERCH_STORE says, after looking whether it is whole and opens with the keyset.
Stop Perch first.

Old refresh tokens come back with an old backup, and X takes one that was used before for stolen: grants that were
refreshed since the backup cannot be refreshed again, and their users must connect again.`
}

// Run restores a backup.
func (v restoreVerb) Run(ctx context.Context, p *program) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	cfg, err := v.config(p)
	if err != nil {
		return err
	}
	path, err := sqliteOnly(cfg.Store, "restore")
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil && !v.Replace {
		return misuse(path + " is there already; with --replace it is kept beside the restored one, under another name")
	}
	staged := filepath.Clean(path) + ".restoring"
	defer func() {
		for _, name := range []string{staged, staged + "-wal", staged + "-shm"} {
			_ = os.Remove(name)
		}
	}()
	b, err := v.stage(ctx, cfg, staged)
	if err != nil {
		return fmt.Errorf("%s is not restored, and nothing was changed: %w", v.File, err)
	}
	kept, err := sqlstore.Install(ctx, staged, path, v.Replace, time.Now())
	if errors.Is(err, sqlstore.ErrServed) {
		return fmt.Errorf("%s is not restored, and nothing was changed: %s is in use; stop every Perch that serves it",
			v.File, path)
	}
	if err != nil {
		return fmt.Errorf("%s is not restored: %w", v.File, err)
	}
	v.report(p, cfg, b, kept)
	return nil
}

// stage copies the backup beside where it goes, brings its schema up to date and
// tries the keyset on it.
func (v restoreVerb) stage(ctx context.Context, cfg config.Config, staged string) (b sqlstore.Backup, err error) {
	if err := os.Remove(staged); err != nil && !errors.Is(err, os.ErrNotExist) {
		return b, err // of an attempt that was killed
	}
	if b, err = sqlstore.Unfold(ctx, v.File, staged); err != nil {
		return b, err
	}
	only := config.Config{Store: "sqlite:" + staged, KeysetFile: cfg.KeysetFile}.Settled()
	if _, err := wiring.Migrate(ctx, only, false); err != nil {
		return b, err
	}
	return b, wiring.Fits(ctx, only)
}

func (v restoreVerb) report(p *program, cfg config.Config, b sqlstore.Backup, kept string) {
	p.say("%s is restored from %s with %d grants\n", config.Shown(cfg.Store), v.File, b.Grants)
	if kept != "" {
		p.note("What was there is kept as %s.\n", kept)
	}
	if !b.Changed.IsZero() {
		p.note("The last change of a grant in it is of %s. Grants that were refreshed since cannot be refreshed again, for "+
			"X takes a refresh token that was used before for stolen; their users must connect again.\n",
			b.Changed.Format(time.RFC3339))
	}
	p.note("Revocations since then are forgotten, too: of users, API keys and applications.\n")
	if cfg.Vault != cfg.Store {
		p.note("Grants are in %s (PERCH_VAULT), which stays as it is.\n", config.Shown(cfg.Vault))
	}
}
