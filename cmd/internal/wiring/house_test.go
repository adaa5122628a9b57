package wiring_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"perch/adapters/telemetry"
	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
	"perch/ports/conformance/redistest"
	"perch/ports/conformance/workerd"
)

const (
	ada        = "1500000000000000001" // users of the simulator
	grace      = "1500000000000000002"
	adminToken = "the-operators-token-of-this-test" // #nosec G101 -- opens nothing
	pageA      = "https://a.example"
	pageB      = "https://b.example"
)

// An environment is where a house keeps what it has.
type environment struct {
	name string
	keep func(t testing.TB, dir string, cfg *config.Config)
}

func environments() []environment {
	return []environment{
		{"memory", func(_ testing.TB, _ string, cfg *config.Config) { cfg.Store = "memory:" }},
		{"sqlite", func(_ testing.TB, dir string, cfg *config.Config) {
			cfg.Store = "sqlite:" + filepath.Join(dir, "perch.db")
		}},
		{"postgres", func(t testing.TB, _ string, cfg *config.Config) { cfg.Store = pgtest.URL(t) }},
		{"d1", func(t testing.TB, _ string, cfg *config.Config) {
			p := workerd.D1(t)
			cfg.Store = "d1:" + p.Account + "/" + p.ID
			cfg.Cloudflare = config.Cloudflare{URL: p.URL, Token: secret.New(p.Token)}
		}},
	}
}

// many is how many of n can call at once. D1 takes calls one after the other, and
// on a busy machine some would wait longer than a statement may.
func (e environment) many(n int) int {
	if e.name == config.D1 {
		return n / 5
	}
	return n
}

// apart are environments in which grants and the registry are in Workers KV, and
// what guards them is elsewhere.
func apart() []environment {
	inKV := func(t testing.TB, dir string, cfg *config.Config) {
		p := workerd.KV(t)
		cfg.Store = "sqlite:" + filepath.Join(dir, "perch.db")
		cfg.Vault = "kv:" + p.Account + "/" + p.ID
		cfg.Registry = cfg.Vault
		cfg.Cloudflare = config.Cloudflare{URL: p.URL, Token: secret.New(p.Token)}
	}
	return []environment{
		{"kv", func(t testing.TB, dir string, cfg *config.Config) {
			inKV(t, dir, cfg)
			cfg.Leases = cfg.Store
		}},
		{"redis", func(t testing.TB, dir string, cfg *config.Config) {
			inKV(t, dir, cfg)
			cfg.Leases = redistest.URL(t)
		}},
	}
}

// everywhere runs the test in every environment. Those that pass are verified.
func everywhere(t *testing.T, test func(t *testing.T, e environment)) {
	within(t, environments(), test)
}

// lasting runs the test in every environment whose things outlive a house, and
// can be shared by several.
func lasting(t *testing.T, test func(t *testing.T, e environment)) {
	within(t, append(slices.DeleteFunc(environments(), func(e environment) bool { return e.name == "memory" }), apart()...),
		test)
}

func within(t *testing.T, all []environment, test func(t *testing.T, e environment)) {
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			conformance.Verified(t, e.name)
			test(t, e)
		})
	}
}

// serveX puts X behind a listener and returns its URL and how to take X down.
func serveX(t testing.TB, x http.Handler) (url string, down func()) {
	t.Helper()
	s := httptest.NewServer(x)
	down = sync.OnceFunc(func() {
		s.CloseClientConnections()
		s.Close()
	})
	t.Cleanup(down)
	return s.URL, down
}

// settings are those of a house in the environment, in front of X at the URL.
func settings(t testing.TB, e environment, x string) config.Config {
	t.Helper()
	dir, app := t.TempDir(), xsim.DefaultApp()
	cfg := config.Config{
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", AdminToken: secret.New(adminToken), Migrate: true,
		X: config.X{
			ClientID: app.ClientID, ClientSecret: secret.New(app.ClientSecret), Bearer: secret.New(app.Bearer),
			APIURL: x, AuthorizeURL: x + "/i/oauth2/authorize",
		},
		Limits: "app:6000/m", XWindows: config.Off, LogLevel: "debug", LogFormat: "json", ShutdownGrace: 10 * time.Second,
	}
	e.keep(t, dir, &cfg)
	if kind, _ := config.Backend(cfg.Store); kind != "memory" {
		cfg.KeysetFile = filepath.Join(dir, "perch.keyset.json")
		cfg.Journal = filepath.Join(dir, "perch.journal")
	}
	return cfg.Settled()
}

// A house is a whole Perch behind two doors on loopback.
type house struct {
	*wiring.House
	cfg           config.Config
	public, admin string // URLs of the doors
	log           *record
	client        *http.Client // follows no redirect and keeps no cookie
	leave         func()       // ends the house; more than once does no harm
}

