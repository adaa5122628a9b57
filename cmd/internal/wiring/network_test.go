package wiring_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"perch/adapters/journal"
	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
)

// troubled is how many grants are refreshed at once when the trouble begins, and
// answered how soon each of their callers is, whatever happens.
const (
	troubled = 12
	answered = 90 * time.Second
)

// A link is the network between a house and its PostgreSQL.
type link struct{ *toxiproxy.Proxy }

func newLink(t *testing.T, to string) link {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := link{toxiproxy.NewProxy(server, "postgres", conformance.OwnPort(t), to)}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// through is the URL with the link in the way.
func (l link) through(t *testing.T, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("host")
	q.Del("port")
	u.Host, u.RawQuery = l.Listen, q.Encode()
	return u.String()
}

// toxic spoils what the server says until it is healed.
func (l link) toxic(kind, attributes string) func(*testing.T) (heal func(*testing.T)) {
	return func(t *testing.T) func(*testing.T) {
		t.Helper()
		rule := fmt.Sprintf(`{"name":"toxic","type":%q,"stream":"downstream","attributes":%s}`, kind, attributes)
		if _, err := l.Toxics.AddToxicJson(bytes.NewReader([]byte(rule))); err != nil {
			t.Fatal(err)
		}
		return func(t *testing.T) {
			if err := l.Toxics.RemoveToxic(t.Context(), "toxic"); err != nil {
				t.Error(err)
			}
		}
	}
}

// The network fails in the midst of refreshes and comes back. Every grant works in
// the end, X sees each refresh token once, and callers are told in time.
func TestTheNetworkToPostgreSQLFails(t *testing.T) {
	server := pgtest.StartOnLoopback(t)
	t.Run("by way of", func(t *testing.T) {
		for name, v := range map[string]struct {
			lasts time.Duration
			begin func(l link) func(*testing.T) func(*testing.T)
		}{
			"connections that are reset": {time.Second, func(l link) func(*testing.T) func(*testing.T) {
				return l.toxic("reset_peer", `{"timeout":0}`)
			}},
			"answers that never come": {2 * time.Second, func(l link) func(*testing.T) func(*testing.T) {
				return l.toxic("timeout", `{"timeout":0}`)
			}},
			"answers that are cut short": {time.Second, func(l link) func(*testing.T) func(*testing.T) {
				return l.toxic("limit_data", `{"bytes":10}`)
			}},
			"connections that break after a while": {2 * time.Second, func(l link) func(*testing.T) func(*testing.T) {
				return l.toxic("limit_data", `{"bytes":1500}`)
			}},
			"answers that are late": {2 * time.Second, func(l link) func(*testing.T) func(*testing.T) {
				return l.toxic("latency", `{"latency":300,"jitter":200}`)
			}},
			"nobody there": {2 * time.Second, func(l link) func(*testing.T) func(*testing.T) {
				return func(*testing.T) func(*testing.T) {
					l.Stop()
					return func(t *testing.T) {
						if err := l.Start(); err != nil {
							t.Error(err)
						}
					}
				}
			}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l, at := newLink(t, server.Addr()), server.Empty(t)
				survives(t, at, l.through(t, at), v.lasts, v.begin(l))
			})
		}
	})
}

// The same with a server that is stopped, and started again a while later.
func TestPostgreSQLIsRestartedDuringRefreshes(t *testing.T) {
	t.Parallel()
	conformance.Verified(t, "postgres-restart")
	server := pgtest.Start(t)
	at := server.Empty(t)
	survives(t, at, at, 3*time.Second, func(t *testing.T) func(*testing.T) {
		server.Down(t)
		return server.Up
	})
}

