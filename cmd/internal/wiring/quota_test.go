package wiring_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/ports"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
	"perch/ports/conformance/redistest"
	"perch/ports/conformance/workerd"
)

// countings are where calls can be counted by several replicas.
func countings() []environment {
	return []environment{
		{"sqlite", func(t testing.TB, _ string, cfg *config.Config) {
			cfg.Quota = "sqlite:" + filepath.Join(t.TempDir(), "counts.db")
		}},
		{"postgres", func(t testing.TB, _ string, cfg *config.Config) { cfg.Quota = pgtest.URL(t) }},
		{"d1", func(t testing.TB, _ string, cfg *config.Config) {
			p := workerd.D1(t)
			cfg.Quota = "d1:" + p.Account + "/" + p.ID
			cfg.Cloudflare.URL, cfg.Cloudflare.Token = p.URL, secret.New(p.Token)
		}},
		{"redis", func(t testing.TB, _ string, cfg *config.Config) { cfg.Quota = redistest.URL(t) }},
	}
}

// alerts are the verbs that an observer was told.
type alerts struct {
	mu    sync.Mutex
	verbs []string
}

func (a *alerts) Observe(_ context.Context, e audit.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.verbs = append(a.verbs, e.Verb)
}

func (a *alerts) told() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.verbs)
}

func (a *alerts) last() string {
	verbs := a.told()
	if len(verbs) == 0 {
		return ""
	}
	return verbs[len(verbs)-1]
}

// openCounting opens a replica's stores. done ends it as an operator would.
func openCounting(t testing.TB, cfg config.Config, o ports.Observer) (s wiring.Stores, done func()) {
	t.Helper()
	s, done, err := wiring.OpenStores(t.Context(), cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), o)
	if err != nil {
		t.Fatal(err)
	}
	done = sync.OnceFunc(done)
	t.Cleanup(done)
	return s, done
}

// Four replicas with 64 callers share limits of several windows, of which one is
// 1,000 calls. Exactly those are given; in blocks never more, and what the last
// blocks held is there again when the replicas have ended.
func TestFourReplicasShareALimitOfAThousand(t *testing.T) {
	for _, c := range countings() {
		for _, mode := range []string{config.Exact, config.Block} {
			t.Run(c.name+" "+mode, func(t *testing.T) {
				conformance.Verified(t, c.name)
				shareAThousand(t, c, mode)
			})
		}
	}
}