// open puts a house together and serves it until the test ends. Without a
// public URL it is that of the public door.
func open(t testing.TB, cfg config.Config) *house {
	t.Helper()
	h := &house{log: &record{}, client: &http.Client{CheckRedirect: stay, Transport: &http.Transport{
		MaxIdleConnsPerHost: 300, DisableCompression: true,
	}}}
	public, admin := listen(t), listen(t)
	h.public, h.admin = "http://"+public.Addr().String(), "http://"+admin.Addr().String()
	if cfg.PublicURL == "" {
		cfg.PublicURL = h.public
	}
	h.cfg = cfg
	log := telemetry.NewLogger(h.log, cfg.LogLevel, cfg.LogFormat)
	rooms, closeRooms, err := wiring.Serve(t.Context(), cfg, "test", log)
	if err != nil {
		t.Fatal(err)
	}
	h.House = rooms
	served := make(chan error, 2)
	go func() { served <- rooms.Public.Serve(public) }()
	go func() { served <- rooms.Admin.Serve(admin) }()
	h.leave = sync.OnceFunc(func() {
		h.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownGrace)
		defer cancel()
		err := errors.Join(rooms.Public.Shutdown(ctx), rooms.Admin.Shutdown(ctx), <-served, <-served)
		closeRooms()
		rooms.Gateway.Close()
		if err != nil {
			t.Errorf("leaving the house: %v", err)
		}
	})
	t.Cleanup(h.leave)
	return h
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// A record is a log that can be read while it is written.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.b.Bytes())
}

// operator asks the operators' door and fails unless it answers with the status.
func (h *house) operator(t testing.TB, status int, method, path string, body any) answer {
	t.Helper()
	a := ask(t, h.client, method, h.admin+path, jsonOf(t, body),
		"Authorization: Bearer "+adminToken, "Content-Type: application/json")
	if a.status != status {
		t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// object is a JSON object.
type object = map[string]any

// A tenant is a client application with a publishable key and a secret one. The
// secret one may act app-only.
type tenant struct {
	id, pk, sk, origin string
}

// register makes a tenant whose pages are at the origin.
func (h *house) register(t testing.TB, origin, xapp string) tenant {
	t.Helper()
	a := h.operator(t, http.StatusCreated, "POST", "/admin/v1/apps", object{
		"name": "of " + origin, "x_app": xapp, "origins": []string{origin}, "redirect_uris": []string{origin + "/back"},
		"scopes": oauth.Everything.List(),
	})
	to := tenant{id: a.text("id"), origin: origin}
	keys := "/admin/v1/apps/" + to.id + "/keys"
	to.pk = h.operator(t, http.StatusCreated, "POST", keys, object{"kind": "publishable"}).text("key")
	to.sk = h.operator(t, http.StatusCreated, "POST", keys, object{"kind": "secret", "app_only": true}).text("key")
	return to
}

// adopt gives the tenant the tokens of a user as a grant and returns its ID.
func (h *house) adopt(t testing.TB, to tenant, user string, token xsim.Token, expires time.Time) string {
	t.Helper()
	return h.operator(t, http.StatusCreated, "POST", "/admin/v1/grants/import", object{
		"app_id": to.id, "user_id": user, "access_token": token.Access, "refresh_token": token.Refresh,
		"scope": token.Scope, "expires_at": expires, "replace": true,
	}).text("id")
}

// act performs an action as a server does: with a secret key and, unless it is
// empty, the ID of a grant. It may be called from any goroutine.
func (h *house) act(t testing.TB, sk, grant, method, path, body string, headers ...string) answer {
	headers = append([]string{"Authorization: Bearer " + sk, "Content-Type: application/json"}, headers...)
	if grant != "" {
		headers = append(headers, "Perch-Grant: "+grant)
	}
	return send(t, h.client, method, h.public+path, body, headers...)
}

// issue lets the user approve the developer app with every scope.
func issue(t testing.TB, x *xsim.Sim, app, user string) xsim.Token {
	t.Helper()
	token, err := x.Issue(app, user, oauth.Everything.List())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// set changes settings of the box.
func set(t testing.TB, x *xsim.Sim, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	x.ServeHTTP(w, httptest.NewRequest("POST", "/_sim/settings", bytes.NewReader([]byte(body))))
	if w.Code != http.StatusOK {
		t.Fatalf("settings of the box: %d %s", w.Code, w.Body)
	}
}

// happened returns what the ledger of X has of the kinds, oldest first.
func happened(x *xsim.Sim, kinds ...string) []xsim.Entry {
	return slices.DeleteFunc(x.Ledger(), func(e xsim.Entry) bool { return !slices.Contains(kinds, e.Type) })
}

// oneDay waits for midnight to pass if it is near, so that what a test does from
// then on is all of one day, by which money is counted.
func oneDay() {
	const soon = 2 * time.Minute // a busy machine takes long
	for now := time.Now().UTC(); now.Add(soon).Day() != now.Day(); now = time.Now().UTC() {
		time.Sleep(time.Until(now.Add(soon).Truncate(24 * time.Hour)))
	}
}

// ending makes a publishable key that ends in a moment. On a busy machine that may
// be over before the key is made, which is refused: then it is to be a longer one.
func (h *house) ending(t testing.TB, keys string) string {
	t.Helper()
	for moment := 100 * time.Millisecond; ; moment *= 2 {
		a := ask(t, h.client, "POST", h.admin+keys, jsonOf(t, object{"kind": "publishable", "expires_at": time.Now().Add(moment)}),
			"Authorization: Bearer "+adminToken, "Content-Type: application/json")
		if a.status == http.StatusCreated {
			return a.text("key")
		}
		if a.status != http.StatusBadRequest || moment > time.Minute {
			t.Fatalf("a key that ends in %v: %d %s", moment, a.status, a.body)
		}
	}
}

// eventually waits for something that is about to be so, and gives a busy machine
// time for that.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in a minute it has not come to pass that %s", what)
		}
	}
}
