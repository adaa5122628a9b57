package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

// OnD1 returns a store in Cloudflare's D1, which is SQLite behind HTTP. The store
// closes the database. The driver's errors may have the methods of conflict and
// postponed.
func OnD1(ctx context.Context, db *sql.DB) (*Store, error) {
	d := bun.NewDB(db, sqlitedialect.New())
	s := &Store{reads: d, writes: d, counts: d, words: sqliteWords(), rows: mostRowsOnD1}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s.complete(), nil
}

// conflict is an error of a driver that knows whether a row with the same key
// was there.
type conflict interface {
	error
	UniqueViolation() bool
}

// postponed is an error of a driver that may know how long to wait.
type postponed interface {
	error
	RetryAfter() time.Duration
}

func collidesD1(err error) bool {
	e, ok := errors.AsType[conflict](err)
	return ok && e.UniqueViolation()
}

func wait(err error) time.Duration {
	if e, ok := errors.AsType[postponed](err); ok {
		return e.RetryAfter()
	}
	return 0
}
