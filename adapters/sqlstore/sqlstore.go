// Package sqlstore keeps every store in an SQL database. All writes are single
// guarded statements, and all columns are text or whole numbers, so that one set
// of statements serves every database that bun has a dialect for.
//
// Arguments are written into the text of statements. Whoever adds a hook or a
// log must leave that text out of it.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/fault"
	"perch/ports"
)

// A Store is a database with all stores in it. The schema is not its business:
// it must have been brought up to date before.
type Store struct {
	reads  *bun.DB
	writes *bun.DB
	counts *bun.DB // of calls: may be forgotten when the machine loses power

	words  words
	rows   int // how many one statement writes at most
	quota  *Quota
	looks  *bun.DB   // for looking at the counts of changes, which must not wait for others; nil: reads do
	wakeup *listener // nil: the database cannot tell of changes
}

// words are what statements cannot have in common.
type words struct {
	clock string // the database's time in microseconds
	claim string // after a selection: rows that somebody else works on are left out
}

var (
	_ ports.Pinger = (*Store)(nil)
	_ ports.Clock  = (*Store)(nil)
)

// Open opens the database that dsn names: "sqlite:/var/lib/perch/perch.db", whose
// file is made, for its owner's eyes only, if there is none; or
// "postgres://perch:PASSWORD@db.example/perch", which must be there.
//
// PostgreSQL on another machine is spoken to in TLS and must prove who it is,
// unless the URL says sslmode=require, verify-ca or disable. Statements need
// PostgreSQL 15 or later; a pooler before it must pool by session. Errors do not
// show what is in the URL of PostgreSQL but the host and the database.
func Open(ctx context.Context, dsn string) (s *Store, err error) {
	switch scheme, rest, _ := strings.Cut(dsn, ":"); scheme {
	case "sqlite":
		if s, err = openSQLite(ctx, rest); err != nil {
			err = fmt.Errorf("open %s: %w", dsn, err)
		}
	case "postgres", "postgresql":
		s, err = openPostgres(ctx, dsn)
	default:
		err = fmt.Errorf("%q is not a store of this kind; write sqlite:PATH or postgres://HOST/DATABASE", scheme)
	}
	if err != nil {
		return nil, err
	}
	return s.complete(), nil
}

func (s *Store) complete() *Store {
	if s.rows == 0 {
		s.rows = mostRows
	}
	s.quota = &Quota{db: s.counts, words: s.words}
	return s
}

// Vault returns the store of grants.
func (s *Store) Vault() ports.TokenVault { return newVault(s) }

// Registry returns the store of client applications, API keys and X Apps.
func (s *Store) Registry() ports.Registry { return newRegistry(s) }

// Authorizations returns the store of sign-ins that are under way.
func (s *Store) Authorizations() ports.Authorizations { return newAuthorizations(s) }

// Codes returns the store of authorization codes.
func (s *Store) Codes() ports.Codes { return newCodes(s) }

// Sessions returns the store of sessions.
func (s *Store) Sessions() ports.Sessions { return newSessions(s) }

// SigningKeys returns the store of signing keys.
func (s *Store) SigningKeys() ports.SigningKeys { return newSigningKeys(s) }

// Operators returns the store of operators.
func (s *Store) Operators() ports.Operators { return newOperators(s) }

// Uses returns the store of when credentials were last used.
func (s *Store) Uses() ports.Uses { return &Uses{s.reads, s.writes} }

// Quota returns the store of counts.
func (s *Store) Quota() ports.QuotaStore { return s.quota }

// Changes returns the counts of what has changed.
func (s *Store) Changes() ports.Changes {
	db := s.looks
	if db == nil {
		db = s.reads
	}
	return &Changes{db: db, wakeup: s.wakeup}
}

// Heads returns the store of the newest versions of what is kept elsewhere.
func (s *Store) Heads() ports.Heads { return newHeads(s) }

// Usage returns the store of what calls came to.
func (s *Store) Usage() ports.Usage {
	return &Usage{reads: s.reads, writes: s.counts, sweeps: s.writes, claim: s.words.claim, rows: s.rows}
}

// Budgets returns the store of budgets.
func (s *Store) Budgets() ports.Budgets { return &Budgets{s.reads, s.writes, s.words.claim} }

// Replies returns the store of calls with idempotency keys.
func (s *Store) Replies() ports.Replies { return newReplies(s) }

// DB returns the connection that writes, for migrations.
func (s *Store) DB() *sql.DB { return s.writes.DB }

// Ping returns nil if the database answers and has our tables.
func (s *Store) Ping(ctx context.Context) error {
	if _, err := s.reads.NewSelect().Model((*grantRow)(nil)).Column("id").Limit(1).Exec(ctx); err != nil {
		return unavailable(ctx, err)
	}
	return nil
}

// Now returns the database's time.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var us int64
	if err := s.reads.NewRaw("SELECT ?", bun.Safe(s.words.clock)).Scan(ctx, &us); err != nil {
		return time.Time{}, unavailable(ctx, err)
	}
	return moment(us), nil
}

// Close closes the database.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*bun.DB{s.reads, s.counts, s.writes, s.looks} { // closing one twice does no harm
		if db != nil { // as when it could not be opened
			errs = append(errs, db.Close())
		}
	}
	if s.wakeup != nil {
		errs = append(errs, s.wakeup.close())
	}
	return errors.Join(errs...)
}

// patience bounds each statement whose context has no sooner end. A server that
// has fallen silent would otherwise hold it for as long as the network hopes.
const patience = 10 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, patience)
}

// collides reports whether err says that a row with the same key is there.
func collides(err error) bool {
	return collidesSQLite(err) || collidesPostgres(err) || collidesD1(err)
}

func missing(noun string) error { return fault.New(fault.NotFound, "there is no such %s", noun) }

func taken(noun string) error { return fault.New(fault.Conflict, "there is such a %s already", noun) }

func overtaken(noun string) error {
	return fault.New(fault.Conflict, "the %s was changed meanwhile; read it again", noun)
}

func unstorable() error {
	return fault.New(fault.Invalid, "text must be UTF-8 without NUL characters")
}

// unavailable hides err from clients. Drivers that were interrupted may not say
// by what, so the context's own error is added.
func unavailable(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = errors.Join(ended, err)
	}
	return fault.New(fault.Unavailable, "the store does not answer; try again").After(wait(err)).Because(err)
}
