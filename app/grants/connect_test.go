package grants_test

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/xapp"
)

func request() oauth.Authorization {
	return oauth.Authorization{
		App: app, XApp: xapp.Default, Redirect: "https://app.example/", State: "s", Challenge: "c",
		Scopes: "offline.access tweet.read users.read",
	}
}

// begun starts a sign-in and lets the user decide.
func (h *house) begun(decision string) oauth.Callback {
	h.t.Helper()
	to, cookie, err := h.Begin(h.t.Context(), request())
	if err != nil {
		h.t.Fatal(err)
	}
	q := h.visit(to, decision)
	return oauth.Callback{State: q.Get("state"), Code: secret.New(q.Get("code")), Error: q.Get("error"), Cookie: cookie}
}

func TestConnect(t *testing.T) {
	h := newHouse(t)
	a, g, err := h.Complete(t.Context(), h.begun("approve"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Redirect != request().Redirect || a.State != "s" || a.Challenge != "c" {
		t.Errorf("the request was changed: %+v", a)
	}
	if who := h.x.Users()[0]; string(g.User.ID) != who.ID || g.User.Username != who.Username {
		t.Errorf("user is %+v, not %+v", g.User, who)
	}
	token, err := h.Access(t.Context(), h.read(g.ID))
	if err != nil || !h.accepts(token) {
		t.Errorf("the grant gives no token: %v", err)
	}
	if g.Scopes != request().Scopes || g.Refresh.Empty() {
		t.Errorf("scopes %q", g.Scopes)
	}
}

func TestConnectingAgainKeepsTheGrant(t *testing.T) {
	h := newHouse(t)
	_, first, err := h.Complete(t.Context(), h.begun("approve"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Revoke(t.Context(), app, first.ID); err != nil {
		t.Fatal(err)
	}
	_, second, err := h.Complete(t.Context(), h.begun("approve"))
	if err != nil || second.ID != first.ID || second.State != oauth.Active {
		t.Fatalf("%s becomes %s (%s): %v", first.ID, second.ID, second.State, err)
	}
	if token, err := h.Access(t.Context(), second); err != nil || !h.accepts(token) {
		t.Errorf("the grant gives no token: %v", err)
	}
}

func TestASignInThatAsksForLessTakesNothingAway(t *testing.T) {
	h := newHouse(t)
	before := h.connected() // with every scope
	_, g, err := h.Complete(t.Context(), h.begun("approve"))
	if err != nil || g.ID != before.ID || g.Scopes != oauth.Everything {
		t.Fatalf("the grant has %q: %v", g.Scopes, err)
	}
	token, err := h.Access(t.Context(), h.read(g.ID))
	if err != nil || !h.accepts(token) {
		t.Errorf("it gives no token: %v", err)
	}
	h.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: "unauthorized", After: 1, Times: 1}) // of the older tokens
	_, g, err = h.Complete(t.Context(), h.begun("approve"))
	if err != nil || g.ID != before.ID || g.Scopes != request().Scopes {
		t.Errorf("X does not honour the older tokens, and the grant has %q: %v", g.Scopes, err)
	}
}

func TestASignInReplacesAGrantThatItDoesNotContain(t *testing.T) {
	for name, v := range map[string]struct {
		older oauth.Scopes
		spoil func(*oauth.Grant)
	}{
		"other scopes":             {"like.read offline.access users.read", func(*oauth.Grant) {}},
		"fewer scopes":             {"offline.access users.read", func(*oauth.Grant) {}},
		"no refresh token":         {oauth.Everything, func(g *oauth.Grant) { g.Refresh = "" }},
		"X has refused it":         {oauth.Everything, func(g *oauth.Grant) { *g = g.Doubt(time.Now()) }},
		"its refresh is under way": {oauth.Everything, func(g *oauth.Grant) { g.Lease = oauth.Lease{Holder: "h", Until: time.Now().Add(time.Hour)} }},
	} {
		h := newHouse(t)
		in := h.issued(0)
		in.Scopes = v.older
		old, err := h.Import(t.Context(), app, xapp.Default, in)
		if err != nil {
			t.Fatal(err)
		}
		spoiled := old
		v.spoil(&spoiled)
		if _, err := h.vault.Swap(t.Context(), old, spoiled); err != nil {
			t.Fatal(err)
		}
		_, g, err := h.Complete(t.Context(), h.begun("approve"))
		if err != nil || g.ID != old.ID || g.Scopes != request().Scopes {
			t.Errorf("%s: the grant has %q: %v", name, g.Scopes, err)
		}
	}
}

func TestAFailedSignInLeavesNothingAliveAtX(t *testing.T) {
	h := newHouse(t)
	h.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: "status", Status: 403})
	if _, _, err := h.Complete(t.Context(), h.begun("approve")); err == nil {
		t.Fatal("there is a grant")
	}
	if h.happened("token.issued") != 1 || h.happened("family.killed") != 1 {
		t.Errorf("X gave %d pairs and took back %d", h.happened("token.issued"), h.happened("family.killed"))
	}
}

