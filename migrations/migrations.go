// Package migrations holds the schema of each kind of database as numbered
// files, and brings a database up to date with them. There is no way back: a
// change that must be undone gets a file that undoes it.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

//go:embed sqlite/*.sql postgres/*.sql
var embedded embed.FS

// A Schema is the numbered files for one kind of database.
type Schema struct {
	files fs.FS
	dialect
}

// SQLite returns the schema for SQLite.
func SQLite() Schema { return Schema{folder("sqlite"), sqlite()} }

// Postgres returns the schema for PostgreSQL, 15 or later. Its tables are in the
// first schema of the connection's search path.
func Postgres() Schema { return Schema{folder("postgres"), postgres()} }

// D1 returns the schema for Cloudflare's D1: the files of SQLite.
func D1() Schema { return Schema{folder("sqlite"), d1()} }

func folder(name string) fs.FS {
	files, err := fs.Sub(embedded, name)
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return files
}

// contract ends the names of files that take something away which the version
// before uses. All others leave the database fit for it, so that while versions
// are exchanged both can work.
const contract = ".contract.sql"

// ErrNewer says that a newer version of Perch has taken something away.
var ErrNewer = errors.New("a newer version of Perch has taken away what this one needs; " +
	"run that version or a later one")

// ErrChanged says that a file is no longer what was applied, or that another
// was applied in its place.
var ErrChanged = errors.New("this version of Perch has another migration than the one that was applied; " +
	"run the version that applied it, or restore the database from a backup")

// Pending returns the names of the files that Apply would apply, in order. It
// writes nothing.
func (s Schema) Pending(ctx context.Context, db *sql.DB) ([]string, error) {
	steps, err := s.steps()
	if err != nil {
		return nil, err
	}
	done, err := s.recorded(ctx, db)
	if err != nil {
		return nil, err
	}
	left, err := remaining(steps, done)
	if err != nil {
		return nil, err
	}
	return names(left), nil
}

// Newer returns the names of files that a newer version has applied and that
// this one does not have. It can work with them, or Pending and Apply say no.
func (s Schema) Newer(ctx context.Context, db *sql.DB) ([]string, error) {
	steps, err := s.steps()
	if err != nil {
		return nil, err
	}
	done, err := s.recorded(ctx, db)
	if err != nil {
		return nil, err
	}
	return names(done[min(len(steps), len(done)):]), nil
}

func names(steps []step) []string {
	list := make([]string, 0, len(steps))
	for _, st := range steps {
		list = append(list, st.name)
	}
	return list
}

// Apply applies all files that are pending and returns their names. Each is
// applied and recorded in one transaction, so a file that fails, or a process
// that dies, leaves the database as it was after the file before. Several may
// call Apply at once; each file is applied once. Where the reply of D1 is lost, a
// file may have been applied that is not among the names. Connections to SQLite should
// wait for locks (busy_timeout).
func (s Schema) Apply(ctx context.Context, db *sql.DB) (applied []string, err error) {
	steps, err := s.steps()
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	defer func() { err = errors.Join(err, unlessGone(conn.Close())) }()
	next := s.next
	if s.begin == "" {
		next = s.leap
	}
	for {
		name, err := next(ctx, conn, steps)
		if err != nil || name == "" {
			return applied, err
		}
		applied = append(applied, name)
	}
}

// next applies the first file that is pending and returns its name, or "".
func (d dialect) next(ctx context.Context, conn *sql.Conn, steps []step) (name string, err error) {
	// Whoever waits here sees what the one before has recorded.
	if _, err := conn.ExecContext(ctx, d.begin); err != nil {
		return "", fmt.Errorf("migrations: %w", err)
	}
	defer func() {
		if err != nil || name == "" {
			// The caller may have left; the transaction must not stay open.
			_, failed := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, unlessGone(failed))
		}
	}()
	done, err := d.recorded(ctx, conn)
	if err != nil {
		return "", err
	}
	left, err := remaining(steps, done)
	if err != nil || len(left) == 0 {
		return "", err
	}
	if err := d.perform(ctx, conn, left[0]); err != nil {
		return "", fmt.Errorf("migration %s: %w", left[0].name, err)
	}
	return left[0].name, nil
}

// unlessGone is err, unless it says that the connection is closed already: with
// it, the database has ended the transaction.
func unlessGone(err error) error {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// account is the table that says what has been applied.
const account = `CREATE TABLE IF NOT EXISTS perch_migrations (
	name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL, applied BIGINT NOT NULL)`

// perform applies and records one step and ends the transaction.
func (d dialect) perform(ctx context.Context, conn *sql.Conn, st step) error {
	if _, err := conn.ExecContext(ctx, account); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, st.sql); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, d.record, st.name, st.checksum, time.Now().UnixMicro()); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, "COMMIT")
	return err
}

// A step is one file.
type step struct{ name, checksum, sql string }

func (s Schema) steps() ([]step, error) {
	entries, err := fs.ReadDir(s.files, ".")
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	steps := make([]step, 0, len(entries)) // ReadDir sorts by name, which is by number
	for _, e := range entries {
		text, err := fs.ReadFile(s.files, e.Name())
		if err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		sum := sha256.Sum256(text)
		steps = append(steps, step{e.Name(), hex.EncodeToString(sum[:]), string(text)})
	}
	return steps, nil
}

// remaining returns the steps that come after what is done. What is done must
// be the first steps, unchanged; after all of them a newer version may have added
// more.
func remaining(steps, done []step) ([]step, error) {
	for i, d := range done {
		switch {
		case i >= len(steps) && strings.HasSuffix(d.name, contract):
			return nil, fmt.Errorf("migration %s: %w", d.name, ErrNewer)
		case i >= len(steps):
			// Something new, which this version does not use.
		case d.name != steps[i].name || d.checksum != steps[i].checksum:
			return nil, fmt.Errorf("migration %s: %w", d.name, ErrChanged)
		}
	}
	return steps[min(len(steps), len(done)):], nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// recorded returns the names and checksums of what has been applied, in order.
func (d dialect) recorded(ctx context.Context, db querier) ([]step, error) {
	exists, err := query(ctx, db, d.exists)
	if err != nil || len(exists) == 0 {
		return nil, err
	}
	return query(ctx, db, `SELECT name, checksum FROM perch_migrations ORDER BY name`)
}

func query(ctx context.Context, db querier, text string) (found []step, err error) {
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s step
		if err := rows.Scan(&s.name, &s.checksum); err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		found = append(found, s)
	}
	return found, rows.Err()
}
