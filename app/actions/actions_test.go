package actions_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/actions"
	"perch/app/clock"
	"perch/app/grants"
	"perch/app/quotas"
	"perch/app/xapps"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

// A house is the actions slice over memory and X in a box, with one grant.
type house struct {
	*actions.Service
	t      *testing.T
	x      *xsim.Sim
	app    client.App
	grant  oauth.Grant
	mu     sync.Mutex
	events []audit.Event
	vault  ports.TokenVault
	grants *grants.Service
	asked  oauth.Extension // of the user, last
}

func (h *house) Observe(_ context.Context, e audit.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// last is the event of the last action; refreshes and the like have others.
func (h *house) last() audit.Event {
	for i := len(h.events) - 1; i >= 0; i-- {
		if !strings.HasPrefix(h.events[i].Verb, "grant.") {
			return h.events[i]
		}
	}
	h.t.Fatal("nothing was written down")
	return audit.Event{}
}

func newHouse(t *testing.T, limit quota.Limit) *house {
	t.Helper()
	return newHouseOf(t, limit, nil)
}

func newHouseOf(t *testing.T, limit quota.Limit, users []xsim.User) *house {
	t.Helper()
	x, app := xsim.New(xsim.Options{Users: users}), xsim.DefaultApp()
	server := httptest.NewServer(x)
	t.Cleanup(server.Close)
	h := &house{t: t, x: x}
	gateway, err := xhttp.New(xhttp.Config{APIURL: server.URL, AuthorizeURL: server.URL, Observer: h})
	if err != nil {
		t.Fatal(err)
	}
	store, ring := memory.Open(), keyring.Ephemeral()
	t.Cleanup(func() { _ = store.Close() })
	registry := store.Registry()
	xs := xapps.New(registry.XApps(), registry.Apps(), ring, ports.XApp{
		ClientID: app.ClientID, ClientSecret: secret.New(app.ClientSecret), Bearer: secret.New(app.Bearer),
	})
	h.vault = store.Vault()
	h.app = client.App{ID: "app_1", XApp: xapp.Default, Status: client.Active, Actions: []string{xapi.Everything}}
	h.grants = grants.New(grants.Parts{
		Vault: h.vault, Pending: store.Authorizations(), Keyring: ring, X: gateway, XApps: xs,
		Journal: memory.NewJournal(), Breaker: xhttp.NewBreakers(time.Second, h), Clock: clock.New(store, time.Now),
		Sessions: store.Sessions(), Observer: h, Callback: "http://127.0.0.1/oauth/callback",
	})
	var rules []quota.Rule
	if limit.Max > 0 {
		rules = []quota.Rule{{Subject: quota.Application, Limit: limit}}
	}
	h.Service = actions.New(actions.Parts{
		Grants: h.grants, Consents: h, XApps: xs, X: gateway, Observer: h, Tolls: actions.Tolls(quotas.New(store.Quota(), rules, true, time.Now)),
	})
	h.grant = h.connect(oauth.Everything)
	return h
}

// StepUp gives a link for everything but private messages.
func (h *house) StepUp(_ context.Context, app client.App, e oauth.Extension) (string, error) {
	h.asked = e
	if app.ID != h.app.ID || e.Scopes.Has("dm.read") {
		return "", nil
	}
	return "https://perch.example/oauth/extend?ticket=t", nil
}

func (h *house) connect(scopes oauth.Scopes) oauth.Grant {
	h.t.Helper()
	return h.connectUser(h.x.Users()[0].ID, scopes)
}

func (h *house) connectUser(id string, scopes oauth.Scopes) oauth.Grant {
	h.t.Helper()
	token, err := h.x.Issue(xsim.DefaultApp().ClientID, id, scopes.List())
	if err != nil {
		h.t.Fatal(err)
	}
	g, err := h.grants.Import(h.t.Context(), h.app.ID, xapp.Default, grants.Import{
		Access: secret.New(token.Access), Refresh: secret.New(token.Refresh), Scopes: scopes,
		Expires: time.Now().Add(time.Hour), Replace: true,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// request is what a caller with the grant asks.
func (h *house) request(id, body string) actions.Request {
	h.t.Helper()
	act, ok := xapi.ByID(id)
	if !ok {
		h.t.Fatalf("no action %s", id)
	}
	r := actions.Request{ID: "req_1", Actor: "key_1", App: h.app, Grant: h.grant.ID, Call: ports.Call{Action: act}}
	if body != "" {
		r.Call.Body, r.Call.Length, r.Call.Type = strings.NewReader(body), int64(len(body)), "application/json"
	}
	return r
}

// do performs the request and returns the reply's status and body.
func (h *house) do(r actions.Request) (int, string, error) {
	h.t.Helper()
	reply, err := h.Do(h.t.Context(), r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = reply.Body.Close() }()
	b, err := io.ReadAll(reply.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return reply.Status, string(b), nil
}

// calls counts X's executions of the action.
func (h *house) calls(id string) int {
	n := 0
	for _, e := range h.x.Ledger() {
		if e.Type == "call" && e.Object == id {
			n++
		}
	}
	return n
}

func TestDo(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	status, body, err := h.do(h.request("createPosts", `{"text":"hello"}`))
	if err != nil || status != 201 || !strings.Contains(body, "hello") {
		t.Fatalf("%d %s %v", status, body, err)
	}
	e := h.last()
	if e.Outcome != audit.Done || e.Status != 201 || e.Transaction == "" || e.Grant != h.grant.ID || e.Actor != "key_1" ||
		e.User != h.grant.User.ID || e.Verb != "createPosts" || e.XApp != xapp.Default || e.Duration <= 0 {
		t.Errorf("written down: %+v", e)
	}
}

func TestWhatIsNotPermittedNeverReachesX(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	if err := h.grants.Revoke(t.Context(), h.app.ID, h.grant.ID); err != nil {
		t.Fatal(err)
	}
	revoked := h.grant
	h.grant = h.connect("tweet.read users.read offline.access")
	if revoked.ID != h.grant.ID {
		t.Fatal("connecting again makes another grant")
	}
	before := len(h.x.Ledger())
	for name, v := range map[string]struct {
		id    string
		spoil func(*actions.Request)
		kind  fault.Kind
		slug  string
	}{
		"an action the application may not":                 {"getUsersMe", func(r *actions.Request) { r.App.Actions = []string{"createPosts"} }, fault.Forbidden, "action-not-allowed"},
		"an action its key is not for":                      {"getUsersMe", func(r *actions.Request) { r.Actions = []string{"post", "tag:Lists"} }, fault.Forbidden, "key-action-not-allowed"},
		"an action its key is for, and its application not": {"getUsersMe", func(r *actions.Request) { r.App.Actions, r.Actions = []string{"post"}, []string{"everything"} }, fault.Forbidden, "action-not-allowed"},
		"a scope the user did not grant":                    {"createPosts", func(*actions.Request) {}, fault.Forbidden, "insufficient-scope"},
		"a scope the session does not have":                 {"getUsersMe", func(r *actions.Request) { r.Scopes = "tweet.read" }, fault.Forbidden, "insufficient-scope"},
		"another application's grant":                       {"getUsersMe", func(r *actions.Request) { r.App.ID = "app_2" }, fault.NotFound, "no-such-grant"},
		"no grant":                                          {"getUsersMe", func(r *actions.Request) { r.Grant = "" }, fault.Invalid, "no-grant"},
		"app-only without permission":                       {"getUsage", func(*actions.Request) {}, fault.Forbidden, "app-only"},
	} {
		r := h.request(v.id, "")
		v.spoil(&r)
		_, _, err := h.do(r)
		if fault.KindOf(err) != v.kind || fault.SlugOf(err) != v.slug {
			t.Errorf("%s: %v", name, err)
		}
		if e := h.last(); e.Outcome != audit.Refused || e.Status != 0 || e.Err == nil {
			t.Errorf("%s is written down as %s: %+v", name, e.Outcome, e)
		}
	}
	if after := len(h.x.Ledger()); after != before {
		t.Errorf("X was asked: %+v", h.x.Ledger()[before:])
	}
}

func TestWhoLacksAScopeIsToldHowToAsk(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	h.grant = h.connect("tweet.read users.read like.read")
	for name, v := range map[string]struct {
		id      string
		session session.ID
		scopes  oauth.Scopes
		missing oauth.Scopes
		link    bool
	}{
		"a server":                       {"createPosts", "", "", "tweet.write", true},
		"a browser":                      {"createPosts", "ses_1", "tweet.read users.read", "tweet.write", true},
		"a session with no scope at all": {"getUsersMe", "ses_1", "", "tweet.read users.read", true},
		"a session narrower than it":     {"getUsersLikedPosts", "ses_1", "tweet.read users.read", "like.read", true},
		"an application that may not so": {"getChatConversations", "ses_1", "tweet.read users.read", "dm.read", false},
	} {
		r := h.request(v.id, "")
		r.Session, r.Scopes = v.session, v.scopes
		_, _, err := h.do(r)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Forbidden || f.Slug != "insufficient-scope" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		link, told := f.Extra["step_up_url"]
		if f.Extra["missing_scope"] != string(v.missing) || told != v.link || told == (link == "") {
			t.Errorf("%s: %v", name, f.Extra)
		}
		if h.asked != (oauth.Extension{Grant: h.grant.ID, Session: string(v.session), Scopes: v.missing}) {
			t.Errorf("%s: asked for %+v", name, h.asked)
		}
	}
}

func TestARevokedGrantIsRefused(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	if err := h.grants.Revoke(t.Context(), h.app.ID, h.grant.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err := h.do(h.request("getUsersMe", ""))
	if fault.SlugOf(err) != "grant-revoked" {
		t.Error(err)
	}
}

func TestAppOnlyActionsUseTheAppsOwnBearer(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	for _, id := range []string{"getUsage", "getUsersMe"} {
		r := h.request(id, "")
		r.AppOnly = true
		if status, body, err := h.do(r); err != nil || status != 200 {
			t.Errorf("%s: %d %s %v", id, status, body, err)
		}
	}
	kinds := map[string]string{}
	for _, e := range h.x.Ledger() {
		if e.Type == "call" {
			kinds[e.Object] = e.Details["credential"]
		}
	}
	if kinds["getUsage"] != "app" || kinds["getUsersMe"] != "user" {
		t.Errorf("credentials at X: %v", kinds)
	}
}

// The repetition is one more time that X is asked, and has to be in time too.
func TestA401IsNotRepeatedTooLate(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	h.x.Mischief(xsim.Mischief{Match: "createPosts", Kind: "unauthorized", Times: 1})
	late, checks := fault.New(fault.Unavailable, "it took too long"), 0
	ctx := ports.Checked(t.Context(), func() error {
		if checks++; checks == 1 {
			return nil
		}
		return late
	})
	_, err := h.Do(ctx, h.request("createPosts", `{"text":"late"}`))
	if !errors.Is(err, late) || !errors.Is(err, ports.ErrUnsent) || checks < 2 {
		t.Errorf("%d checks, %v", checks, err)
	}
	for _, e := range h.x.Ledger() {
		if e.Type == "post.created" {
			t.Error("it was posted")
		}
	}
}

func TestA401IsRepeatedOnceWithANewToken(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	h.x.Mischief(xsim.Mischief{Match: "createPosts", Kind: "unauthorized", Times: 1})
	status, body, err := h.do(h.request("createPosts", `{"text":"once"}`))
	if err != nil || status != 201 || !strings.Contains(body, "once") {
		t.Fatalf("%d %s %v", status, body, err)
	}
	h.x.Mischief(xsim.Mischief{Match: "createPosts", Kind: "unauthorized"})
	_, _, err = h.do(h.request("createPosts", `{"text":"never"}`))
	if fault.SlugOf(err) != "x-unauthorized" || !errors.Is(err, fault.Upstream) {
		t.Error(err)
	}
	g, err := h.vault.Get(t.Context(), h.grant.ID)
	if err != nil || g.State != oauth.Active || g.Refresh.Empty() {
		t.Errorf("the grant is lost: %+v, %v", g, err)
	}
}

func TestAStreamedBodyIsNotRepeated(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	h.x.Mischief(xsim.Mischief{Match: "appendMediaUpload", Kind: "unauthorized", Times: 1})
	r := h.request("appendMediaUpload", `{"media":"aGk=","segment_index":0}`)
	r.Call.Params = map[string]string{"id": "1"}
	_, _, err := h.do(r)
	if fault.SlugOf(err) != "send-again" {
		t.Error(err)
	}
	if n := h.calls("appendMediaUpload"); n != 1 {
		t.Errorf("X was asked %d times", n)
	}
}

type torn struct{}

func (torn) Read([]byte) (int, error) {
	return 0, fault.New(fault.Invalid, "the body ended early").Because(io.ErrUnexpectedEOF)
}

func TestATornJSONBodyNeverReachesX(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	r := h.request("createPosts", `{"text":"half`)
	r.Call.Body = io.MultiReader(r.Call.Body, torn{})
	_, _, err := h.do(r)
	if !errors.Is(err, fault.Invalid) || h.calls("createPosts") != 0 {
		t.Errorf("X was asked %d times: %v", h.calls("createPosts"), err)
	}
}

// revoker is a body that takes its time: meanwhile the grant is revoked here, and
// X has not been told yet.
type revoker struct{ h *house }

func (r revoker) Read([]byte) (int, error) {
	g, err := r.h.vault.Get(r.h.t.Context(), r.h.grant.ID)
	if err == nil {
		_, err = r.h.vault.Swap(r.h.t.Context(), g, g.Revoke(time.Now()))
	}
	if err != nil {
		r.h.t.Error(err)
	}
	return 0, io.EOF
}

func TestAGrantRevokedWhileTheBodyComesIsNotUsed(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	r := h.request("createPosts", `{"text":"too late"}`)
	r.Call.Body = io.MultiReader(r.Call.Body, revoker{h})
	_, _, err := h.do(r)
	if !oauth.IsRevoked(err) || h.calls("createPosts") != 0 {
		t.Errorf("X was asked %d times: %v", h.calls("createPosts"), err)
	}
}
