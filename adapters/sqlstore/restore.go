package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// companions are what SQLite puts beside a database. One that is left from
// another database would be played into the one that takes its place.
func companions() []string { return []string{"-wal", "-shm", "-journal"} }

// ErrThere says that a database is where another was to be put.
var ErrThere = errors.New("there is a database already")

// ErrServed says that somebody has the database open.
var ErrServed = errors.New("somebody uses the database")

// Install gives the database in the file staged, which nobody uses, the name
// path. What is there is refused with ErrThere, unless it is to be replaced:
// then it is kept beside it under the name that is returned. Nobody may be using
// it; ErrServed says that somebody is.
func Install(ctx context.Context, staged, path string, replace bool, now time.Time) (kept string, err error) {
	if err := closed(ctx, staged); err != nil {
		return "", err
	}
	kept = path + ".before-restore-" + now.UTC().Format("20060102T150405Z")
	_, err = os.Lstat(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case err == nil && !replace:
		return "", ErrThere
	case err == nil:
		if err := closed(ctx, path); err != nil {
			return "", err
		}
	}
	replaces := err == nil
	if err := beside(path, kept); err != nil {
		return "", err
	}
	moved := replaces
	for _, part := range companions() {
		gone, err := aside(path+part, kept+part)
		if err != nil {
			return "", err
		}
		moved = moved || gone
	}
	if err := put(staged, path, replaces); err != nil {
		return "", err
	}
	if !moved {
		kept = ""
	}
	return kept, flushed(filepath.Dir(path))
}

// put gives the database its name. What it replaces goes in the same step, so
// that there is always one.
func put(staged, path string, replaces bool) error {
	if replaces {
		return os.Rename(staged, path)
	}
	return named(staged, path)
}

// beside gives a database that is there a second name, which it keeps.
func beside(path, kept string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Lstat(kept); err == nil {
		return fmt.Errorf("%s is there already; wait a second and try again", kept)
	}
	if err := os.Link(path, kept); err != nil { // some drives know no links
		return duplicateFile(path, kept)
	}
	return nil
}

// duplicateFile copies a database that nobody uses.
func duplicateFile(from, to string) error {
	in, err := os.Open(from) // #nosec G304 -- the operator's own path
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- as above
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// aside renames a file, if there is one.
func aside(from, to string) (bool, error) {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// closed writes the log of the database back into its file, which succeeds only
// while nobody else has it open. A database that is damaged is closed enough.
func closed(ctx context.Context, path string) error {
	err := within(ctx, path, []string{"mode=rw", "_busy_timeout=1000"}, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "PRAGMA journal_mode=DELETE")
		return err
	})
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlite3.SQLITE_BUSY {
		return ErrServed
	}
	return ctx.Err()
}
