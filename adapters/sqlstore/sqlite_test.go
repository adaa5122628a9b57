package sqlstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/user"
)

func grant(id string) oauth.Grant {
	return oauth.Grant{ID: oauth.GrantID(id), App: "app", XApp: "x", User: user.User{ID: user.ID(id)}, Access: "box"}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "perch.db")
	s := open(t, file)
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
		if err := fresh(t).DB().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s of the writer: got %q, %v; want %q", pragma, got, err, want)
		}
	}
}

// What is acknowledged must be found by whoever opens the files as a killed
// process leaves them: with a log that was never written back.
func TestWhatWasAcknowledgedOutlivesTheProcess(t *testing.T) {
	left, found := filepath.Join(t.TempDir(), "perch.db"), filepath.Join(t.TempDir(), "perch.db")
	s := open(t, left)
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
	if got, err := open(t, found).Vault().Get(t.Context(), "g"); err != nil || got != want {
		t.Errorf("after the process was killed: got %+v, %v; want %+v", got, err, want)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, left).Vault().Get(t.Context(), "g"); err != nil || got != want {
		t.Errorf("after an orderly end: got %+v, %v; want %+v", got, err, want)
	}
}

func TestTwoProcessesShareOneFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "perch.db")
	stores := []*sqlstore.Store{open(t, file), open(t, file)}
	old, err := stores[0].Vault().Create(t.Context(), grant("g"))
	if err != nil {
		t.Fatal(err)
	}
	var swapped, allowed atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			s := stores[i%2]
			switch _, err := s.Vault().Swap(t.Context(), old, old); {
			case err == nil:
				swapped.Add(1)
			case !errors.Is(err, fault.Conflict):
				t.Error(err)
			}
			d, err := s.Quota().Take(t.Context(), "k", quota.Limit{Max: 10, Window: time.Hour})
			if err != nil {
				t.Error(err)
			}
			if d.Allowed {
				allowed.Add(1)
			}
		})
	}
	all.Wait()
	if swapped.Load() != 1 || allowed.Load() != 10 {
		t.Errorf("%d swaps won and %d calls were allowed, want 1 and 10", swapped.Load(), allowed.Load())
	}
}

func TestALockedDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "perch.db")
	s, other := open(t, file), open(t, file)
	old, err := s.Vault().Create(t.Context(), grant("g"))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.DB().BeginTx(t.Context(), nil) // immediate, by the way it is opened
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = s.Vault().Swap(ctx, old, old)
	if !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a swap that has to wait: got error %v, want unavailable for lack of time", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it gave up after %v", took)
	}
	if got, err := s.Vault().Get(t.Context(), "g"); err != nil || got != old {
		t.Errorf("reading meanwhile: got %+v, %v", got, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping meanwhile: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Vault().Swap(t.Context(), old, old); err != nil {
		t.Errorf("the same swap when the lock is gone: %v", err)
	}
}

func TestWhatClientsAreToldOfFailures(t *testing.T) {
	s := fresh(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const canary = "canary' OR 1=1"
	_, get := s.Vault().Get(t.Context(), canary)
	_, create := s.Vault().Create(t.Context(), grant(canary))
	_, list := s.Vault().List(t.Context(), canary, "", 1)
	_, take := s.Quota().Take(t.Context(), canary, quota.Limit{Max: 1, Window: time.Hour})
	for name, err := range map[string]error{
		"Get": get, "Create": create, "List": list, "Take": take, "Ping": s.Ping(t.Context()),
	} {
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Unavailable {
			t.Errorf("%s on a closed store: got error %v, want unavailable", name, err)
			continue
		}
		if strings.Contains(f.Say, "canary") || strings.Contains(strings.ToUpper(f.Say), "SELECT") {
			t.Errorf("%s tells clients %q", name, f.Say)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s puts arguments into its error: %v", name, err)
		}
	}
}

func TestEndedWindowsDoNotPileUp(t *testing.T) {
	s := fresh(t)
	for i := range 1000 {
		key := string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		if _, err := s.Quota().Take(t.Context(), key, quota.Limit{Max: 5, Window: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
	var rows int
	if err := s.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM quotas").Scan(&rows); err != nil || rows > 300 {
		t.Errorf("after 1000 windows of 1ms: %d rows, %v; want at most 300", rows, err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "hash#.db", "per%41cent.db", "quote'\".db", "ünï.db", "semi;&x=1.db"} {
		file := filepath.Join(dir, name)
		if err := open(t, file).Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s is not where it was asked for: %v", name, err)
		}
	}
	for _, dsn := range []string{
		"", "sqlite", "sqlite:", "sqlite::memory:", "sqlite:///tmp/x.db", "sqlite:x.db?mode=ro", "mysql://x", "postgres://x",
		"sqlite:" + filepath.Join(dir, "none", "x.db"), "sqlite:" + dir,
	} {
		if s, err := sqlstore.Open(t.Context(), dsn); err == nil {
			t.Errorf("Open(%q) succeeded", dsn)
			_ = s.Close()
		}
	}
}

func TestPingMissesTheSchema(t *testing.T) {
	s, err := sqlstore.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "empty.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Ping of a database without tables: got %v, want unavailable", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
