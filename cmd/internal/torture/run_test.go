package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/sqlstore"
	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/migrations"
	"perch/ports"
)

const token = "the-operators-token-of-the-torture" // #nosec G101 -- opens nothing

// A run is one setup under torture.
type run struct {
	t         *testing.T
	s         setup
	x         *xsim.Sim
	dice      *rand.Rand // of the killer alone
	seed      uint64
	replicas  []*replica
	witnesses []*witness
	dsn       string
	store     *sqlstore.Store  // as seen from outside
	vault     ports.TokenVault // of the store
	ring      *keyring.Ring
	app, key  string
	client    *http.Client

	consent sync.Mutex // held while a permission is given or taken back: what X had by then is known

	mu      sync.Mutex
	grants  map[string]string    // X's user to the grant's ID
	reached map[string]bool      // fingerprints of access tokens that were on a disk of Perch
	ended   map[string]time.Time // families whose revocation was confirmed, and when
}

func newRun(t *testing.T, s setup, binary string, seed uint64) *run {
	t.Helper()
	dir := t.TempDir()
	users := make([]xsim.User, *crowd)
	for i := range users {
		users[i] = xsim.User{ID: fmt.Sprintf("15%017d", i), Username: fmt.Sprintf("user%d", i), Name: "One"}
	}
	r := &run{
		t: t, s: s, x: xsim.New(xsim.Options{Users: users}), seed: seed, dice: rand.New(rand.NewPCG(seed, seed)),
		grants: map[string]string{}, reached: map[string]bool{}, ended: map[string]time.Time{},
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	t.Cleanup(r.x.Close)
	knob := httptest.NewRecorder() // X's limits are not what is tortured
	r.x.ServeHTTP(knob, httptest.NewRequest(http.MethodPost, "/_sim/settings", strings.NewReader(`{"windows":false}`)))
	if knob.Code != http.StatusOK {
		t.Fatalf("settings of the box: %d", knob.Code)
	}
	r.x.Mischief(xsim.Mischief{Match: "token.refresh_token", Kind: "slow", Delay: 20 * time.Millisecond, Probability: 0.5, Seed: seed})
	dsn, keys := s.dsn(t, dir), filepath.Join(dir, "keyset.json")
	store, err := sqlstore.Open(t.Context(), dsn)
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	schema := migrations.SQLite()
	if s.store == "postgres" {
		schema = migrations.Postgres()
	}
	_, err = schema.Apply(t.Context(), store.DB())
	must(t, err)
	r.ring, _, err = keyring.OpenOrCreate(keys)
	must(t, err)
	r.dsn, r.store, r.vault = dsn, store, store.Vault()
	app := xsim.DefaultApp()
	env := []string{
		"PERCH_STORE=" + dsn, "PERCH_KEYSET_FILE=" + keys, "PERCH_ADMIN_TOKEN=" + token, "PERCH_PUBLIC_URL=http://localhost:1",
		"PERCH_X_CLIENT_ID=" + app.ClientID, "PERCH_X_CLIENT_SECRET=" + app.ClientSecret, "PERCH_LIMITS=off", "PERCH_X_WINDOWS=off",
		"PERCH_LOG_LEVEL=debug", "GOTRACEBACK=crash",
	}
	for i := range s.replicas {
		one, seen := newReplica(t, i, binary, dir, r.x, env)
		r.replicas, r.witnesses = append(r.replicas, one), append(r.witnesses, seen)
		must(t, one.start(t.Context()))
	}
	r.register()
	for _, u := range users {
		r.connect(u.ID)
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// body is the body that ParseForm has read.
func body(r *http.Request) io.ReadCloser {
	return io.NopCloser(strings.NewReader(r.PostForm.Encode()))
}

// send asks a replica; status 0: there was no answer.
func (r *run) send(ctx context.Context, method, at, bearer, grant string, in, out any) int {
	text, err := json.Marshal(in)
	if err != nil {
		return 0
	}
	q, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(text))
	if err != nil {
		return 0
	}
	q.Header.Set("Authorization", "Bearer "+bearer)
	q.Header.Set("Content-Type", "application/json")
	if grant != "" {
		q.Header.Set("Perch-Grant", grant)
	}
	reply, err := r.client.Do(q)
	if err != nil {
		return 0
	}
	defer func() { _ = reply.Body.Close() }()
	b, err := io.ReadAll(reply.Body)
	if err != nil {
		return 0
	}
	if out != nil {
		_ = json.Unmarshal(b, out)
	}
	return reply.StatusCode
}

func (r *run) register() {
	r.t.Helper()
	var app, key struct{ ID, Key string }
	admin := r.replicas[0].admin + "/admin/v1/apps"
	all := map[string]any{"name": "tortured", "scopes": oauth.Everything.List()}
	if status := r.send(r.t.Context(), "POST", admin, token, "", all, &app); status != http.StatusCreated {
		r.t.Fatalf("registering: %d", status)
	}
	kind := map[string]any{"kind": "secret"}
	if status := r.send(r.t.Context(), "POST", admin+"/"+app.ID+"/keys", token, "", kind, &key); status != http.StatusCreated {
		r.t.Fatalf("a key: %d", status)
	}
	r.app, r.key = app.ID, key.Key
}

// connect has the user give a new permission, and gives it to Perch until it is kept.
func (r *run) connect(user string) {
	r.t.Helper()
	given, err := r.x.Issue(xsim.DefaultApp().ClientID, user, oauth.Everything.List())
	must(r.t, err)
	in := map[string]any{
		"app_id": r.app, "user_id": user, "access_token": given.Access, "refresh_token": given.Refresh,
		"scope": given.Scope, "expires_in": given.ExpiresIn, "replace": true,
	}
	var g struct{ ID string }
	for i := 0; ; i++ {
		at := r.replicas[i%len(r.replicas)].admin + "/admin/v1/grants/import"
		if r.send(r.t.Context(), "POST", at, token, "", in, &g) == http.StatusCreated {
			break
		}
		if r.t.Context().Err() != nil || i > 3000 {
			r.t.Errorf("user %s cannot connect", user)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.grants[user] = g.ID
	r.reached[xsim.Fingerprint(given.Access)] = true
}

func (r *run) grant(user string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.grants[user]
}

// act has a replica act for the user.
func (r *run) act(ctx context.Context, one *replica, user string) int {
	return r.send(ctx, "GET", one.public+"/2/users/me", r.key, r.grant(user), nil, nil)
}

// revoke ends the user's grant; whether that was confirmed is known afterwards.
func (r *run) revoke(ctx context.Context, one *replica, user string) bool {
	at := one.public + "/v1/grants/" + url.PathEscape(r.grant(user))
	return r.send(ctx, "DELETE", at, r.key, "", nil, nil) == http.StatusNoContent
}

// seen notes that a sealed access token was on a disk of Perch.
func (r *run) seen(g oauth.Grant, box secret.Box) {
	plain, err := r.ring.Open(r.t.Context(), box, g.Label(oauth.AccessLabel))
	if err != nil {
		r.t.Errorf("a box of %s does not open: %v", g.ID, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reached[xsim.Fingerprint(plain.Reveal())] = true
}
