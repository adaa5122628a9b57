package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/keyring"
	"perch/cmd/internal/config"
)

func (s stop) path() string {
	_, path := config.Backend(s.url)
	return path
}

func TestABackupComesBack(t *testing.T) {
	s := stopAt(t, "sqlite")
	s.settle(t, 30)
	want := s.holds(t)
	file := filepath.Join(t.TempDir(), "backup")
	r := s.perch(t, "backup", file)
	r.says(t, exitDone, "with 30 grants", "Keep "+s.keyset)
	hidden(t, "the backup", must[[]byte](t)(os.ReadFile(file)))
	s.perch(t, "backup", file).says(t, exitFailed, "exists already and stays")

	// To another place, under the same keyset.
	other := stop{kind: "sqlite", url: "sqlite:" + filepath.Join(t.TempDir(), "perch.db"), keyset: s.keyset}
	other.perch(t, "restore", file).says(t, exitDone, "with 30 grants", "last change of a grant in it is of 2026-11-25T12:00:00Z",
		"their users must connect again")
	if diff := cmp.Diff(want, other.holds(t)); diff != "" {
		t.Errorf("(-backed up +restored):\n%s", diff)
	}
	other.perch(t, "restore", file).says(t, exitMisuse, "--replace")
	// Where somebody has it open.
	other.perch(t, "restore", "--replace", file).says(t, exitFailed, "is in use; stop every Perch", "nothing was changed")
}

func TestARestoredDatabaseTakesThePlaceOfAnother(t *testing.T) {
	first, second := stopAt(t, "sqlite"), stopAt(t, "sqlite")
	first.settle(t, 3)
	file := filepath.Join(t.TempDir(), "backup")
	first.perch(t, "backup", file).says(t, exitDone)
	second.keyset = first.keyset
	before := must[[]byte](t)(os.ReadFile(second.path()))
	r := second.perch(t, "restore", "--replace", file)
	r.says(t, exitDone, "with 3 grants", "What was there is kept as")
	kept := between(r.err.String(), "is kept as ", ".\n")
	if after := must[[]byte](t)(os.ReadFile(kept)); len(after) != len(before) {
		t.Errorf("%s has %d bytes, and what was there had %d", kept, len(after), len(before))
	}
	var names []string
	for _, e := range must[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(second.path()))) {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"perch.db", filepath.Base(kept)}) {
		t.Errorf("there are %q", names)
	}
	if got := second.holds(t); len(got.Grants) != 3 {
		t.Errorf("it holds %d grants", len(got.Grants))
	}
}

func TestWhatIsNotRestored(t *testing.T) {
	s := stopAt(t, "sqlite")
	s.settle(t, 3)
	folder := t.TempDir()
	good := filepath.Join(folder, "good")
	s.perch(t, "backup", good).says(t, exitDone)

	store, _ := s.opened(t)
	if _, err := store.DB().Exec("INSERT INTO perch_migrations (name, checksum, applied) VALUES ('9999_x.contract.sql', 'x', 1)"); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(folder, "newer")
	s.perch(t, "backup", newer).says(t, exitDone)
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte("CANARY"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(folder, "other.json")
	if err := keyring.Generate(other); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ file, keyset, say string }{
		"no database":    {text, s.keyset, "not a database"},
		"nothing there":  {good + "-away", s.keyset, "no such file"},
		"a newer schema": {newer, s.keyset, "newer version of Perch"},
		"another keyset": {good, other, "lacks the key"},
		"no keyset":      {good, other + "-away", "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			to := stop{kind: "sqlite", url: "sqlite:" + filepath.Join(t.TempDir(), "perch.db"), keyset: c.keyset}
			to.perch(t, "restore", c.file).says(t, exitFailed, "is not restored, and nothing was changed", c.say)
			if left := must[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(to.path()))); len(left) != 0 {
				t.Errorf("it leaves %v behind", left)
			}
			if _, err := os.Stat(other + "-away"); err == nil {
				t.Error("it made a keyset")
			}
		})
	}
	for _, e := range must[[]os.DirEntry](t)(os.ReadDir(folder)) {
		if strings.Contains(e.Name(), "-") {
			t.Errorf("beside the backups there is %s", e.Name())
		}
	}
}

func TestBackupsOfOtherStores(t *testing.T) {
	for store, say := range map[string]string{
		"postgres://perch:" + canary + "@127.0.0.1:1/perch": "pg_dump", "memory:": "nothing to keep",
	} {
		for _, verb := range []string{"backup", "restore"} {
			r := perch(t, []string{"PERCH_STORE=" + store}, "", verb, filepath.Join(t.TempDir(), "f"))
			r.says(t, exitMisuse, "perch "+verb+" is for SQLite", say)
			if strings.Contains(r.err.String(), canary) {
				t.Error("the password is shown")
			}
		}
	}
	at := stopAt(t, "sqlite")
	environ := append(at.environ(), "PERCH_VAULT=sqlite:"+filepath.Join(t.TempDir(), "grants.db"))
	perch(t, environ, "", "backup", filepath.Join(t.TempDir(), "f")).says(t, exitDone, "(PERCH_VAULT), of which this is no backup")
}