func TestASignInSurvivesAStoreThatFails(t *testing.T) {
	for name, fail := range map[string]func(*house){
		"before the write is kept": func(h *house) { h.vault.FailBefore(1) },
		"after the write is kept":  func(h *house) { h.vault.FailAfter(1) },
	} {
		h := newHouse(t)
		c := h.begun("approve")
		fail(h)
		_, g, err := h.Complete(t.Context(), c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token, err := h.Access(t.Context(), h.read(g.ID)); err != nil || !h.accepts(token) {
			t.Errorf("%s: the grant gives no token: %v", name, err)
		}
	}
}

func TestWhatGoesWrongWhileConnecting(t *testing.T) {
	for name, v := range map[string]struct {
		spoil  func(*house, *oauth.Callback)
		kind   fault.Kind
		slug   string
		silent bool // the client application must not be told by redirect
	}{
		"the user denies":        {func(h *house, c *oauth.Callback) { *c = h.begun("deny") }, fault.Forbidden, "access-denied", false},
		"X names another error":  {func(_ *house, c *oauth.Callback) { c.Error = "server_error" }, fault.Upstream, "x-authorization-failed", false},
		"an unknown state":       {func(_ *house, c *oauth.Callback) { c.State = "x" }, fault.Invalid, "unknown-state", true},
		"another browser":        {func(_ *house, c *oauth.Callback) { c.Cookie = secret.New("x") }, fault.Forbidden, "other-browser", true},
		"no cookie":              {func(_ *house, c *oauth.Callback) { c.Cookie = secret.Text{} }, fault.Forbidden, "other-browser", true},
		"X's code has expired":   {func(h *house, _ *oauth.Callback) { h.x.Advance(31 * time.Second) }, fault.Invalid, "x-code-refused", false},
		"a code X does not know": {func(_ *house, c *oauth.Callback) { c.Code = secret.New("x") }, fault.Invalid, "x-code-refused", false},
		"a state used before": {func(h *house, c *oauth.Callback) {
			if _, _, err := h.Complete(h.t.Context(), *c); err != nil {
				h.t.Fatal(err)
			}
		}, fault.Invalid, "unknown-state", true},
		"X does not say who it is": {func(h *house, _ *oauth.Callback) {
			h.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: "status", Status: 403})
		}, fault.Upstream, "x-unknown-user", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			c := h.begun("approve")
			v.spoil(h, &c)
			a, _, err := h.Complete(t.Context(), c)
			kindIs(t, err, v.kind, v.slug)
			if silent := a.ID == ""; silent != v.silent {
				t.Errorf("the client application is told: %v", !silent)
			}
		})
	}
}

