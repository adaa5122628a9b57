package cloudflare_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/cloudflare"
	"perch/adapters/memory"
	"perch/adapters/sqlstore"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/migrations"
	"perch/ports"
	"perch/ports/conformance"
	"perch/ports/conformance/workerd"
)

// A desk is an empty namespace of Workers KV with a door in front of it, at which
// a test can hold up what is asked, or refuse it.
type desk struct {
	place workerd.Place
	url   string

	mu   sync.Mutex
	stop func(w http.ResponseWriter, r *http.Request) bool // reports whether it has answered
	seen []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{place: workerd.KV(t)}
	engine, err := url.Parse(d.place.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = engine.Scheme, engine.Host, engine.Host
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		stop := d.stop
		d.seen = append(d.seen, r.Method+" "+strings.TrimPrefix(r.URL.Path, engine.Path))
		d.mu.Unlock()
		if stop == nil || !stop(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	d.url = s.URL + engine.Path
	return d
}

// at has the desk ask stop first, from now on.
func (d *desk) at(stop func(w http.ResponseWriter, r *http.Request) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop, d.seen = stop, nil
}

func (d *desk) asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.seen...)
}

// closed answers everything as Cloudflare does in trouble.
func closed(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

func (d *desk) open(t *testing.T, heads ports.Heads) *cloudflare.KV {
	t.Helper()
	kv, err := d.try(t, heads)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func (d *desk) try(t *testing.T, heads ports.Heads) (*cloudflare.KV, error) {
	t.Helper()
	kv, err := cloudflare.OpenKV(t.Context(), cloudflare.Config{
		URL: d.url, Account: d.place.Account, Token: secret.New(d.place.Token),
	}, d.place.ID, heads)
	if err == nil {
		kv.FollowPatiently()
		t.Cleanup(func() {
			if err := kv.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return kv, err
}

// ask makes a call of the API about a key and returns what it answers.
func (d *desk) ask(t *testing.T, method, key, value string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, d.place.URL+"/accounts/"+d.place.Account+
		"/storage/kv/namespaces/"+d.place.ID+"/values/"+url.PathEscape(key), strings.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.place.Token)
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

// wantKV checks that KV has the version under the key, or nothing for 0.
func (d *desk) wantKV(t *testing.T, key, version string) {
	t.Helper()
	status, text := d.ask(t, http.MethodGet, key, "")
	if version == "0" {
		if status != http.StatusNotFound {
			t.Errorf("KV has %s: %d %s", key, status, text)
		}
		return
	}
	if status != http.StatusOK || !strings.HasPrefix(text, `{"version":`+version+`,`) {
		t.Errorf("KV has under %s: %d %s; want version %s", key, status, text, version)
	}
}

func kvGrant(id string) oauth.Grant {
	return oauth.Grant{
		ID: oauth.GrantID(id), App: "app", XApp: "x", User: user.User{ID: user.ID("user of " + id)}, Access: "box",
		Created: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
	}
}

func sqliteHeads(t *testing.T) ports.Heads {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "heads.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := migrations.SQLite().Apply(t.Context(), s.DB()); err != nil {
		t.Fatal(err)
	}
	return s.Heads()
}

func memoryHeads(*testing.T) ports.Heads { return memory.NewHeads() }

func TestKVConforms(t *testing.T) {
	conformance.Verified(t, "kv")
	for name, heads := range map[string]func(*testing.T) ports.Heads{"memory": memoryHeads, "sqlite": sqliteHeads} {
		t.Run("heads in "+name, func(t *testing.T) {
			t.Run("TokenVault", func(t *testing.T) {
				conformance.TokenVault(t, func(t *testing.T) ports.TokenVault { return newDesk(t).open(t, heads(t)).Vault() })
			})
			registry := func(t *testing.T) ports.Registry { return newDesk(t).open(t, heads(t)).Registry() }
			t.Run("Applications", func(t *testing.T) {
				conformance.Applications(t, func(t *testing.T) ports.Applications { return registry(t).Apps() })
			})
			t.Run("APIKeys", func(t *testing.T) {
				conformance.APIKeys(t, func(t *testing.T) ports.APIKeys { return registry(t).Keys() })
			})
			t.Run("XApps", func(t *testing.T) {
				conformance.XApps(t, func(t *testing.T) ports.XApps { return registry(t).XApps() })
			})
		})
	}
}

// What KV would answer may be old, so nothing is asked of it.
func TestKVIsNotReadOnceItIsOpen(t *testing.T) {
	d := newDesk(t)
	kv := d.open(t, memoryHeads(t))
	d.at(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut || r.Method == http.MethodDelete {
			return false
		}
		return closed(w, r)
	})
	g, err := kv.Vault().Create(t.Context(), kvGrant("g"))
	for range 3 {
		if err != nil {
			t.Fatal(err)
		}
		g, err = kv.Vault().Swap(t.Context(), g, g)
	}
	_, get := kv.Vault().Get(t.Context(), "g")
	_, find := kv.Vault().Find(t.Context(), g.App, g.XApp, g.User.ID)
	_, list := kv.Vault().List(t.Context(), "", "", 9)
	_, app := kv.Registry().Apps().Create(t.Context(), client.App{ID: "a"})
	if err := errors.Join(err, get, find, list, app); err != nil {
		t.Error(err)
	}
	d.wantKV(t, "grants/g", "4")
	d.wantKV(t, "applications/a", "1")
	for _, call := range d.asked() {
		if !strings.HasPrefix(call, "PUT ") {
			t.Errorf("KV was asked: %s", call)
		}
	}
}

func xappOf(id string) xapp.App { return xapp.App{ID: xapp.ID(id), Name: "of " + id} }
