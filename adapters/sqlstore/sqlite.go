package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// readers is how many may read at the same time. SQLite has one writer.
const readers = 4

// sqliteWords is for a database with one writer at a time.
func sqliteWords() words { return words{clock: "CAST(unixepoch('subsec') * 1000000 AS BIGINT)"} }

func openSQLite(ctx context.Context, path string) (*Store, error) {
	switch {
	case path == "", path == ":memory:":
		return nil, errors.New("sqlite needs a file, as sqlite:perch.db; the store memory: keeps nothing")
	case strings.HasPrefix(path, "//"), strings.ContainsAny(path, "?\x00"):
		return nil, errors.New("write sqlite: and then a plain path, without // and without options")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	s := &Store{words: sqliteWords()}
	for _, c := range []struct {
		db     **bun.DB
		conns  int
		option string
	}{
		// A commit that is lost after X has rotated a refresh token loses the
		// grant, so writes wait for the disk (FULL). Counts need not. The writer
		// goes first: it is the one that may turn write-ahead logging on.
		{&s.writes, 1, "_synchronous=FULL"},
		{&s.counts, 1, "_synchronous=NORMAL"},
		{&s.reads, readers, "_query_only=1"},
	} {
		if *c.db, err = connect(ctx, path, c.conns, c.option); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// create makes the file readable by its owner alone. SQLite gives its other
// files, the log and the index of the log, the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- the operator's own path
	if err != nil {
		return err
	}
	return f.Close()
}

// connect opens up to conns connections, and one of them at once.
func connect(ctx context.Context, path string, conns int, option string) (*bun.DB, error) {
	options := []string{
		"_busy_timeout=5000", "_journal_mode=WAL", "_foreign_keys=on", "_txlock=immediate",
		"_defensive=1", "_dqs=0", "_pragma=trusted_schema(0)", option,
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(options, "&")
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return bun.NewDB(db, sqlitedialect.New()), nil
}

// collidesSQLite reports whether err says that a row with the same key is there.
func collidesSQLite(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE)
}
