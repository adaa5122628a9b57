package httpapi

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/grants"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/user"
	"perch/ports"
)

// A weather lets a share of all reads and writes of the stores fail, at random.
type weather struct {
	mu     sync.Mutex
	random *rand.Rand
	share  float64
	failed int
}

// strikes returns an error where one is due.
func (w *weather) strikes() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.random.Float64() >= w.share {
		return nil
	}
	w.failed++
	return fault.New(fault.Unavailable, "the store does not answer; try again").Because(memory.ErrMischief)
}

// turn sets the share and returns how many calls have failed.
func (w *weather) turn(share float64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.share = share
	return w.failed
}

// over puts the stores of authentication into the weather.
func (w *weather) over(s *stores) {
	s.apps, s.keys, s.vault = wetApps{s.apps, w}, wetKeys{s.keys, w}, wetVault{s.vault, w}
	s.codes, s.sessions, s.signing = wetCodes{s.codes, w}, wetSessions{s.sessions, w}, wetSigning{s.signing, w}
}

// struck is what call returns, unless the weather strikes before it, or after
// it, so that the answer is lost.
func struck[V any](w *weather, call func() (V, error)) (V, error) {
	var none V
	if err := w.strikes(); err != nil {
		return none, err
	}
	v, err := call()
	if err == nil {
		if err = w.strikes(); err != nil {
			return none, err
		}
	}
	return v, err
}

type wetApps struct {
	ports.Applications
	w *weather
}

func (s wetApps) Get(ctx context.Context, id client.AppID) (client.App, error) {
	return struck(s.w, func() (client.App, error) { return s.Applications.Get(ctx, id) })
}

func (s wetApps) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	return struck(s.w, func() ([]client.App, error) { return s.Applications.List(ctx, after, n) })
}

type wetKeys struct {
	ports.APIKeys
	w *weather
}

func (s wetKeys) ByDigest(ctx context.Context, digests []string) (apikey.Key, error) {
	return struck(s.w, func() (apikey.Key, error) { return s.APIKeys.ByDigest(ctx, digests) })
}

type wetVault struct {
	ports.TokenVault
	w *weather
}

func (s wetVault) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	return struck(s.w, func() (oauth.Grant, error) { return s.TokenVault.Get(ctx, id) })
}

func (s wetVault) List(ctx context.Context, app client.AppID, after oauth.GrantID, n int) ([]oauth.Grant, error) {
	return struck(s.w, func() ([]oauth.Grant, error) { return s.TokenVault.List(ctx, app, after, n) })
}

type wetCodes struct {
	ports.Codes
	w *weather
}

func (s wetCodes) Take(ctx context.Context, digest string) (session.Code, error) {
	return struck(s.w, func() (session.Code, error) { return s.Codes.Take(ctx, digest) })
}

type wetSessions struct {
	ports.Sessions
	w *weather
}

func (s wetSessions) Get(ctx context.Context, id session.ID) (session.Session, error) {
	return struck(s.w, func() (session.Session, error) { return s.Sessions.Get(ctx, id) })
}

func (s wetSessions) Create(ctx context.Context, v session.Session) (session.Session, error) {
	return struck(s.w, func() (session.Session, error) { return s.Sessions.Create(ctx, v) })
}

func (s wetSessions) Swap(ctx context.Context, old, next session.Session) (session.Session, error) {
	return struck(s.w, func() (session.Session, error) { return s.Sessions.Swap(ctx, old, next) })
}

type wetSigning struct {
	ports.SigningKeys
	w *weather
}

func (s wetSigning) List(ctx context.Context) ([]ports.SigningKey, error) {
	return struck(s.w, func() ([]ports.SigningKey, error) { return s.SigningKeys.List(ctx) })
}

// A bearer is a credential, and whose it is: the token of X that it acts with,
// empty for nobody's.
type bearer struct {
	what, text, as string
	origin         string
}

// A neighbourhood is a house in the weather with several tenants.
type neighbourhood struct {
	*lab
	weather  *weather
	bearers  []bearer
	grants   map[string]string // of X's tokens, the ID of the grant
	visitors int
}

