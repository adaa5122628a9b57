package wiring_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// One line each: what X's answer must not look like, or who must not bring it.
func TestCallbacksThatAreNobodys(t *testing.T) {
	h, x := hostileHouse(t)
	app := h.wanted(t)
	for name, line := range map[string]struct {
		send    func(t *testing.T, v *visitor, back *url.URL) answer
		problem string
	}{
		"without the browser's cookie": {func(t *testing.T, _ *visitor, back *url.URL) answer { return browse(t, h.client, back.String()) }, "other-browser"},
		"in another browser that signs in too": {func(t *testing.T, _ *visitor, back *url.URL) answer {
			thief := h.visit(t, app)
			thief.goes(t, asking(app), "approve")
			return browse(t, thief.client, back.String())
		}, "other-browser"},
		"without a state": {func(t *testing.T, v *visitor, b *url.URL) answer { return browse(t, v.client, without(b, "state")) }, "bad-callback"},
		"without a code":  {func(t *testing.T, v *visitor, b *url.URL) answer { return browse(t, v.client, without(b, "code")) }, "bad-callback"},
		"with another state": {func(t *testing.T, v *visitor, b *url.URL) answer {
			return browse(t, v.client, without(b, "state")+"&state=x")
		}, "unknown-state"},
		"with two states": {func(t *testing.T, v *visitor, b *url.URL) answer { return browse(t, v.client, b.String()+"&state=x") }, "invalid-request"},
		"with two codes":  {func(t *testing.T, v *visitor, b *url.URL) answer { return browse(t, v.client, b.String()+"&code=x") }, "invalid-request"},
		"with a code and an error": {func(t *testing.T, v *visitor, b *url.URL) answer {
			return browse(t, v.client, b.String()+"&error=access_denied")
		}, "bad-callback"},
		"with a state of four kilobytes": {func(t *testing.T, v *visitor, b *url.URL) answer {
			return browse(t, v.client, without(b, "state")+"&state="+strings.Repeat("s", 4000))
		}, "bad-callback"},
		"twice": {func(t *testing.T, v *visitor, b *url.URL) answer {
			want(t, http.StatusFound, browse(t, v.client, b.String()))
			return browse(t, v.client, b.String())
		}, "unknown-state"},
	} {
		t.Run(name, func(t *testing.T) {
			v := h.visit(t, app)
			back := v.goes(t, asking(app), "approve")
			a := line.send(t, v, back)
			if a.status/100 != 4 || a.header.Get("Location") != "" || !strings.Contains(a.body, "<code>"+line.problem+" ") {
				t.Errorf("got %d %v %s, want a page that says %s", a.status, a.header, a.body, line.problem)
			}
		})
	}
	if n := len(happened(x, "token.issued")); n != 1 { // of the one that came twice
		t.Errorf("X has issued %d tokens, want 1", n)
	}
}

// without is the URL without one of its parameters.
func without(u *url.URL, name string) string {
	q := u.Query()
	q.Del(name)
	copied := *u
	copied.RawQuery = q.Encode()
	return copied.String()
}

// What an operator takes away while a user is at X is gone when the user is back.
func TestOperatorsActWhileAUserIsAtX(t *testing.T) {
	h, _ := hostileHouse(t)
	for name, line := range map[string]struct {
		change  object
		problem string
	}{
		"the redirect URI is removed":  {object{"redirect_uris": registered[1:]}, "invalid-redirect-uri"},
		"the application is suspended": {object{"status": "suspended"}, "app-suspended"},
	} {
		t.Run(name, func(t *testing.T) {
			app := h.wanted(t)
			v := h.visit(t, app)
			back := v.goes(t, asking(app), "approve")
			h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, line.change)
			a := browse(t, v.client, back.String())
			if a.status/100 != 4 || a.header.Get("Location") != "" || !strings.Contains(a.body, "<code>"+line.problem+" ") {
				t.Errorf("got %d %v %s, want a page that says %s", a.status, a.header, a.body, line.problem)
			}
		})
	}
	t.Run("the redirect URI is removed before the code is exchanged", func(t *testing.T) {
		he := newHeist(t, h)
		h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+he.victim.id, object{"redirect_uris": registered[1:]})
		rejected(t, he.post(t, "/oauth/token", he.exchange()), badRequest, "invalid_grant")
	})
	t.Run("the scopes are narrowed", func(t *testing.T) {
		he := newHeist(t, h)
		h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+he.victim.id, object{"scopes": []string{"like.read"}})
		for _, form := range []url.Values{he.exchange(), he.refresh()} {
			if a := he.post(t, "/oauth/token", form); strings.Contains(a.text("scope"), "tweet.write") {
				t.Errorf("the application gets more than it may have: %s", a.text("scope"))
			}
		}
		a := ask(t, h.client, "POST", h.public+"/2/tweets", `{"text":"too late"}`, "Authorization: Bearer "+he.held.access,
			"Content-Type: application/json")
		want(t, http.StatusForbidden, a)
	})
}
