package conformance

import (
	"os"
	"path/filepath"
	"testing"
)

func TestVerifiedNotesWhatPassed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "verified")
	t.Setenv("PERCH_VERIFIED", file)
	t.Run("one", func(t *testing.T) { Verified(t, "chalk") })
	t.Run("another", func(t *testing.T) {
		Verified(t, "clay")
		if _, err := os.Stat(file); err != nil {
			t.Fatal("the first test has ended and is not noted")
		}
	})

	got, err := os.ReadFile(file) // #nosec G304 -- the test's own file
	if err != nil {
		t.Fatal(err)
	}
	if want := "chalk\nclay\n"; string(got) != want {
		t.Errorf("verified backends: got %q, want %q", got, want)
	}
}

func TestRequired(t *testing.T) {
	for _, c := range []struct {
		list, name string
		want       bool
	}{
		{"", "slate", false},
		{"slate", "slate", true},
		{"chalk, Slate", "slate", true},
		{"slates", "slate", false},
	} {
		if got := required(c.list, c.name); got != c.want {
			t.Errorf("required(%q, %q): got %v, want %v", c.list, c.name, got, c.want)
		}
	}
}