// settle makes n tenants, each with a grant of its own, and all kinds of
// credentials of theirs and of nobody's.
func settle(t *testing.T, seed uint64, n int) *neighbourhood {
	t.Helper()
	w := &weather{random: rand.New(rand.NewPCG(seed, seed))} // #nosec G404 -- to be repeated
	h := &neighbourhood{weather: w, grants: map[string]string{}}
	h.lab = &lab{x: &recorder{}, store: memory.Open(), ring: keyring.Ephemeral()}
	h.house = build(t, plan{plain: true, x: h.x, store: h.store, ring: h.ring, quotas: plenty{}, stores: w.over, proxies: []string{"127.0.0.0/8"}})
	h.line = &line{to: h.public}
	t.Cleanup(h.line.hangUp)
	for i := range n {
		h.move(t, i)
	}
	h.bearers = append(h.bearers,
		bearer{what: "an unknown key", text: "sk_" + strings.Repeat("A", 26)}, bearer{what: "no credential"},
		bearer{what: "the operators' token", text: adminToken}, bearer{what: "a word", text: "x"})
	return h
}

// move lets one tenant in.
func (h *neighbourhood) move(t *testing.T, i int) {
	t.Helper()
	ctx, name := t.Context(), fmt.Sprintf("tenant %d", i)
	origin := fmt.Sprintf("https://%d.example", i)
	app, err := h.services.Clients.Register(ctx, client.App{
		Name: name, Origins: []client.Origin{client.Origin(origin)}, RedirectURIs: []string{origin + "/back"},
	})
	must(t, err)
	token := fmt.Sprintf("x-access-of-%d", i)
	g, err := h.services.Grants.Import(ctx, app.ID, app.XApp, grants.Import{
		User: user.User{ID: user.ID(fmt.Sprint(1000 + i))}, Access: secret.New(token), Scopes: oauth.Everything,
		Expires: time.Now().Add(time.Hour),
	})
	must(t, err)
	h.grants[token] = string(g.ID)
	bound := h.key(apikey.Key{App: app.ID, Kind: apikey.Secret, Grants: []oauth.GrantID{g.ID}})
	spent, text, err := h.services.Clients.IssueKey(ctx, apikey.Key{App: app.ID, Kind: apikey.Secret, Grants: []oauth.GrantID{g.ID}})
	must(t, err)
	_, err = h.services.Clients.RevokeKey(ctx, spent.ID)
	must(t, err)
	public := h.key(apikey.Key{App: app.ID, Kind: apikey.Publishable})
	live, ended := h.signedIn(t, app, g, false), h.signedIn(t, app, g, true)
	h.bearers = append(h.bearers,
		bearer{name + "'s key", bound, token, ""}, bearer{name + "'s revoked key", text.Reveal(), "", ""},
		bearer{name + "'s publishable key", public, "", ""},
		bearer{name + "'s session", live, token, origin}, bearer{name + "'s ended session", ended, "", origin},
		bearer{name + "'s session, signed by a stranger", live[:strings.LastIndexByte(live, '.')+1] + strings.Repeat("A", 86), "", origin})
}

// signedIn returns the access token of a session of the grant.
func (h *neighbourhood) signedIn(t *testing.T, app client.App, g oauth.Grant, ended bool) string {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	ses := session.Session{
		ID: session.ID("ses_" + strings.ToLower(string(g.ID))), App: app.ID, Grant: g.ID, User: g.User.ID, Scopes: g.Scopes,
		Created: now, Expires: now.Add(time.Hour),
	}
	if ended {
		ses.ID += "_ended"
		ses = ses.End(now)
	}
	_, err := h.store.Sessions().Create(t.Context(), ses)
	must(t, err)
	token, err := h.signer().Sign(t.Context(), session.Claims{
		ID: "jti", App: ses.App, Grant: ses.Grant, Session: ses.ID, User: ses.User, Scopes: ses.Scopes,
		Issued: now, Expires: now.Add(time.Hour),
	})
	must(t, err)
	return token.Reveal()
}