func TestBeginTellsXNothingOfTheClient(t *testing.T) {
	h := newHouse(t)
	to, _, err := h.Begin(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("redirect_uri") != callback || q.Get("state") == "s" || q.Get("code_challenge") == "c" ||
		q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 22 {
		t.Errorf("X is asked %s", u.RawQuery)
	}
}

func TestRevokeEndsItHereAndAtX(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	token, err := h.Access(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.store.Sessions().Create(t.Context(), session.Session{ID: "s", Grant: g.ID, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Revoke(t.Context(), app, g.ID); err != nil {
		t.Fatal(err)
	}
	if h.accepts(token) {
		t.Error("X still takes the token")
	}
	got := h.read(g.ID)
	if got.State != oauth.Revoked || !got.Access.Empty() || !got.Refresh.Empty() {
		t.Errorf("%+v", got)
	}
	_, err = h.Access(t.Context(), got)
	kindIs(t, err, fault.Forbidden, "grant-revoked")
	if s, err := h.store.Sessions().Get(t.Context(), "s"); err != nil || s.Good(time.Now()) {
		t.Errorf("the session goes on: %v", err)
	}
	if err := h.Revoke(t.Context(), app, g.ID); err != nil {
		t.Errorf("revoking again: %v", err)
	}
}

func TestRevokeWhileXIsDownTellsXLater(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	token, err := h.Access(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	h.x.Mischief(xsim.Mischief{Match: "/2/oauth2/revoke", Kind: "outage"})
	kindIs(t, h.Revoke(t.Context(), app, g.ID), fault.Unavailable, "x-not-told")
	_, err = h.Access(t.Context(), h.read(g.ID))
	kindIs(t, err, fault.Forbidden, "grant-revoked")
	h.x.ClearMischief()
	if err := h.Revoke(t.Context(), app, g.ID); err != nil || h.accepts(token) {
		t.Errorf("X still takes the token; error: %v", err)
	}
}

func TestAnotherApplicationsGrantIsNotFound(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	_, err := h.Get(t.Context(), "app_other", g.ID)
	kindIs(t, err, fault.NotFound, "no-such-grant")
	kindIs(t, h.Revoke(t.Context(), "app_other", g.ID), fault.NotFound, "no-such-grant")
}

func TestImport(t *testing.T) {
	h := newHouse(t)
	in := h.issued(1)
	in.Expires = time.Time{}
	g, err := h.Import(t.Context(), app, xapp.Default, in)
	if err != nil || string(g.User.ID) != h.x.Users()[1].ID {
		t.Fatalf("user %q: %v", g.User.ID, err)
	}
	if token, err := h.Access(t.Context(), g); err != nil || !h.accepts(token) || h.happened("token.refreshed") != 1 {
		t.Errorf("an import without expiry is not refreshed at first use: %v", err)
	}
	again := h.issued(1)
	if _, err := h.Import(t.Context(), app, xapp.Default, again); fault.SlugOf(err) != "grant-exists" {
		t.Errorf("a second import: %v", err)
	}
	if refused, failed := h.log.count("grant.import", audit.Refused), h.log.count("grant.import", audit.Failed); refused != 1 || failed != 0 {
		t.Errorf("a second import is written down %d times as refused and %d times as failed", refused, failed)
	}
	if got := h.read(g.ID); got.Generation != 1 {
		t.Errorf("a second import replaced the tokens: generation %d", got.Generation)
	}
	again.Replace = true
	if got, err := h.Import(t.Context(), app, xapp.Default, again); err != nil || got.ID != g.ID {
		t.Errorf("an import that replaces: %v", err)
	}
	for name, spoil := range map[string]func(){
		"no token":  func() { in.Access, in.Refresh = secret.Text{}, secret.Text{} },
		"no scopes": func() { in.Scopes = "" },
		"no user":   func() { in.Access = secret.Text{} },
		"two lines": func() { in.Access = secret.New("a\r\nb") },
		"a name":    func() { in.User.ID = "ada" },
		"a year":    func() { in.Expires = time.Now().AddDate(1, 0, 0) },
	} {
		in = h.issued(2)
		spoil()
		if _, err := h.Import(t.Context(), app, xapp.Default, in); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Import(t.Context(), app, "nowhere", h.issued(2)); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
}
