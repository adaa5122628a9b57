package wiring_test

import (
	"database/sql"
	"maps"
	"net/http"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
)

// onTheLine is PostgreSQL behind a line of its own.
func onTheLine(t *testing.T) (environment, *line) {
	conformance.Verified(t, "postgres")
	l := lineTo(t, pgtest.URL(t))
	return environment{"postgres", func(_ testing.TB, _ string, cfg *config.Config) { cfg.Store = l.url }}, l
}

// database opens the database past the line.
func (l *line) database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", l.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// However notifications fare, what ends on one replica ends on all.
func TestRevocationNeedsNoNotification(t *testing.T) {
	t.Run("nobody is told", func(t *testing.T) {
		e, l := onTheLine(t)
		x := xsim.New(xsim.Options{})
		set(t, x, `{"windows":false}`)
		h := openTwo(t, e, x)
		if _, err := l.database(t).Exec(`CREATE OR REPLACE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO changes AS c (kind, number) VALUES (TG_TABLE_NAME, 1) ON CONFLICT (kind) DO UPDATE SET number = c.number + 1;
			RETURN NULL; END $$`); err != nil {
			t.Fatal(err)
		}
		endsOnAll(t, x, h)
	})
	t.Run("those who listen are cut off", func(t *testing.T) {
		e, l := onTheLine(t)
		x := xsim.New(xsim.Options{})
		set(t, x, `{"windows":false}`)
		h := openTwo(t, e, x)
		db, stop, ended, killed := l.database(t), make(chan struct{}), make(chan struct{}), 0
		go func() {
			defer close(ended)
			for {
				var n int
				err := db.QueryRow(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
					WHERE query = 'LISTEN perch_changes'`).Scan(&n)
				killed += n
				if err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		endsOnAll(t, x, h)
		close(stop)
		if <-ended; killed == 0 {
			t.Error("nobody listened")
		}
	})
}

// A warm caller costs the store no read, and the one who counts would see it.
func TestTheHotPathReadsNothing(t *testing.T) {
	const calls = 50
	e, l := onTheLine(t)
	x := xsim.New(xsim.Options{Apps: []xsim.App{xsim.DefaultApp(), second()}})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	h := open(t, settings(t, e, at))
	app := h.register(t, pageA, own(t, h))
	v := h.visit(t, app)
	s := v.signIn(t, ada)
	all := func() {
		t.Helper()
		want(t, http.StatusOK, h.act(t, app.sk, s.grant, "GET", "/2/users/me", ""))
		want(t, http.StatusCreated, h.act(t, app.sk, s.grant, "POST", "/2/tweets", jsonOf(t, object{"text": time.Now().String()})))
		want(t, http.StatusOK, v.page(t, pageA, s.access, "GET", "/2/users/me", ""))
		want(t, http.StatusOK, h.act(t, app.sk, "", "GET", "/2/usage/tweets", ""))
	}
	all()
	cold := l.reads()
	for _, table := range tables() {
		if cold[table] == 0 {
			t.Errorf("%s were never read; the line does not see what is read", table)
		}
	}
	eventually(t, "all is warm", func() bool {
		before := l.reads()
		all()
		return maps.Equal(before, l.reads())
	})
	eventually(t, "warm calls read nothing", func() bool { // what was kept for long is read again
		before := l.reads()
		for range calls {
			all()
		}
		return maps.Equal(before, l.reads())
	})
}

// A store that has fallen silent lets nobody in for long, and those who were let
// in need not wait long to hear it.
func TestASilentStoreRefusesWhatWasWarm(t *testing.T) {
	t.Parallel()
	e, l := onTheLine(t)
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	cfg := settings(t, e, at)
	cfg.Limits = config.Off // counting calls needs the store too
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	v := h.visit(t, app)
	s := v.signIn(t, ada)
	for _, call := range []func() answer{
		func() answer { return h.act(t, app.sk, s.grant, "GET", "/2/users/me", "") },
		func() answer { return v.page(t, pageA, s.access, "GET", "/2/users/me", "") },
	} {
		reads := func() bool {
			before := l.reads()
			want(t, http.StatusOK, call())
			return !maps.Equal(before, l.reads())
		}
		eventually(t, "the caller is warm", func() bool { return !reads() })
		l.silence(true)
		began := time.Now()
		refused(t, bound, http.StatusServiceUnavailable, call)
		t.Logf("six refusals took %v, from the moment the store fell silent", time.Since(began))
		if took := time.Since(began); took > 30*time.Second { // each would wait ten for the store
			t.Errorf("six refusals took %v", took)
		}
		l.silence(false)
		eventually(t, "the caller is let in again", func() bool { return call().status == http.StatusOK })
	}
}
