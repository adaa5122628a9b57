package sqlstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"perch/domain/client"
)

// How many connections a store has at most to PostgreSQL, which by default takes
// a hundred from all its clients together. Those that count calls are apart,
// because they need not wait for the disk; one more looks for changes and one
// waits for them.
const (
	storeConns = 16
	countConns = 8
)

// connectPatience bounds making a connection unless connect_timeout does.
const connectPatience = 5 * time.Second

// postgresWords is for servers whose clock goes by statements: within one it
// stands still. Sweepers that meet pass each other by.
func postgresWords() words {
	return words{
		clock: "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)",
		claim: " FOR UPDATE SKIP LOCKED",
	}
}

// openPostgres returns errors that do not show the URL, which may hold a
// password.
func openPostgres(ctx context.Context, dsn string) (*Store, error) {
	settings, err := postgresSettings(dsn)
	if err != nil {
		return nil, fmt.Errorf("open the PostgreSQL store: %w", err)
	}
	s := &Store{words: postgresWords()}
	s.writes = pool(settings, storeConns, "on")
	s.reads = s.writes
	s.counts = pool(settings, countConns, "off")
	s.looks, s.wakeup = pool(settings, 1, "on"), newListener(settings)
	if err := s.writes.PingContext(ctx); err != nil {
		return nil, errors.Join(unreachable(settings, err), s.Close())
	}
	return s, nil
}

func pool(settings *pgx.ConnConfig, conns int, commit string) *bun.DB {
	settings = settings.Copy()
	// A commit that is lost after X has rotated a refresh token loses the grant,
	// so writes wait for the disk whatever the server's own habit is.
	if settings.RuntimeParams["synchronous_commit"] == "" {
		settings.RuntimeParams["synchronous_commit"] = commit
	}
	db := stdlib.OpenDB(*settings)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour) // follows a name to where the server has moved
	return bun.NewDB(db, pgdialect.New())
}

// postgresSettings reads the URL. What it leaves out comes from PostgreSQL's own
// variables, as PGPASSWORD and PGPASSFILE, but for sslmode.
func postgresSettings(dsn string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Fragment != "" {
		return nil, unreadable()
	}
	settings, err := secured(u)
	if err != nil {
		return nil, err
	}
	// bun writes arguments into the text: statements are not worth remembering.
	settings.DefaultQueryExecMode = pgx.QueryExecModeExec
	if settings.ConnectTimeout == 0 {
		settings.ConnectTimeout = connectPatience
	}
	for name, value := range map[string]string{
		"client_encoding":               "UTF8",
		"standard_conforming_strings":   "on",             // bun escapes quotes, not backslashes
		"default_transaction_isolation": "read committed", // guards are looked at again after waiting for a row
	} {
		settings.RuntimeParams[name] = value
	}
	if settings.RuntimeParams["application_name"] == "" {
		settings.RuntimeParams["application_name"] = "perch"
	}
	return settings, nil
}

// modes are those of sslmode that say what will happen. The others, prefer and
// allow, send everything in the clear if somebody on the way wants them to.
var modes = []string{"disable", "require", "verify-ca", "verify-full"}

// secured reads the URL with the sslmode it names. Without one, another machine
// must prove who it is; on this machine nobody is on the way.
func secured(u *url.URL) (*pgx.ConnConfig, error) {
	stated, ok := u.Query()["sslmode"]
	if ok {
		if len(stated) > 1 || !slices.Contains(modes, stated[0]) {
			return nil, errors.New("sslmode must be verify-full, verify-ca, require or disable, and come once")
		}
		return parse(u)
	}
	settings, err := parse(with(u, "verify-full"))
	if err != nil || !onThisMachine(settings) {
		return settings, err
	}
	return parse(with(u, "prefer"))
}

func with(u *url.URL, sslmode string) *url.URL {
	changed, q := *u, u.Query()
	q.Set("sslmode", sslmode)
	changed.RawQuery = q.Encode()
	return &changed
}

// parse says of what is wrong only what cannot be part of a password.
func parse(u *url.URL) (*pgx.ConnConfig, error) {
	settings, err := pgx.ParseConfig(u.String())
	if err == nil {
		return settings, nil
	}
	if missing, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("a file that its settings name: %w", missing)
	}
	return nil, unreadable()
}

func unreadable() error {
	return errors.New("its URL cannot be read; write postgres://USER:PASSWORD@HOST:5432/DATABASE, " +
		"with %-escapes for what is no letter or digit in the password")
}

// onThisMachine reports whether every host is a socket or a loopback address.
func onThisMachine(settings *pgx.ConnConfig) bool {
	if !local(settings.Host) {
		return false
	}
	return !slices.ContainsFunc(settings.Fallbacks, func(f *pgconn.FallbackConfig) bool { return !local(f.Host) })
}

func local(host string) bool {
	return strings.HasPrefix(host, "/") || client.Loopback(host)
}

// unreachable says where the server was looked for, and what may help.
func unreachable(settings *pgx.ConnConfig, err error) error {
	what := fmt.Errorf("open the PostgreSQL store %s on %s: %w", settings.Database, settings.Host, err)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return fmt.Errorf("%w; add sslrootcert=FILE with the authority that signed its certificate", what)
	}
	if settings.TLSConfig != nil && strings.Contains(err.Error(), "refused TLS") {
		return fmt.Errorf("%w; have the server speak TLS, or write sslmode=disable if nobody else can be on the way", what)
	}
	return what
}

// collidesPostgres reports whether err says that a row with the same key is there.
func collidesPostgres(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505"
}
