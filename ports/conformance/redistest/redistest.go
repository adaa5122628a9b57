// Package redistest gives tests a real Redis: the one that TEST_REDIS_URL names,
// in which each test leaves a few keys that begin with "test-", or else a
// throw-away server from the program installed here, one for each test binary.
package redistest

import (
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"perch/ports/conformance"
)

// backend is what Redis is called among the backends.
const backend = "redis"

// shared is the server of this test binary. Its watchdog outlives the tests.
var shared = sync.OnceValues(plain) //nolint:gochecknoglobals // one server for all tests of a binary

func plain() (*Server, error) { return launch() }

// URL returns the URL of a Redis, with a prefix for keys that nobody else has.
// Where there is no Redis the test counts as one of an absent backend.
func URL(t testing.TB) string {
	t.Helper()
	if at := os.Getenv("TEST_REDIS_URL"); at != "" {
		return prefixed(t, at)
	}
	s, err := shared()
	if err != nil {
		conformance.Absent(t, backend, err.Error())
	}
	return prefixed(t, s.URL())
}

func prefixed(t testing.TB, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal("TEST_REDIS_URL cannot be read as a URL")
	}
	q := u.Query()
	q.Set("prefix", "test-"+strings.ToLower(rand.Text()))
	u.RawQuery = q.Encode()
	return u.String()
}
