package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Verified notes that the named backend has passed, once t ends without having
// failed or been skipped. It adds a line to the file that PERCH_VERIFIED names;
// without that variable it does nothing.
func Verified(t *testing.T, name string) {
	t.Helper()
	path := os.Getenv("PERCH_VERIFIED")
	if path == "" {
		return
	}
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		if err := note(path, name); err != nil {
			t.Errorf("note that %s is verified: %v", name, err)
		}
	})
}

func note(path, name string) error {
	// #nosec G304 G703 -- the file is named by whoever runs the tests
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(name + "\n"); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// Absent skips the test because the named backend is not there, and says so
// loudly. Where REQUIRE_BACKENDS, a list separated by commas, has the name, the
// test fails instead.
func Absent(t testing.TB, name, why string) {
	t.Helper()
	if required(os.Getenv("REQUIRE_BACKENDS"), name) {
		t.Fatalf("%s: NOT VERIFIED, but REQUIRE_BACKENDS names it: %s", name, why)
	}
	t.Skipf("%s: NOT VERIFIED: %s", name, why)
}

func required(list, name string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(r string) bool {
		return strings.EqualFold(strings.TrimSpace(r), name)
	})
}
