package grants_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/clock"
	"perch/app/grants"
	"perch/app/xapps"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

const (
	app      = client.AppID("app_test")
	callback = "http://127.0.0.1/oauth/callback"
)

// Tests wait shorter than Perch does.
const (
	rest       = 300 * time.Millisecond
	waitAndSee = 100 * time.Millisecond
)

// A house is the grants slice over memory and X in a box.
type house struct {
	*grants.Service
	t     testing.TB
	x     *xsim.Sim
	url   string // of X
	vault *memory.FaultyVault
	store *memory.Store
	log   *events
	parts grants.Parts
}

func newHouse(t testing.TB) *house {
	t.Helper()
	x := xsim.New(xsim.Options{})
	server := httptest.NewServer(x)
	t.Cleanup(server.Close)
	gateway, err := xhttp.New(xhttp.Config{APIURL: server.URL, AuthorizeURL: server.URL + "/i/oauth2/authorize"})
	if err != nil {
		t.Fatal(err)
	}
	store := memory.Open()
	t.Cleanup(func() { _ = store.Close() })
	ring, vault, log := keyring.Ephemeral(), memory.Mischief(store.Vault()), &events{}
	registry := store.Registry()
	parts := grants.Parts{
		Vault: vault, Pending: store.Authorizations(), Keyring: ring, X: gateway, Sessions: store.Sessions(),
		XApps:   xapps.New(registry.XApps(), registry.Apps(), ring, simulated()),
		Journal: memory.NewJournal(), Breaker: xhttp.NewBreakers(rest, log), Clock: clock.New(store, time.Now),
		Observer: log, Callback: callback, WaitAndSee: waitAndSee,
	}
	return &house{grants.New(parts), t, x, server.URL, vault, store, log, parts}
}

func simulated() ports.XApp {
	a := xsim.DefaultApp()
	return ports.XApp{ClientID: a.ClientID, ClientSecret: secret.New(a.ClientSecret)}
}

// connected returns a new grant of the first user.
func (h *house) connected() oauth.Grant {
	h.t.Helper()
	g, err := h.Import(h.t.Context(), app, xapp.Default, h.issued(0))
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// issued is a pair that X gave to a user, ready to be imported.
func (h *house) issued(user int) grants.Import {
	h.t.Helper()
	token, err := h.x.Issue(xsim.DefaultApp().ClientID, h.x.Users()[user].ID, oauth.Everything.List())
	if err != nil {
		h.t.Fatal(err)
	}
	return grants.Import{
		Access: secret.New(token.Access), Refresh: secret.New(token.Refresh), Scopes: oauth.Everything,
		Expires: time.Now().Add(time.Duration(token.ExpiresIn) * time.Second),
	}
}

// expired returns a new grant whose access token has run out.
func (h *house) expired() oauth.Grant {
	h.t.Helper()
	g, err := h.Distrust(h.t.Context(), h.connected())
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// read returns the grant as it is stored.
func (h *house) read(id oauth.GrantID) oauth.Grant {
	h.t.Helper()
	g, err := h.vault.Get(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// accepts reports whether X takes the access token.
func (h *house) accepts(token secret.Text) bool {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url+"/2/users/me", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	_ = reply.Body.Close()
	return reply.StatusCode == http.StatusOK
}

// happened counts the ledger's entries of the type.
func (h *house) happened(kind string) int {
	n := 0
	for _, e := range h.x.Ledger() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// visit follows the authorize URL as a user would and returns what X sends back.
func (h *house) visit(to, decision string) url.Values { return h.visitAs(to, decision, 0) }

// visitAs is visit as the user of the number.
func (h *house) visitAs(to, decision string, user int) url.Values {
	h.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet,
		to+"&_sim_decision="+decision+"&_sim_user="+h.x.Users()[user].ID, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	reply, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	_ = reply.Body.Close()
	at, err := reply.Location()
	if err != nil {
		h.t.Fatalf("status %d: %v", reply.StatusCode, err)
	}
	return at.Query()
}

type events struct {
	mu  sync.Mutex
	all []audit.Event
}

func (e *events) Observe(_ context.Context, event audit.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) count(verb string, outcome audit.Outcome) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, event := range e.all {
		if event.Verb == verb && event.Outcome == outcome {
			n++
		}
	}
	return n
}

func kindIs(t *testing.T, err error, kind fault.Kind, slug string) {
	t.Helper()
	if fault.KindOf(err) != kind || fault.SlugOf(err) != slug {
		t.Errorf("error is %v %q (%v), want %v %q", fault.KindOf(err), fault.SlugOf(err), err, kind, slug)
	}
}