func shareAThousand(t *testing.T, c environment, mode string) {
	cfg := config.Config{Store: "memory:", QuotaMode: mode, Migrate: true}
	c.keep(t, "", &cfg)
	cfg = cfg.Settled()
	charges := []quota.Charge{
		{Key: "address:192.0.2.0", Max: 100_000, Window: 24 * time.Hour},
		{Key: "app:a", Max: 1000, Window: time.Hour},
		{Key: "grant:g", Max: 5000, Window: time.Hour},
		{Key: "x:tweets", Max: 1500, Window: 15 * time.Minute, Theirs: true},
	}
	at := time.Now()
	var replicas [4]wiring.Stores
	var ends [4]func()
	for i := range replicas {
		replicas[i], ends[i] = openCounting(t, cfg, &alerts{})
	}
	var given, refused atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	const asked = 64 * 20
	callers := 64
	if raced && (c.name == "sqlite" || c.name == config.D1) { // which take calls one after the other: some would wait for too long
		callers = 16
	}
	for i := range callers {
		all.Go(func() {
			mine := slices.Clone(charges)
			for turn := i; turn < asked; turn += callers {
				first := turn / callers % 4
				v, err := replicas[i%4].Quota.Spend(t.Context(), at, slices.Concat(mine[first:], mine[:first]))
				switch {
				case err != nil:
					t.Error(err)
					return
				case v.Allowed:
					given.Add(1)
				default:
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	t.Logf("%d given and %d refused in %v", given.Load(), refused.Load(), took.Round(time.Millisecond))
	n, least := given.Load(), int64(1000)
	if mode == config.Block {
		least -= 4 * 1000 / 50
	}
	if n > 1000 || n < least || n+refused.Load() != asked {
		t.Errorf("%d of 1000 were given and %d refused, want at least %d and never more than 1000", n, refused.Load(), least)
	}
	for _, end := range ends {
		end()
	}
	cfg.QuotaMode = config.Exact
	last, _ := openCounting(t, cfg, &alerts{})
	for _, charge := range charges {
		used := charge.Max - n
		charge.Cost, charge.Least = charge.Max, 1
		v, err := last.Quota.Spend(t.Context(), at, []quota.Charge{charge})
		if err != nil {
			t.Fatal(err)
		}
		left := v.Grips[0].Given
		if mode == config.Block && took > 20*time.Second && left < used {
			continue // a machine so slow may not give a block back in the two seconds that are for it
		}
		if left != used {
			t.Errorf("%s has %d left, want %d", charge.Key, left, used)
		}
	}
}

// While Redis is away under load, calls are refused or counted by each replica,
// as was chosen; the alert is told once, and all goes on by itself.
func TestRedisIsStoppedAndStartedUnderLoad(t *testing.T) {
	for _, down := range []string{config.Closed, config.Open} {
		for _, mode := range []string{config.Exact, config.Block} {
			t.Run(down+" "+mode, func(t *testing.T) {
				conformance.Verified(t, "redis-restart")
				told := stopAndStart(t, down, mode)
				for range 2 { // a machine that stands still for a second is an alert of its own
					if len(told) > 2 {
						told = stopAndStart(t, down, mode)
					}
				}
				if len(told) > 2 {
					t.Errorf("three times in a row more than one alert was told; the last time %q", told)
				}
			})
		}
	}
}

// stopAndStart stops a Redis under load and starts it again, and returns the alerts.
func stopAndStart(t *testing.T, down, mode string) []string {
	t.Helper()
	server, told := redistest.Start(t, "--appendonly", "no"), &alerts{}
	cfg := config.Config{Store: "memory:", Quota: server.URL(), QuotaMode: mode, QuotaDown: down}.Settled()
	s, _ := openCounting(t, cfg, told)
	l := pull(t, s.Quota)
	eventually(t, "calls are counted", func() bool { return l.allowed.Load() > 100 })
	server.Down(t)
	eventually(t, "the alert is told", func() bool { return told.last() == "quota.store.open" })
	allowed, refused := l.allowed.Load(), l.refused.Load()
	if down == config.Closed {
		eventually(t, "calls are refused", func() bool { return l.refused.Load() > refused+100 })
	} else {
		eventually(t, "calls are let through", func() bool { return l.allowed.Load() > allowed+100 })
	}
	server.Up(t)
	eventually(t, "Redis is used again", func() bool { return told.last() == "quota.store.close" })
	allowed = l.allowed.Load()
	eventually(t, "calls are counted again", func() bool { return l.allowed.Load() > allowed+100 })
	l.stop()
	got := told.told()
	for i, verb := range got {
		if verb != []string{"quota.store.open", "quota.store.close"}[i%2] {
			t.Errorf("told %q, want each alert once", got)
		}
	}
	if down == config.Open && l.refused.Load() > 0 {
		t.Errorf("%d calls were refused", l.refused.Load())
	}
	return got
}

// Counting waits less for a Redis that says nothing than what needs its heads, also
// where both are in the same one.
func TestNoCallWaitsLongForTheRedisOfLeases(t *testing.T) {
	conformance.Verified(t, "redis-restart")
	counts, heads := waited(t)
	for range 4 { // a machine that stands still meanwhile proves nothing
		if counts > heads/2 {
			counts, heads = waited(t)
		}
	}
	if counts > heads/2 {
		t.Errorf("five times in a row counts were waited for too long; the last time %v, and heads %v", counts, heads)
	}
}

// waited is how long counts and heads are waited for from a Redis that says nothing.
func waited(t *testing.T) (counts, heads time.Duration) {
	t.Helper()
	server := redistest.Start(t)
	cfg := config.Config{Quota: server.URL(), QuotaDown: config.Closed, Migrate: true}
	apart()[0].keep(t, t.TempDir(), &cfg)
	cfg.Leases = cfg.Quota
	s, _ := openCounting(t, cfg.Settled(), &alerts{})
	spend := func() error {
		_, err := s.Quota.Spend(t.Context(), time.Now(), []quota.Charge{{Key: "app:a", Max: 100, Window: time.Hour}})
		return err
	}
	lease := func() error { _, err := s.Clock.Now(t.Context()); return err }
	for what, do := range map[string]func() error{"counts": spend, "heads": lease} {
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	server.Pause(t)
	var both sync.WaitGroup
	for _, part := range []struct {
		took *time.Duration
		do   func() error
	}{{&counts, spend}, {&heads, lease}} {
		both.Go(func() {
			began := time.Now()
			if err := part.do(); !errors.Is(err, fault.Unavailable) {
				t.Errorf("a Redis that says nothing: %v", err)
			}
			*part.took = time.Since(began)
		})
	}
	both.Wait()
	return counts, heads
}

// A pulling is eight callers that go on charging.
type pulling struct {
	allowed, refused atomic.Int64
	stop             func()
}

func pull(t *testing.T, s ports.QuotaStore) *pulling {
	ctx, cancel := context.WithCancel(context.Background())
	l := &pulling{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				v, err := s.Spend(context.Background(), time.Now(), []quota.Charge{{Key: "app:a", Max: 1 << 40, Window: time.Hour}})
				switch {
				case err == nil && v.Allowed:
					l.allowed.Add(1)
				case fault.SlugOf(err) == "quota-store" && errors.Is(err, fault.Unavailable):
					l.refused.Add(1)
				default:
					t.Errorf("got %+v, %v", v, err)
					return
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	l.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(l.stop)
	return l
}

// What clients and operators see of a Redis that is gone, at the doors.
func TestWhatClientsSeeWhileRedisIsGone(t *testing.T) {
	for _, c := range []struct {
		down        string
		call, ready int
	}{{config.Closed, http.StatusServiceUnavailable, http.StatusServiceUnavailable}, {config.Open, http.StatusOK, http.StatusOK}} {
		t.Run(c.down, func(t *testing.T) {
			conformance.Verified(t, "redis-restart")
			x := xsim.New(xsim.Options{})
			at, _ := serveX(t, x)
			server := redistest.Start(t)
			cfg := settings(t, environments()[0], at)
			cfg.Quota, cfg.QuotaDown = server.URL(), c.down
			h := open(t, cfg)
			app := h.register(t, pageA, "")
			grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
			call := func() answer { return h.act(t, app.sk, grant, "GET", "/2/users/me", "") }
			eventually(t, "calls are counted", func() bool { return call().status == http.StatusOK })
			server.Down(t)
			a := call()
			want(t, c.call, a)
			if c.call != http.StatusOK && (a.problem() != "quota-store" || a.header.Get("Retry-After") == "") {
				t.Errorf("the problem is %s, with Retry-After %q", a.body, a.header.Get("Retry-After"))
			}
			health := func() (ready answer, quota string) {
				ready = ask(t, h.client, "GET", h.admin+"/readyz", "")
				for _, n := range []string{"0", "1", "2", "3"} {
					if ready.text("parts."+n+".name") == "quota" {
						return ready, ready.text("parts." + n + ".status")
					}
				}
				return ready, "(not shown)"
			}
			eventually(t, "health says that Redis is gone", func() bool {
				ready, status := health()
				return ready.status == c.ready && status != "ok" && status != "(not shown)"
			})
			server.Up(t)
			eventually(t, "all is as before", func() bool {
				ready, status := health()
				return ready.status == http.StatusOK && status == "ok" && call().status == http.StatusOK
			})
			log := string(h.log.bytes()) // a machine that stands still for a second is there, too
			gone, back := strings.Count(log, `"quota.store.open"`), strings.Count(log, `"quota.store.close"`)
			if back == 0 || gone < back || gone > back+1 {
				t.Errorf("the log says %d times that Redis is gone, and %d times that it is back", gone, back)
			}
		})
	}
}
