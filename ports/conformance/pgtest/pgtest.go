// Package pgtest gives tests a real PostgreSQL: the one that TEST_DATABASE_URL
// names, or else a throw-away server from the programs installed here, one for
// each test binary. It needs the driver named pgx to be linked in.
package pgtest

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"perch/ports/conformance"
)

// backend is what PostgreSQL is called among the backends.
const backend = "postgres"

// shared is the server of this test binary. Its watchdog outlives the tests.
var shared = sync.OnceValues(onSocket) //nolint:gochecknoglobals // one server for all tests of a binary

func onSocket() (*Server, error) { return launch("") }

// URL returns the URL of an empty schema that goes when the test ends. Where
// there is no PostgreSQL the test counts as one of an absent backend.
func URL(t testing.TB) string {
	t.Helper()
	name := "t_" + strings.ToLower(rand.Text())
	at := os.Getenv("TEST_DATABASE_URL")
	if at != "" { // what is made elsewhere must be removed there
		t.Cleanup(func() { run(t, at, "DROP SCHEMA IF EXISTS "+name+" CASCADE") })
		return schema(t, at, name)
	}
	s, err := shared()
	if err != nil {
		conformance.Absent(t, backend, err.Error())
	}
	return schema(t, s.URL(), name)
}

// schema makes a schema and returns the URL that leads into it.
func schema(t testing.TB, at, name string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal("TEST_DATABASE_URL cannot be read as a URL")
	}
	run(t, at, "CREATE SCHEMA "+name)
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

func run(t testing.TB, at, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
