package sqlstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"perch/adapters/sqlstore"
)

// openFile returns a store over the file.
func openFile(t *testing.T, file string) *sqlstore.Store {
	t.Helper()
	return databases()[0].open(t, "sqlite:"+file)
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "perch.db")
	s := openFile(t, file)
	if _, err := s.Vault().Create(t.Context(), grant("g")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(name), got)
		}
	}
}

func TestCommitsWaitForTheDisk(t *testing.T) {
	for pragma, want := range map[string]string{
		"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "5000",
	} {
		var got string
		if err := databases()[0].fresh(t).DB().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s of the writer: got %q, %v; want %q", pragma, got, err, want)
		}
	}
}

// What is acknowledged must be found by whoever opens the files as a killed
// process leaves them: with a log that was never written back.
func TestWhatWasAcknowledgedOutlivesTheProcess(t *testing.T) {
	left, found := filepath.Join(t.TempDir(), "perch.db"), filepath.Join(t.TempDir(), "perch.db")
	s := openFile(t, left)
	first, err := s.Vault().Create(t.Context(), grant("g"))
	if err != nil {
		t.Fatal(err)
	}
	next := first
	next.Access = "rotated"
	want, err := s.Vault().Swap(t.Context(), first, next)
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		bytes, err := os.ReadFile(left + suffix) // #nosec G304 -- the test's own file
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(found+suffix, bytes, 0o600); err != nil { // #nosec G703 -- the test's own file
			t.Fatal(err)
		}
	}
	if got, err := openFile(t, found).Vault().Get(t.Context(), "g"); err != nil || got != want {
		t.Errorf("after the process was killed: got %+v, %v; want %+v", got, err, want)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := openFile(t, left).Vault().Get(t.Context(), "g"); err != nil || got != want {
		t.Errorf("after an orderly end: got %+v, %v; want %+v", got, err, want)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "hash#.db", "per%41cent.db", "quote'\".db", "ünï.db", "semi;&x=1.db"} {
		file := filepath.Join(dir, name)
		if err := openFile(t, file).Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s is not where it was asked for: %v", name, err)
		}
	}
	for _, dsn := range []string{
		"", "sqlite", "sqlite:", "sqlite::memory:", "sqlite:///tmp/x.db", "sqlite:x.db?mode=ro", "mysql://x",
		"sqlite:" + filepath.Join(dir, "none", "x.db"), "sqlite:" + dir,
	} {
		if s, err := sqlstore.Open(t.Context(), dsn); err == nil {
			t.Errorf("Open(%q) succeeded", dsn)
			_ = s.Close()
		}
	}
}
