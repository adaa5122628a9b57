package wiring_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/adapters/xhttp/xsim"
	"perch/app/clients"
	"perch/app/uses"
	"perch/app/xapps"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// key makes a key of the tenant and returns its ID and the key.
func (h *house) key(t testing.TB, to tenant, body object) (id, key string) {
	t.Helper()
	body["kind"] = "secret"
	a := h.operator(t, http.StatusCreated, "POST", "/admin/v1/apps/"+to.id+"/keys", body)
	return a.text("id"), a.text("key")
}

// Security: what is taken from a key on one replica is refused on the other
// within the bound, however warm the key is there (CVE-2021-41230).
func TestAKeyThatIsNarrowedOnOneReplicaIsSoOnAll(t *testing.T) { lasting(t, keyNarrowedOnAll) }

func keyNarrowedOnAll(t *testing.T, e environment) {
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	h := openTwo(t, e, x)
	app := h[0].register(t, pageA, "")
	grants := []string{
		h[0].adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour)),
		h[0].adopt(t, app, grace, issue(t, x, "sim-client", grace), time.Now().Add(time.Hour)),
	}
	narrow := func(body object) func(id string) {
		return func(id string) { h[0].operator(t, http.StatusOK, "PATCH", "/admin/v1/keys/"+id, body) }
	}
	for _, c := range []struct {
		name   string
		do     func(id string)
		status int
		slug   string
	}{
		{"by actions", narrow(object{"actions": []string{"post"}}), http.StatusForbidden, "key-action-not-allowed"},
		{"by addresses", narrow(object{"addresses": []string{"192.0.2.0/24"}}), http.StatusForbidden, "key-address-not-allowed"},
		{"by grants", narrow(object{"grants": grants[1:]}), http.StatusForbidden, "bound-key"},
		{"by its end", func(id string) {
			h[0].operator(t, http.StatusCreated, "POST", "/admin/v1/keys/"+id+"/rotate", object{"overlap_seconds": 0})
		}, http.StatusUnauthorized, "bad-api-key"},
		{"for good", func(id string) { h[0].operator(t, http.StatusNoContent, "DELETE", "/admin/v1/keys/"+id, nil) },
			http.StatusUnauthorized, "bad-api-key"},
	} {
		id, sk := h[0].key(t, app, object{})
		call := func(i int) func() answer {
			return func() answer { return h[i].act(t, sk, grants[0], "GET", "/2/users/me", "") }
		}
		for range 3 {
			want(t, http.StatusOK, call(0)(), call(1)())
			time.Sleep(20 * time.Millisecond)
		}
		c.do(id)
		ended := time.Now()
		if a := call(0)(); a.status != c.status || a.problem() != c.slug {
			t.Errorf("narrowed %s, on the replica that did it: %d %s", c.name, a.status, a.body)
		}
		var a answer
		for asked := time.Duration(0); ; time.Sleep(20 * time.Millisecond) {
			asked = time.Since(ended)
			if a = call(1)(); a.status != http.StatusOK {
				t.Logf("narrowed %s: refused on the other replica after %v", c.name, time.Since(ended))
				break
			}
			if asked > bound {
				t.Errorf("narrowed %s: who asked the other replica %v later was let in", c.name, asked)
				break
			}
		}
		if a.status != c.status || a.problem() != c.slug {
			t.Errorf("narrowed %s, on the other replica: %d %s", c.name, a.status, a.body)
		}
	}
	// An end that was set before comes by itself, on every replica.
	id, sk := h[0].key(t, app, object{})
	at := h[0].endsSoon(t, id)
	for _, one := range h {
		for {
			asked := time.Now()
			a := one.act(t, sk, grants[0], "GET", "/2/users/me", "")
			if a.status != http.StatusOK && !time.Now().Before(at) { // it may have been asked before and read after
				want(t, http.StatusUnauthorized, a)
				break
			}
			want(t, http.StatusOK, a)
			if asked.After(at.Add(bound)) {
				t.Fatal("an expired key is let in")
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// endsSoon has a key end in three seconds, or later if on a busy machine they are over
// before the key is changed, which is refused.
func (h *house) endsSoon(t *testing.T, id string) time.Time {
	t.Helper()
	for soon := 3 * time.Second; ; soon *= 2 {
		at := time.Now().Add(soon).UTC()
		a := ask(t, h.client, "PATCH", h.admin+"/admin/v1/keys/"+id, jsonOf(t, object{"expires_at": at}),
			"Authorization: Bearer "+adminToken, "Content-Type: application/json")
		if a.status == http.StatusOK {
			return at
		}
		if a.status != http.StatusBadRequest || soon > time.Minute {
			t.Fatalf("a key is to end in %v: %d %s", soon, a.status, a.body)
		}
	}
}

// Security: a warm key opens nothing but what it is for (CVE-2021-32701,
// CVE-2026-33496).
func TestAWarmKeyOpensNothingElse(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		set(t, x, `{"windows":false}`)
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		one, two := h.register(t, pageA, ""), h.register(t, pageB, "")
		mine := h.adopt(t, one, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
		theirs := h.adopt(t, two, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
		_, reads := h.key(t, one, object{"actions": []string{"read"}})
		_, posts := h.key(t, one, object{"actions": []string{"post"}})
		for range 3 {
			want(t, http.StatusOK, h.act(t, reads, mine, "GET", "/2/users/me", ""))
			want(t, http.StatusCreated, h.act(t, posts, mine, "POST", "/2/tweets", jsonOf(t, object{"text": time.Now().String()})))
			want(t, http.StatusForbidden, h.act(t, reads, mine, "POST", "/2/tweets", `{"text":"no"}`),
				h.act(t, posts, mine, "GET", "/2/users/me", ""))
			want(t, http.StatusNotFound, h.act(t, reads, theirs, "GET", "/2/users/me", ""),
				h.act(t, two.sk, mine, "GET", "/2/users/me", ""), h.act(t, reads, theirs, "GET", "/v1/grants/"+theirs, ""))
		}
	})
}

// counted counts what a registry is asked.
type counted struct {
	ports.Applications
	ports.APIKeys
	apps, keys int
}

type countedApps struct{ *counted }

func (c countedApps) Get(ctx context.Context, id client.AppID) (client.App, error) {
	c.apps++
	return c.Applications.Get(ctx, id)
}
func (c countedApps) Create(ctx context.Context, a client.App) (client.App, error) {
	return c.Applications.Create(ctx, a)
}
func (c countedApps) Swap(ctx context.Context, old, next client.App) (client.App, error) {
	return c.Applications.Swap(ctx, old, next)
}
func (c countedApps) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	return c.Applications.List(ctx, after, n)
}

type countedKeys struct{ *counted }

func (c countedKeys) ByDigest(ctx context.Context, digests []string) (apikey.Key, error) {
	c.keys++
	return c.APIKeys.ByDigest(ctx, digests)
}
func (c countedKeys) Create(ctx context.Context, k apikey.Key) (apikey.Key, error) {
	return c.APIKeys.Create(ctx, k)
}
func (c countedKeys) Get(ctx context.Context, id apikey.ID) (apikey.Key, error) {
	return c.APIKeys.Get(ctx, id)
}
func (c countedKeys) Swap(ctx context.Context, old, next apikey.Key) (apikey.Key, error) {
	return c.APIKeys.Swap(ctx, old, next)
}
func (c countedKeys) List(ctx context.Context, app client.AppID, after apikey.ID, n int) ([]apikey.Key, error) {
	return c.APIKeys.List(ctx, app, after, n)
}

// hostile are credentials that somebody made up.
func hostile() map[string]string {
	return map[string]string{
		"SQL": "sk_' OR 1=1--", "SQL that stacks": "sk_'; DROP TABLE api_keys;--", "a quote": `sk_"`, "a percent sign": "sk_%",
		"an escaped NUL": "sk_%00", "NUL": "sk_\x00", "not UTF-8": "sk_\xff\xfe\xc0\xaf", "a megabyte": "sk_" + strings.Repeat("A", 1<<20),
		"a placeholder": "sk_?", "a parameter": "sk_$1", "a backslash": `sk_\`, "half a surrogate": "sk_\xed\xa0\x80", "nothing more": "sk_", "nothing": "",
	}
}

// Security: no text of a key reaches a store as anything but a digest, and each
// costs it the same (CVE-2026-42208).
func TestHostileKeysCostEveryStoreTheSame(t *testing.T) {
	for _, e := range append(environments(), apart()...) {
		t.Run(e.name, func(t *testing.T) {
			registry, kept := ports.Registry(memory.NewRegistry()), ports.Uses(memory.NewUses())
			cfg := settings(t, e, "http://127.0.0.1:1")
			if kind, _ := config.Backend(cfg.Store); kind != "memory" {
				h := open(t, cfg) // which makes the schema and the keyset
				stores, shut, err := wiring.Open(t.Context(), h.cfg, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(shut)
				registry, kept = stores.Registry, stores.Uses
			}
			ring := keyring.Ephemeral()
			n := &counted{Applications: registry.Apps(), APIKeys: registry.Keys()}
			cs := clients.New(countedApps{n}, countedKeys{n}, ring, xapps.New(registry.XApps(), registry.Apps(), ring, ports.XApp{ClientID: "x"}),
				uses.New(kept))
			app, err := cs.Register(t.Context(), client.App{Name: "one"})
			if err != nil {
				t.Fatal(err)
			}
			_, good, err := cs.IssueKey(t.Context(), apikey.Key{App: app.ID, Kind: apikey.Secret})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				for name, text := range hostile() {
					n.apps, n.keys = 0, 0
					got, _, err := cs.Authenticate(t.Context(), secret.New(text), here(name))
					if k := fault.KindOf(err); k != fault.Unauthenticated && k != fault.Limited || got.ID != "" || n.apps != 1 || n.keys != 1 {
						t.Errorf("%s: asked for %d keys and %d applications: %v", name, n.keys, n.apps, err)
					}
				}
				if got, _, err := cs.Authenticate(t.Context(), good, here("good")); err != nil || got.ID != app.ID {
					t.Errorf("the right key: %v", err)
				}
			}
			sharedPrefix(t, cs, registry.Keys(), ring, app.ID)
		})
	}
}

// Security: two keys that begin alike are two keys, warm or not (CVE-2026-35030).
func sharedPrefix(t *testing.T, cs *clients.Service, keys ports.APIKeys, ring ports.Keyring, app client.AppID) {
	t.Helper()
	const prefix = "sk_AAAAAAAAAAAAAAAAA" // of 20 bytes
	for i := range 8 {
		text := fmt.Sprintf("%sBBBBBBBBBBBB%c", prefix, 'A'+i)
		digests, err := ring.Digests(t.Context(), secret.New(text), "apikey")
		if err != nil {
			t.Fatal(err)
		}
		k := apikey.Key{ID: apikey.ID(fmt.Sprint("key_", i)), App: app, Kind: apikey.Secret, Digest: digests[0]}
		k.Grants = []oauth.GrantID{oauth.GrantID(text)}
		if _, err := keys.Create(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{prefix, text[:len(text)-1], text + "A", text[:len(text)-1] + "Z"} {
			if _, k, err := cs.Authenticate(t.Context(), secret.New(other), here(other)); err == nil {
				t.Errorf("a key that begins alike is taken for %s", k.ID)
			}
		}
		for range 2 {
			if _, got, err := cs.Authenticate(t.Context(), secret.New(text), here(text)); err != nil || got.ID != k.ID || got.Grants[0] != k.Grants[0] {
				t.Errorf("%s is known as %s: %v", k.ID, got.ID, err)
			}
		}
	}
}

func TestHostileKeysAreRefusedAndNotWrittenDown(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		h := open(t, settings(t, e, "http://127.0.0.1:1"))
		app := h.register(t, pageA, "")
		for name, text := range hostile() {
			form := url.Values{"client_id": {"pk" + strings.TrimPrefix(text, "sk")}, "grant_type": {"refresh_token"}, "refresh_token": {text}}
			a := send(t, h.client, "POST", h.public+"/oauth/token", form.Encode(), "Content-Type: application/x-www-form-urlencoded")
			if a.err == nil && a.status != http.StatusUnauthorized && a.status != http.StatusTooManyRequests && a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("%s as client_id: %d %s", name, a.status, a.body)
			}
			if strings.ContainsAny(text, "\x00") {
				continue // no client library sends it in a header
			}
			a = send(t, h.client, "GET", h.public+"/v1/grants", "", "Authorization: Bearer "+text)
			if a.err == nil && (a.status/100 != 4 || a.status == http.StatusNotFound) {
				t.Errorf("%s as bearer: %d %s", name, a.status, a.body)
			}
		}
		want(t, http.StatusOK, h.act(t, app.sk, "", "GET", "/v1/grants", ""))
		for _, word := range []string{"SELECT", "INSERT", "api_keys", "DROP TABLE", "OR 1=1", app.sk, app.pk} {
			if strings.Contains(string(h.log.bytes()), word) {
				t.Errorf("the log has %.12q", word)
			}
		}
	})
}

// What was noted is written when a house is left, and no use is a write.
func TestTheLastUseOfAKeyOutlivesTheHouse(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		cfg := settings(t, e, "http://127.0.0.1:1")
		h := open(t, cfg)
		app := h.register(t, pageA, "")
		id, sk := h.key(t, app, object{"name": "used"})
		began := time.Now().Add(-time.Second) // the store's clock may be a bit behind
		want(t, http.StatusOK, h.act(t, sk, "", "GET", "/v1/grants", ""))
		h.leave()
		h = open(t, cfg)
		list := h.operator(t, http.StatusOK, "GET", "/admin/v1/apps/"+app.id+"/keys", nil)
		for i := range 3 {
			used := list.text(fmt.Sprintf("data.%d.last_used_at", i))
			if list.text(fmt.Sprintf("data.%d.id", i)) != id {
				if used != "" {
					t.Errorf("a key that was not used was at %s", used)
				}
				continue
			}
			if at, err := time.Parse(time.RFC3339, used); err != nil || at.Before(began) || at.After(time.Now().Add(time.Second)) {
				t.Errorf("last used at %q: %v", used, err)
			}
		}
	})
}

// here is an address of its own for each name.
func here(name string) netip.Addr {
	sum := sha256.Sum256([]byte(name))
	return netip.AddrFrom4([4]byte(sum[:4]))
}
