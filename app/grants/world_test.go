package grants_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/clock"
	"perch/app/grants"
	"perch/app/xapps"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// A replica is a process with the grants slice in it, and the disk of its
// machine, which outlives it.
type replica struct {
	*grants.Service
	*process
	vault *memory.FaultyVault
	disk  *memory.Journal
}

// A world is one grant, two replicas over one store, and X.
type world struct {
	x        *xsim.Sim
	parts    grants.Parts
	store    *memory.Store
	replicas []*replica
	id       oauth.GrantID

	last   oauth.Grant     // as stored after the last step
	past   []oauth.Grant   // as callers may still remember it
	family string          // at X, of the last tokens there were
	lost   map[string]bool // families whose newest pair never reached us
	ended  map[string]bool // families that the user ended at X

	// In this step
	excused   bool   // an answer of X was lost on the way
	consented bool   // the user has connected again
	offered   string // the family of that consent
	calm      bool   // nothing goes wrong
}

func newWorld(t *rapid.T) *world {
	x := xsim.New(xsim.Options{})
	server := httptest.NewServer(x)
	gateway, err := xhttp.New(xhttp.Config{APIURL: server.URL, AuthorizeURL: server.URL + "/i/oauth2/authorize"})
	if err != nil {
		t.Fatal(err)
	}
	store := memory.Open()
	t.Cleanup(func() {
		gateway.Close()
		server.Close()
		_ = store.Close()
	})
	ring, log, registry := keyring.Ephemeral(), &events{}, store.Registry()
	w := &world{x: x, store: store, lost: map[string]bool{}, ended: map[string]bool{}, parts: grants.Parts{
		Pending: store.Authorizations(), Keyring: ring, X: gateway, Sessions: store.Sessions(),
		XApps: xapps.New(registry.XApps(), registry.Apps(), ring, simulated()), Clock: clock.New(store, time.Now),
		Observer: log, Callback: callback, WaitAndSee: 3 * time.Millisecond,
	}}
	for range 2 {
		one := &replica{vault: memory.Mischief(store.Vault()), disk: memory.NewJournal()}
		w.start(one)
		w.replicas = append(w.replicas, one)
	}
	g, err := w.replicas[0].Import(t.Context(), app, xapp.Default, w.consent(t))
	if err != nil {
		t.Fatal(err)
	}
	w.id, w.last, w.past = g.ID, g, []oauth.Grant{g}
	w.family = w.familyOf(t, g)
	return w
}

// start gives the replica a new process over what there is. The rest of its
// breaker is over at once.
func (w *world) start(r *replica) {
	r.process = &process{}
	parts := w.parts
	parts.Vault, parts.Journal = mortalVault{r.vault, r.process}, mortalJournal{r.disk, r.process}
	parts.Breaker = xhttp.NewBreakers(time.Microsecond, parts.Observer)
	r.Service = grants.New(parts)
}

// consent is a pair that X gave to the user just now.
func (w *world) consent(t *rapid.T) grants.Import {
	token, err := w.x.Issue(xsim.DefaultApp().ClientID, w.x.Users()[0].ID, oauth.Everything.List())
	if err != nil {
		t.Fatal(err)
	}
	of, _, _ := w.families()
	w.consented, w.offered = true, of[xsim.Fingerprint(token.Refresh)]
	in := grants.Import{
		Access: secret.New(token.Access), Refresh: secret.New(token.Refresh), Scopes: oauth.Everything,
		Expires: time.Now().Add(time.Duration(token.ExpiresIn) * time.Second), Replace: true,
	}
	in.User.ID = "1500000000000000001"
	return in
}

// stored is the grant as it is.
func (w *world) stored(t *rapid.T) oauth.Grant {
	g, err := w.store.Vault().Get(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// trace is what X's ledger calls the refresh token in the box.
func (w *world) trace(t *rapid.T, box secret.Box) string {
	token, err := w.parts.Keyring.Open(t.Context(), box, w.last.Label(oauth.RefreshLabel))
	if err != nil {
		t.Fatal(err)
	}
	return xsim.Fingerprint(token.Reveal())
}

// families tells from the ledger which family each refresh token belongs to, the
// newest refresh token of each, and the families that saw a spent one.
func (w *world) families() (of, newest map[string]string, replayed []string) {
	of, newest = map[string]string{}, map[string]string{}
	for _, e := range w.x.Ledger() {
		switch family := e.Details["family"]; e.Type {
		case "token.issued", "token.refreshed":
			of[e.Details["refresh_fp"]], newest[family] = family, e.Details["refresh_fp"]
		case "token.replayed":
			replayed = append(replayed, family)
		}
	}
	return of, newest, replayed
}

// familyOf is that of the tokens the grant has; a grant that has ended and was
// forgotten has none.
func (w *world) familyOf(t *rapid.T, g oauth.Grant) string {
	if g.Refresh.Empty() {
		return ""
	}
	of, _, _ := w.families()
	return of[w.trace(t, g.Refresh)]
}

// older reports whether X started family a before b.
func older(a, b string) bool {
	number := func(family string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(family, "family-"))
		if err != nil {
			return math.MaxInt
		}
		return n
	}
	return number(a) < number(b)
}

// killed reports whether X has ended the family.
func (w *world) killed(family string) bool {
	return slices.ContainsFunc(w.x.Ledger(), func(e xsim.Entry) bool {
		return e.Type == "family.killed" && e.Object == family
	})
}

// journaled are the renewals on all machines' disks.
func (w *world) journaled(t *rapid.T) (all []ports.Renewal) {
	for _, r := range w.replicas {
		list, err := r.disk.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

// refreshed counts what X refreshed.
func (w *world) refreshed() (n int) {
	for _, e := range w.x.Ledger() {
		if e.Type == "token.refreshed" {
			n++
		}
	}
	return n
}

// accepts reports whether X takes the access token.
func (w *world) accepts(t *rapid.T, token secret.Text) bool {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/2/users/me", nil)
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
	reply := httptest.NewRecorder()
	w.x.ServeHTTP(reply, r)
	return reply.Code == http.StatusOK
}

// pass lets time pass for the grant, for what is in the journals and for X. The
// keepers of both replicas have gone by meanwhile.
func (w *world) pass(t *rapid.T, d time.Duration) {
	for _, r := range w.replicas {
		if _, _, err := r.Replay(t.Context()); err != nil {
			t.Fatalf("a keeper: %v", err)
		}
	}
	g := w.stored(t)
	next := g
	for _, at := range []*time.Time{&next.Expires, &next.Retry, &next.Lease.Until, &next.Created, &next.Updated} {
		if !at.IsZero() {
			*at = at.Add(-d)
		}
	}
	if _, err := w.store.Vault().Swap(t.Context(), g, next); err != nil {
		t.Fatal(err)
	}
	w.x.Advance(d)
}