// TestRandomFailuresOfTheStoreLetNobodyIn sends requests with all kinds of
// credentials while calls of the stores fail at random. Each is answered as it
// would be in good weather, or with 503; nobody is ever taken for another, or
// for no one in particular.
func TestRandomFailuresOfTheStoreLetNobodyIn(t *testing.T) {
	const tenants, rounds = 4, 1500
	for _, seed := range []uint64{1, 2, 3} {
		h := settle(t, seed, tenants)
		choose := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- to be repeated
		seen := map[int]int{}
		for range rounds {
			h.weather.turn([]float64{0.05, 0.3, 0.9}[choose.IntN(3)])
			b := h.bearers[choose.IntN(len(h.bearers))]
			seen[h.attempt(t, b)]++
		}
		if failed := h.weather.turn(0); failed < rounds/4 || seen[200] < rounds/20 || seen[401] < rounds/20 || seen[503] < rounds/20 {
			t.Errorf("seed %d: %d failures, answers %v: that proves little", seed, failed, seen)
		}
		for _, b := range h.bearers { // and when the weather is good again all is well
			if status := h.attempt(t, b); (status == http.StatusOK) != (b.as != "") {
				t.Errorf("seed %d: %s gets %d in good weather", seed, b.what, status)
			}
		}
	}
}

// attempt makes one request with the credential and returns its status.
func (h *neighbourhood) attempt(t *testing.T, b bearer) int {
	t.Helper()
	h.visitors++ // each comes from an address of its own: wrong keys are slowed by address
	head := fmt.Sprintf("GET /2/users/me HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.%d.%d\r\n", h.visitors>>8, h.visitors&255)
	if b.text != "" {
		head += "Authorization: Bearer " + b.text + "\r\n"
	}
	if b.origin != "" {
		head += "Origin: " + b.origin + "\r\n"
	}
	a := h.line.send(t, head+"\r\n")
	asked := h.x.take()
	switch {
	case a.StatusCode == http.StatusServiceUnavailable:
	case b.as == "" && slices.Contains([]int{401, 403, 429}, a.StatusCode): // 429: the address sent many wrong ones
	case b.as != "" && a.StatusCode == http.StatusOK:
	default:
		t.Fatalf("%s gets %d: %s", b.what, a.StatusCode, a.body)
	}
	if got := a.Header.Get("Access-Control-Allow-Origin"); got != "" && got != b.origin {
		t.Errorf("%s from %q: a page at %q may read the answer", b.what, b.origin, got)
	}
	if a.StatusCode != http.StatusOK {
		if len(asked) > 0 {
			t.Errorf("%s gets %d, and X was asked", b.what, a.StatusCode)
		}
		return a.StatusCode
	}
	if len(asked) != 1 || asked[0].header.Get("Authorization") != "Bearer "+b.as {
		t.Fatalf("%s acts as somebody else: %d calls, %v", b.what, len(asked), asked)
	}
	list := h.line.send(t, strings.Replace(head, "/2/users/me", "/v1/grants", 1)+"\r\n")
	if list.StatusCode == http.StatusOK && (!strings.Contains(list.body, h.grants[b.as]) || strings.Count(list.body, "grant_") != 1) {
		t.Fatalf("%s sees the grants of others: %s", b.what, list.body)
	}
	if list.StatusCode != http.StatusOK && list.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%s gets %d: %s", b.what, list.StatusCode, list.body)
	}
	return a.StatusCode
}

// TestRandomFailuresOfTheStoreNeverSignInAnotherUser exchanges codes and refreshes
// sessions in bad weather: who gets tokens gets those of the right grant.
func TestRandomFailuresOfTheStoreNeverSignInAnotherUser(t *testing.T) {
	h := settle(t, 4, 1)
	seen := map[int]int{}
	for i := range 600 {
		h.weather.turn(0)
		code, refresh := h.prepare(t)
		for _, body := range []string{
			strings.NewReplacer("{pk}", h.pk, "{code}", code, "{back}", returnTo, "{verifier}", verifier).Replace(goodCall),
			"grant_type=refresh_token&client_id=" + h.pk + "&refresh_token=" + refresh,
		} {
			h.weather.turn(float64(i%10) / 10)
			a := h.line.send(t, fmt.Sprintf("POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
				"Content-Length: %d\r\n\r\n%s", len(body), body))
			seen[a.StatusCode]++
			m := a.json(t)
			switch {
			case a.StatusCode == http.StatusOK && m["grant_id"] == string(h.grant) && m["access_token"] != "":
			case a.StatusCode == http.StatusServiceUnavailable && m["error"] == "temporarily_unavailable" && m["access_token"] == nil:
			default:
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
		}
	}
	if seen[200] < 100 || seen[503] < 100 {
		t.Errorf("answers %v: that proves little", seen)
	}
}