// killer is X, which has PostgreSQL killed before its first answer to a refresh is
// on its way.
type killer struct {
	x    *xsim.Sim
	once sync.Once
	kill func() error
	err  error
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/2/oauth2/token" {
		k.x.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	k.x.ServeHTTP(answer, r)
	k.once.Do(func() { k.err = k.kill() })
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func TestPostgreSQLIsKilledBetweenXsAnswerAndTheCommit(t *testing.T) {
	t.Parallel()
	conformance.Verified(t, "postgres-restart")
	server := pgtest.Start(t)
	url := server.Empty(t)
	k := &killer{x: xsim.New(xsim.Options{}), kill: server.Kill}
	atX, _ := serveX(t, k)
	cfg := settings(t, environment{"postgres", func(_ testing.TB, _ string, cfg *config.Config) { cfg.Store = url }}, atX)
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	old := issue(t, k.x, "sim-client", ada)
	grant := h.adopt(t, app, ada, old, time.Now().Add(-time.Hour))
	answered := make(chan answer, 1)
	go func() { answered <- h.act(t, app.sk, grant, "GET", "/2/users/me", "") }()
	eventually(t, "the new pair is in the journal", func() bool {
		j, err := journal.Open(cfg.Journal)
		if err != nil {
			t.Fatal(err)
		}
		pending, err := j.Pending(t.Context())
		return err == nil && len(pending) == 1
	})
	if k.err != nil {
		t.Fatal(k.err)
	}
	time.Sleep(time.Second)
	server.Up(t)
	if a := <-answered; a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
		t.Errorf("who had asked was told %d %s", a.status, a.body)
	}
	eventually(t, "the grant works", func() bool {
		return h.act(t, app.sk, grant, "GET", "/2/users/me", "").status == http.StatusOK
	})
	refreshedOnce(t, k.x, old)
}

// survives has trouble begin while grants are refreshed. The house is told to
// find its store at the second URL; the first leads there without detours.
func survives(t *testing.T, direct, at string, lasts time.Duration, begin func(*testing.T) func(*testing.T)) {
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	atX, _ := serveX(t, x)
	keep := func(_ testing.TB, _ string, cfg *config.Config) { cfg.Store = at }
	cfg := settings(t, environment{"postgres", keep}, atX)
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	ids := make([]string, troubled)
	for i := range ids {
		ids[i] = h.adopt(t, app, fmt.Sprint("9", i), issue(t, x, "sim-client", ada), time.Now().Add(-time.Hour))
	}
	x.Mischief(xsim.Mischief{Match: "token.refresh_token", Kind: "slow", Delay: 100 * time.Millisecond})
	told := make(chan []answer, 1)
	go func() {
		told <- together(3*troubled, func(i int) answer {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond) // so that the trouble meets each elsewhere
			return h.act(t, app.sk, ids[i%troubled], "GET", "/2/users/me", "")
		})
	}()
	time.Sleep(150 * time.Millisecond)
	heal := begin(t)
	time.Sleep(lasts)
	heal(t)
	overdue(t, direct, cfg.Journal)

	var answers []answer
	select {
	case answers = <-told:
	case <-time.After(answered):
		t.Fatal("somebody is still not answered")
	}
	counts := map[int]int{}
	for _, a := range answers {
		if counts[a.status]++; a.err != nil || (a.status != http.StatusOK && a.status != http.StatusServiceUnavailable) {
			t.Errorf("somebody was told %d %s %v", a.status, a.body, a.err)
		}
	}
	t.Logf("answers by status: %v", counts)
	x.ClearMischief()
	for _, id := range ids {
		eventually(t, "the grant works again", func() bool {
			return h.act(t, app.sk, id, "GET", "/2/users/me", "").status == http.StatusOK
		})
	}
	shown := map[string]int{}
	for _, e := range happened(x, "token.refreshed", "token.replayed") {
		shown[e.Details["old_refresh_fp"]+e.Type]++
	}
	for what, n := range shown {
		if n != 1 {
			t.Errorf("X saw a refresh token %d times: %s", n, what)
		}
	}
	if len(shown) != troubled || len(happened(x, "token.replayed")) > 0 {
		t.Errorf("X saw %d refresh tokens of %d grants", len(shown), troubled)
	}
}

// overdue has the leases run out that nobody holds any more, once the journal
// says that nothing is under way: a caller whose lease was taken, but who was not
// told, has given up.
func overdue(t *testing.T, at, journal string) {
	t.Helper()
	for quiet, end := 0, time.Now().Add(answered); quiet < 5; time.Sleep(200 * time.Millisecond) {
		files, err := os.ReadDir(journal)
		if err != nil || time.Now().After(end) {
			t.Fatalf("the journal still has %d files: %v", len(files), err)
		}
		if quiet++; len(files) > 0 {
			quiet = 0
		}
	}
	db, err := sql.Open("pgx", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	done, err := db.ExecContext(t.Context(),
		"UPDATE grants SET lease_until = lease_until - 40000000, version = version + 1 WHERE lease_holder <> ''")
	if err != nil {
		t.Fatal(err)
	}
	n, _ := done.RowsAffected()
	t.Logf("%d leases were left behind", n)
}
