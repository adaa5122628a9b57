package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A Backup is what was found in a copy of a database.
type Backup struct {
	Grants  int
	Changed time.Time // when one of them last changed
}

// ErrForeign says that a file is no database of Perch.
var ErrForeign = errors.New("it is no database of Perch")

// BackUp copies the SQLite database in the file from, as it is at one moment,
// to the file to, while others read and write it. The copy is for its owner's
// eyes only, complete in one file, checked, and on the disk before it has its
// name; it never takes the place of another file.
func BackUp(ctx context.Context, from, to string) (Backup, error) {
	return duplicate(ctx, from, to, "mode=ro", "_busy_timeout=5000")
}

// Unfold copies a backup to the file to, as BackUp does, and leaves no trace
// beside the backup.
func Unfold(ctx context.Context, from, to string) (Backup, error) {
	if stat, err := os.Stat(from + "-wal"); err == nil && stat.Size() > 0 {
		return Backup{}, fmt.Errorf("%s-wal beside it holds changes that belong to it, so it was not made by perch backup; "+
			"make a backup of it and restore that: perch backup --store=sqlite:%s FILE", from, from)
	}
	return duplicate(ctx, from, to, "mode=ro", "immutable=1")
}

func duplicate(ctx context.Context, from, to string, options ...string) (b Backup, err error) {
	if stat, err := os.Stat(from); err != nil {
		return b, err
	} else if !stat.Mode().IsRegular() {
		return b, fmt.Errorf("%s is not a regular file", from)
	}
	if _, err := os.Lstat(to); err == nil {
		return b, fmt.Errorf("%s exists already and stays as it is; name another file", to)
	}
	out, err := os.CreateTemp(filepath.Dir(to), ".backup-*") // mode 0600; SQLite takes an empty file
	if err != nil {
		return b, err
	}
	name, err := filepath.Abs(out.Name())
	defer func() { _ = os.Remove(out.Name()) }()
	if err = errors.Join(err, out.Close()); err != nil {
		return b, err
	}
	if err := within(ctx, from, options, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "VACUUM INTO ?", name)
		return err
	}); err != nil {
		return b, err
	}
	if b, err = examined(ctx, name); err != nil {
		return b, err
	}
	if err := flushed(name); err != nil {
		return b, err
	}
	if err := named(name, to); err != nil {
		return b, err
	}
	return b, flushed(filepath.Dir(to))
}

// named gives a finished file its name, in nobody's place. Some network drives
// know no links; there it looks first.
func named(file, name string) error {
	err := os.Link(file, name)
	if err == nil {
		return os.Remove(file)
	}
	if _, there := os.Lstat(name); !errors.Is(there, fs.ErrNotExist) {
		return err
	}
	return os.Rename(file, name)
}

// within opens the database in the file for a moment.
func within(ctx context.Context, file string, options []string, use func(*sql.DB) error) (err error) {
	if file, err = filepath.Abs(file); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+strings.Join(options, "&"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := use(db); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return ctx.Err()
}

// examined looks whether a database that nobody uses is whole, and ours.
func examined(ctx context.Context, file string) (b Backup, err error) {
	return b, within(ctx, file, []string{"mode=ro", "immutable=1"}, func(db *sql.DB) error {
		var verdict string
		if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict); err != nil {
			return err
		}
		if verdict != "ok" {
			return fmt.Errorf("the database is damaged: %s", verdict)
		}
		var ours int
		err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master
			WHERE type = 'table' AND name IN ('perch_migrations', 'grants', 'sessions')`).Scan(&ours)
		if err != nil {
			return err
		}
		if ours != 3 {
			return ErrForeign
		}
		var changed int64
		err = db.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(MAX(updated), 0) FROM grants").Scan(&b.Grants, &changed)
		b.Changed = moment(changed)
		return err
	})
}

// flushed waits until the file, or the names in the folder, are on the disk.
func flushed(path string) error {
	stat, err := os.Stat(path)
	if err != nil || (stat.IsDir() && runtime.GOOS == "windows") {
		return err
	}
	f, err := os.Open(path) // #nosec G304 -- the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
