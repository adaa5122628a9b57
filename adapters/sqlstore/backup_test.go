package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/adapters/sqlstore"
)

func names(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// A backup is one moment: while a writer numbers grants one after the other, it
// holds all up to one of them.
func TestABackupWhileAWriterWrites(t *testing.T) {
	file := filepath.Join(t.TempDir(), "perch.db")
	s := openFile(t, file)
	stop, stopped, written := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Vault().Create(t.Context(), grant(fmt.Sprintf("g%06d", i))); err != nil {
				t.Error(err)
				return
			}
			if i == 20 {
				close(written)
			}
		}
	}()
	<-written
	folder := t.TempDir()
	before := 0
	for i := range 5 {
		to := filepath.Join(folder, fmt.Sprint(i))
		b, err := sqlstore.BackUp(t.Context(), file, to)
		if err != nil {
			t.Fatal(err)
		}
		if b.Grants < before || b.Grants < 20 {
			t.Errorf("backup %d has %d grants, the one before %d", i, b.Grants, before)
		}
		before = b.Grants
		if stat, err := os.Stat(to); err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("backup %d: %v, %v", i, stat.Mode(), err)
		}
	}
	close(stop)
	<-stopped
	if got := names(t, folder); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("beside the backups there are %q", got)
	}
	list, err := openFile(t, filepath.Join(folder, "4")).Vault().List(t.Context(), "", "", 1<<20)
	if err != nil || len(list) != before {
		t.Fatalf("the last backup holds %d grants, %v; want %d", len(list), err, before)
	}
	for i, g := range list {
		if string(g.ID) != fmt.Sprintf("g%06d", i) {
			t.Fatalf("grant %d is %s: the backup is not one moment", i, g.ID)
		}
	}
}

func TestABackupTakesNobodysPlace(t *testing.T) {
	folder := t.TempDir()
	file, to := filepath.Join(folder, "perch.db"), filepath.Join(folder, "backup")
	openFile(t, file)
	if err := os.WriteFile(to, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.BackUp(t.Context(), file, to); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over another file: %v", err)
	}
	if text, err := os.ReadFile(to); string(text) != "mine" {
		t.Errorf("it became %q, %v", text, err)
	}
	if _, err := sqlstore.BackUp(t.Context(), file+"-away", to+"2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a file that is not there: %v", err)
	}
	if _, err := os.Stat(file + "-away"); err == nil {
		t.Error("a backup made the database it was to copy")
	}
}

func TestWhatIsNoBackup(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "perch.db")
	s := openFile(t, file)
	if _, err := s.Vault().Create(t.Context(), grant("g")); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(folder, "backup")
	if _, err := sqlstore.BackUp(t.Context(), file, backup); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(folder, "foreign")
	db, err := sql.Open("sqlite", "file:"+foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE grants (id TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(whole)
	for i := 4096; i < len(damaged); i++ { // all pages but the first
		damaged[i] ^= 0xff
	}
	for name, text := range map[string][]byte{
		"empty": {}, "text": []byte("not a database at all"), "cut off": whole[:len(whole)/2], "damaged": damaged,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, say := range map[string]string{
		"empty": "no database of Perch", "text": "not a database", "cut off": "malformed", "damaged": "malformed",
		"foreign": "no database of Perch", "perch.db": "-wal beside it", "away": "no such file", ".": "not a regular file",
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "to")
			_, err := sqlstore.Unfold(t.Context(), filepath.Join(folder, name), to)
			if err == nil || !strings.Contains(err.Error(), say) {
				t.Errorf("got %v, want %q", err, say)
			}
			if left := names(t, filepath.Dir(to)); len(left) != 0 {
				t.Errorf("it leaves %q behind", left)
			}
		})
	}
	if _, err := sqlstore.Unfold(t.Context(), backup, filepath.Join(folder, "unfolded")); err != nil {
		t.Error(err)
	}
}

func TestInstall(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const aside = "perch.db.before-restore-20260102T030405Z"
	// staged is a database with one grant, ready to be installed.
	staged := func(t *testing.T, folder string) string {
		file := filepath.Join(t.TempDir(), "perch.db")
		if _, err := openFile(t, file).Vault().Create(t.Context(), grant("restored")); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(folder, "staged")
		if _, err := sqlstore.BackUp(t.Context(), file, to); err != nil {
			t.Fatal(err)
		}
		return to
	}
	holds := func(t *testing.T, file, id string) {
		t.Helper()
		list, err := openFile(t, file).Vault().List(t.Context(), "", "", 9)
		if err != nil || len(list) != 1 || string(list[0].ID) != id {
			t.Errorf("%s holds %v, %v; want %s", file, list, err, id)
		}
	}
	// old is a database as a killed process leaves it: with a log.
	old := func(t *testing.T, folder string) string {
		file, path := filepath.Join(t.TempDir(), "perch.db"), filepath.Join(folder, "perch.db")
		if _, err := openFile(t, file).Vault().Create(t.Context(), grant("old")); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal"} {
			text, err := os.ReadFile(file + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+suffix, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}

	t.Run("where nothing is", func(t *testing.T) {
		folder := t.TempDir()
		path := filepath.Join(folder, "perch.db")
		if kept, err := sqlstore.Install(t.Context(), staged(t, folder), path, false, now); err != nil || kept != "" {
			t.Fatalf("got %q, %v", kept, err)
		}
		if got := names(t, folder); !slices.Equal(got, []string{"perch.db"}) {
			t.Errorf("there are %q", got)
		}
		holds(t, path, "restored")
	})
	t.Run("where one is", func(t *testing.T) {
		folder := t.TempDir()
		path, next := old(t, folder), staged(t, folder)
		if _, err := sqlstore.Install(t.Context(), next, path, false, now); !errors.Is(err, sqlstore.ErrThere) {
			t.Fatalf("without leave: %v", err)
		}
		kept, err := sqlstore.Install(t.Context(), next, path, true, now)
		if err != nil || filepath.Base(kept) != aside {
			t.Fatalf("got %q, %v", kept, err)
		}
		holds(t, path, "restored")
		holds(t, kept, "old")
	})
	t.Run("where somebody uses it", func(t *testing.T) {
		folder := t.TempDir()
		path, next := old(t, folder), staged(t, folder)
		s := openFile(t, path)
		if _, err := sqlstore.Install(t.Context(), next, path, true, now); !errors.Is(err, sqlstore.ErrServed) {
			t.Fatalf("while it is open: %v", err)
		}
		if g, err := s.Vault().Get(t.Context(), "old"); err != nil {
			t.Errorf("it was disturbed: %v, %v", g, err)
		}
	})
	t.Run("where a damaged one is", func(t *testing.T) {
		folder := t.TempDir()
		path := filepath.Join(folder, "perch.db")
		if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		kept, err := sqlstore.Install(t.Context(), staged(t, folder), path, true, now)
		if text, _ := os.ReadFile(kept); err != nil || string(text) != "damaged" {
			t.Fatalf("kept %q as %q, %v", text, kept, err)
		}
		holds(t, path, "restored")
	})
	t.Run("where only a log is left", func(t *testing.T) {
		folder := t.TempDir()
		path := old(t, folder)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		kept, err := sqlstore.Install(t.Context(), staged(t, folder), path, false, now)
		if err != nil || filepath.Base(kept) != aside {
			t.Fatalf("got %q, %v", kept, err)
		}
		if _, err := os.Stat(kept + "-wal"); err != nil {
			t.Error("the log is not kept", err)
		}
		holds(t, path, "restored")
	})
}
