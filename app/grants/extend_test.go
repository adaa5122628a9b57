package grants_test

import (
	"errors"
	"net/url"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// extension is a request for one scope more.
func extension(g oauth.Grant, scopes oauth.Scopes) oauth.Authorization {
	return oauth.Authorization{App: app, Mode: oauth.ModeExtend, Extends: g.ID, Session: "ses_1", Scopes: scopes}
}

// extending starts an extension, lets the user of the number decide and returns
// what X was asked for.
func (h *house) extending(a oauth.Authorization, user int, decision string) (oauth.Callback, string) {
	h.t.Helper()
	to, cookie, err := h.Begin(h.t.Context(), a)
	if err != nil {
		h.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		h.t.Fatal(err)
	}
	q := h.visitAs(to, decision, user)
	return oauth.Callback{
		State: q.Get("state"), Code: secret.New(q.Get("code")), Error: q.Get("error"), Cookie: cookie,
	}, u.Query().Get("scope")
}

// small connects the first user with the few scopes of a sign-in.
func (h *house) small() oauth.Grant {
	h.t.Helper()
	_, g, err := h.Complete(h.t.Context(), h.begun("approve"))
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

func TestAnExtensionAsksForExactlyWhatIsMissing(t *testing.T) {
	h := newHouse(t)
	old := h.small()
	c, asked := h.extending(extension(old, "tweet.write"), 0, "approve")
	if asked != string(old.Scopes.And("tweet.write")) {
		t.Errorf("X was asked for %q", asked)
	}
	a, g, err := h.Complete(t.Context(), c)
	if err != nil || g.ID != old.ID || g.Scopes != old.Scopes.And("tweet.write") || !g.Created.Equal(old.Created) {
		t.Fatalf("%+v: %v", g, err)
	}
	if a.Mode != oauth.ModeExtend || a.Session != "ses_1" || a.Scopes != "tweet.write" {
		t.Errorf("the request was changed: %+v", a)
	}
	token, err := h.Access(t.Context(), h.read(g.ID))
	if err != nil || !h.accepts(token) || h.log.count("grant.extend", audit.Done) != 1 {
		t.Errorf("the grant gives no token: %v", err)
	}
}

// What goes wrong changes nothing of the grant, and leaves no tokens at X that
// nobody holds.
func TestAnExtensionThatFailsChangesNothing(t *testing.T) {
	for name, v := range map[string]struct {
		user  int
		spoil func(*house, oauth.Grant, *oauth.Callback)
		slug  string
		given int // pairs that X gave and took back
	}{
		"another user allows it": {1, func(*house, oauth.Grant, *oauth.Callback) {}, oauth.OtherUser, 1},
		"another user who has a grant allows it": {1, func(h *house, _ oauth.Grant, _ *oauth.Callback) {
			if _, err := h.Import(h.t.Context(), app, "default", h.issued(1)); err != nil {
				h.t.Fatal(err)
			}
		}, oauth.OtherUser, 1},
		"the user denies": {0, func(_ *house, _ oauth.Grant, c *oauth.Callback) { c.Code, c.Error = secret.Text{}, "access_denied" }, "access-denied", 0},
		"X is down": {0, func(h *house, _ oauth.Grant, _ *oauth.Callback) {
			h.x.Mischief(xsim.Mischief{Match: "token", Kind: "outage"})
		}, "", 0},
		"the code is wrong": {0, func(_ *house, _ oauth.Grant, c *oauth.Callback) { c.Code = secret.New("x") }, "x-code-refused", 0},
		"X does not say who it is": {0, func(h *house, _ oauth.Grant, _ *oauth.Callback) {
			h.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: "status", Status: 403})
		}, "x-unknown-user", 1},
	} {
		h := newHouse(t)
		old := h.small()
		c, _ := h.extending(extension(old, "tweet.write"), v.user, "approve")
		v.spoil(h, old, &c)
		before := h.happened("family.killed")
		_, _, err := h.Complete(t.Context(), c)
		if err == nil || v.slug != "" && fault.SlugOf(err) != v.slug {
			t.Errorf("%s: %v", name, err)
		}
		if got := h.read(old.ID); got != old {
			t.Errorf("%s: the grant is %+v", name, got)
		}
		if n := h.happened("family.killed") - before; n != v.given {
			t.Errorf("%s: %d pairs were given back", name, n)
		}
		if token, err := h.Access(t.Context(), old); err != nil || len(h.x.Ledger()) == 0 || !h.takes(token) {
			t.Errorf("%s: the grant gives no token any more: %v", name, err)
		}
	}
}

// takes is accepts, whatever mischief there is.
func (h *house) takes(token secret.Text) bool {
	h.x.ClearMischief()
	return h.accepts(token)
}

func TestTwoExtensionsAtOnceLoseNothing(t *testing.T) {
	h := newHouse(t)
	old := h.small()
	one, _ := h.extending(extension(old, "tweet.write"), 0, "approve")
	two, _ := h.extending(extension(old, "like.read"), 0, "approve")
	if _, _, err := h.Complete(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	_, _, err := h.Complete(t.Context(), two)
	if fault.SlugOf(err) != "grant-changed" || !errors.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	if got := h.read(old.ID); got.Scopes != old.Scopes.And("tweet.write") {
		t.Errorf("the grant has %q", got.Scopes)
	}
	again, asked := h.extending(extension(old, "like.read"), 0, "approve")
	_, g, err := h.Complete(t.Context(), again)
	if err != nil || string(g.Scopes) != asked || g.Scopes != old.Scopes.And("tweet.write like.read") {
		t.Errorf("%q: %v", g.Scopes, err)
	}
}

func TestAGrantThatHasEndedIsNotExtended(t *testing.T) {
	h := newHouse(t)
	old := h.small()
	c, _ := h.extending(extension(old, "tweet.write"), 0, "approve")
	if err := h.Revoke(t.Context(), app, old.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err := h.Complete(t.Context(), c)
	kindIs(t, err, fault.Forbidden, "grant-revoked")
	if got := h.read(old.ID); got.State != oauth.Revoked || !got.Access.Empty() {
		t.Errorf("it has come back: %+v", got)
	}
	_, _, err = h.Begin(t.Context(), extension(old, "tweet.write"))
	kindIs(t, err, fault.Forbidden, "grant-revoked")
	other := extension(old, "tweet.write")
	other.App = "app_other"
	_, _, err = h.Begin(t.Context(), other)
	kindIs(t, err, fault.NotFound, "no-such-grant")
}

func TestAnExtensionSurvivesAStoreThatFails(t *testing.T) {
	for name, fail := range map[string]func(*house){
		"before the write is kept": func(h *house) { h.vault.FailBefore(1) },
		"after the write is kept":  func(h *house) { h.vault.FailAfter(1) },
	} {
		h := newHouse(t)
		old := h.small()
		c, _ := h.extending(extension(old, "tweet.write"), 0, "approve")
		fail(h)
		_, g, err := h.Complete(t.Context(), c)
		if err != nil || g.Scopes != old.Scopes.And("tweet.write") {
			t.Errorf("%s: %q, %v", name, g.Scopes, err)
		}
		if token, err := h.Access(t.Context(), h.read(old.ID)); err != nil || !h.accepts(token) {
			t.Errorf("%s: the grant gives no token: %v", name, err)
		}
	}
}
