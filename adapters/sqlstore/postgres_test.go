package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/migrations"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
)

func postgres() database { return databases()[1] }

// A store outlives its server: while that is down it says so, and afterwards it
// goes on by itself.
func TestTheServerIsRestarted(t *testing.T) {
	conformance.Verified(t, "postgres-restart")
	server := pgtest.Start(t)
	s := postgres().open(t, server.URL())
	old, err := s.Vault().Create(t.Context(), grant("g"))
	if err != nil {
		t.Fatal(err)
	}
	server.Down(t)
	for range 3 {
		if _, err := s.Vault().Get(t.Context(), "g"); !errors.Is(err, fault.Unavailable) {
			t.Errorf("while the server is down: got error %v, want unavailable", err)
		}
	}
	server.Up(t)
	deadline := time.Now().Add(time.Minute)
	got, err := s.Vault().Get(t.Context(), "g")
	for ; err != nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got, err = s.Vault().Get(t.Context(), "g")
	}
	if err != nil || got != old {
		t.Errorf("after the restart: got %+v, %v; want %+v", got, err, old)
	}
	if _, err := s.Vault().Swap(t.Context(), old, old); err != nil {
		t.Errorf("a swap after the restart: %v", err)
	}
}

func TestWhatConnectionsAskOfTheServer(t *testing.T) {
	s := postgres().fresh(t)
	for name, want := range map[string]string{
		"synchronous_commit": "on", "standard_conforming_strings": "on", "client_encoding": "UTF8",
		"default_transaction_isolation": "read committed", "application_name": "perch",
	} {
		if got := setting(t, s.DB(), name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func setting(t *testing.T, db *sql.DB, name string) (value string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SHOW "+name).Scan(&value); err != nil {
		t.Error(err)
	}
	return value
}

// Backslashes escape nothing, however the server was set up for older programs.
func TestBackslashesAreOnlyBackslashes(t *testing.T) {
	dsn := postgres().dsn(t) + "&standard_conforming_strings=off&default_transaction_isolation=serializable"
	s := postgres().open(t, dsn)
	const name = `\' OR TRUE; DROP TABLE grants; --`
	if _, err := s.Vault().Create(t.Context(), grant(name)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Vault().Get(t.Context(), name); err != nil || got.ID != name {
		t.Errorf("got %+v, %v", got, err)
	}
}

// canary must not be seen in any error of Open.
const canary = "canary-password"

func TestOpenPostgresFails(t *testing.T) {
	silent := silence(t)
	for name, c := range map[string]struct{ dsn, say string }{
		"a password with a slash": {"postgres://perch:" + canary + "/@db.example/perch", "%-escapes"},
		"a password with a #":     {"postgres://perch:x#" + canary + "@db.example/perch", "%-escapes"},
		"a bad port":              {"postgres://perch:" + canary + "@db.example:port/perch", "%-escapes"},
		"sslmode=prefer":          {"postgres://perch:" + canary + "@db.example/perch?sslmode=prefer", "verify-full"},
		"sslmode=allow":           {"postgresql://perch:" + canary + "@127.0.0.1/perch?sslmode=allow", "verify-full"},
		"an empty sslmode":        {"postgres://perch:" + canary + "@127.0.0.1/perch?sslmode=", "verify-full"},
		"no such certificates":    {"postgres://perch:" + canary + "@db.example/perch?sslrootcert=/none/ca.pem", "/none/ca.pem"},
		"nobody there":            {"postgres://perch:" + canary + "@127.0.0.1:1/perch", "perch on 127.0.0.1"},
		"somebody silent":         {"postgres://perch@" + silent + "/perch?sslmode=disable&password=" + canary, "perch on 127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			s, err := sqlstore.Open(ctx, c.dsn)
			if err == nil {
				_ = s.Close()
				t.Fatal("Open succeeded")
			}
			if !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %v, want %q", err, c.say)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}

// silence returns the address of one who takes connections and says nothing.
func silence(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

func TestPostgresqlIsAnotherNameForIt(t *testing.T) {
	dsn := strings.Replace(postgres().dsn(t), "postgres:", "postgresql:", 1)
	s := postgres().open(t, dsn)
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if pending, err := migrations.Postgres().Pending(t.Context(), s.DB()); err != nil || len(pending) > 0 {
		t.Errorf("pending: %v, %v", pending, err)
	}
}

// A refresh writes the grant and no index, however many grants there are.
func TestRefreshesLeaveTheIndexesAlone(t *testing.T) {
	s := postgres().fresh(t)
	const grants, each = 800, 8 // so that few of one page are refreshed
	all := make([]oauth.Grant, grants)
	for i := range all {
		g, err := grant(fmt.Sprint("g", i)), error(nil)
		g.Scopes, g.Access = oauth.Everything, secret.Box(strings.Repeat("box", 150))
		if all[i], err = s.Vault().Create(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < grants; i += each {
		if _, err := s.Vault().Swap(t.Context(), all[i], all[i]); err != nil {
			t.Fatal(err)
		}
	}
	var written, spared int
	for end := time.Now().Add(time.Minute); written < grants/each; time.Sleep(100 * time.Millisecond) {
		const counts = `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'grants'::regclass`
		if _, err := s.DB().ExecContext(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}
		if err := s.DB().QueryRowContext(t.Context(), counts).Scan(&written, &spared); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("the server has counted %d writes", written)
		}
	}
	if spared < written*9/10 {
		t.Errorf("of %d writes only %d spared the indexes", written, spared)
	}
}
