package sqlstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/domain/apikey"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/user"
)

func grant(id string) oauth.Grant {
	return oauth.Grant{ID: oauth.GrantID(id), App: "app", XApp: "x", User: user.User{ID: user.ID(id)}, Access: "box"}
}

func TestTwoProcessesShareOneDatabase(t *testing.T) { everywhere(t, twoProcessesShareOneDatabase) }

func twoProcessesShareOneDatabase(t *testing.T, d database) {
	dsn := d.dsn(t)
	stores := []*sqlstore.Store{d.open(t, dsn), d.open(t, dsn)}
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
			d, err := s.Quota().Spend(t.Context(), time.Now(), []quota.Charge{{Key: "k", Max: 10, Window: time.Hour}})
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

func TestALockedDatabase(t *testing.T) { everywhere(t, aLockedDatabase) }

func aLockedDatabase(t *testing.T, d database) {
	if d.alone {
		return // nobody can hold it for longer than a statement
	}
	dsn := d.dsn(t)
	s, other := d.open(t, dsn), d.open(t, dsn)
	old, err := s.Vault().Create(t.Context(), grant("g"))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("UPDATE grants SET version = version"); err != nil {
		t.Fatal(err)
	}

	const most = 4 * time.Second // SQLite itself waits for five
	took := most + 1
	for try := 0; try < 3 && took > most; try++ { // a busy machine may hold up one of them
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if d.name == "postgres" { // a statement that the server gets later than that would be done in the end
			cancel()
			ctx, cancel = context.WithCancel(t.Context())
			go func() { waits(t, s, true); cancel() }()
		}
		_, err = s.Vault().Swap(ctx, old, old)
		if !errors.Is(err, fault.Unavailable) || ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			t.Errorf("a swap that has to wait: got error %v, want unavailable because of %v", err, ctx.Err())
		}
		cancel()
		took = time.Since(begin)
	}
	if took > most {
		t.Errorf("it gave up after %v", took)
	}
	if got, err := s.Vault().Get(t.Context(), "g"); err != nil || got != old {
		t.Errorf("reading meanwhile: got %+v, %v", got, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping meanwhile: %v", err)
	}
	if d.name == "postgres" { // its server learns a moment later that nobody waits any more
		waits(t, s, false)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Vault().Swap(t.Context(), old, old); err != nil {
		t.Errorf("the same swap when the lock is gone: %v", err)
	}
}

// waits returns when somebody waits for a lock in PostgreSQL, or nobody does.
func waits(t *testing.T, s *sqlstore.Store, somebody bool) {
	for waiting := !somebody; waiting != somebody; time.Sleep(time.Millisecond) {
		row := s.DB().QueryRow("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
		if err := row.Scan(&waiting); err != nil {
			t.Error(err)
			return
		}
	}
}

func TestWhatClientsAreToldOfFailures(t *testing.T) { everywhere(t, whatClientsAreToldOfFailures) }

func whatClientsAreToldOfFailures(t *testing.T, d database) {
	s := d.fresh(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const canary = "canary' OR 1=1"
	_, get := s.Vault().Get(t.Context(), canary)
	_, create := s.Vault().Create(t.Context(), grant(canary))
	_, list := s.Vault().List(t.Context(), canary, "", 1)
	_, take := s.Quota().Spend(t.Context(), time.Now(), []quota.Charge{{Key: canary, Max: 1, Window: time.Hour}})
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

func TestEndedWindowsDoNotPileUp(t *testing.T) { everywhere(t, endedWindowsDoNotPileUp) }

func endedWindowsDoNotPileUp(t *testing.T, d database) {
	s := d.fresh(t)
	for i := range 1000 {
		key := string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		if _, err := s.Quota().Spend(t.Context(), time.Now(), []quota.Charge{{Key: key, Max: 5, Window: time.Millisecond}}); err != nil {
			t.Fatal(err)
		}
	}
	var rows int
	if err := s.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM quotas").Scan(&rows); err != nil || rows > 300 {
		t.Errorf("after 1000 windows of 1ms: %d rows, %v; want at most 300", rows, err)
	}
}

func TestPingMissesTheSchema(t *testing.T) { everywhere(t, pingMissesTheSchema) }

func pingMissesTheSchema(t *testing.T, d database) {
	s, err := d.bare(t.Context(), d.dsn(t))
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

func TestAKeyThatAReplicaOfTheVersionBeforeBoundStaysBound(t *testing.T) {
	everywhere(t, aKeyThatAReplicaOfTheVersionBeforeBoundStaysBound)
}

func aKeyThatAReplicaOfTheVersionBeforeBoundStaysBound(t *testing.T, d database) {
	s := d.fresh(t)
	keys := s.Registry().Keys()
	for id, grant := range map[string]string{"key_bound": "grant_A", "key_free": ""} {
		_, err := s.DB().ExecContext(t.Context(), `INSERT INTO api_keys
			(id, app, kind, hint, digest, grant_id, app_only, created, expires, revoked, version)
			VALUES ('`+id+`', 'app', 'secret', 'h', 'digest_`+id+`', '`+grant+`', 0, 1, 0, 0, 1)`)
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, k apikey.Key, err error, other bool) {
		t.Helper()
		if err != nil || !k.ActsFor("grant_A") || k.ActsFor("grant_B") != other {
			t.Errorf("%s, %s is bound to %v: %v", when, k.ID, k.Grants, err)
		}
	}
	for id, other := range map[apikey.ID]bool{"key_bound": false, "key_free": true} {
		k, err := keys.ByDigest(t.Context(), []string{"digest_" + string(id)})
		check("by its digest", k, err, other)
		k, err = keys.Get(t.Context(), id)
		check("by its ID", k, err, other)
		next := k
		next.Name = "named"
		k, err = keys.Swap(t.Context(), k, next)
		check("after a change", k, err, other)
	}
	listed, err := keys.List(t.Context(), "app", "", 10)
	if err != nil || len(listed) != 2 {
		t.Fatalf("%d keys, %v", len(listed), err)
	}
	check("in a list", listed[0], nil, false)
	check("in a list", listed[1], nil, true)
	freed := listed[0]
	freed.Grants = nil
	if _, err := keys.Swap(t.Context(), listed[0], freed); err != nil {
		t.Fatal(err)
	}
	k, err := keys.Get(t.Context(), freed.ID)
	check("when it was freed", k, err, true)
}
