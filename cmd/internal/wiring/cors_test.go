package wiring_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

const allowOrigin = "Access-Control-Allow-Origin"

func TestPagesReachOnlyTheirOwnApplication(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		a, b := h.register(t, pageA, ""), h.register(t, pageB, "")
		v := h.visit(t, a)
		s := v.signIn(t, ada)
		asked := len(happened(x, "call"))

		own := v.page(t, pageA, s.access, "GET", "/2/users/me", "")
		want(t, http.StatusOK, own)
		shared(t, "its own page", own, pageA)
		if asked++; len(happened(x, "call")) != asked {
			t.Fatal("the page's call did not reach X")
		}
		for _, origin := range []string{pageB, "https://stranger.example", "null", "http://a.example", pageA + ":8443"} {
			got := v.page(t, origin, s.access, "GET", "/2/users/me", "")
			if got.status != http.StatusForbidden || got.problem() != "origin-not-allowed" {
				t.Errorf("a page of %s: %d %s", origin, got.status, got.body)
			}
			shared(t, "a page of "+origin, got, "")
			post := v.page(t, origin, s.access, "POST", "/2/tweets", `{"text":"not mine"}`)
			want(t, http.StatusForbidden, post)
			shared(t, "a page of "+origin, post, "")
		}
		if len(happened(x, "call")) != asked {
			t.Error("a call of another application's page reached X")
		}

		w := h.visit(t, b)
		hers := w.page(t, pageB, w.signIn(t, grace).access, "GET", "/2/users/me", "")
		want(t, http.StatusOK, hers)
		shared(t, "the other application's own page", hers, pageB)

		grant := h.adopt(t, b, grace, issue(t, x, "sim-client", grace), time.Now().Add(time.Hour))
		fromPage := h.act(t, b.sk, grant, "GET", "/2/users/me", "", "Origin: "+pageB)
		if fromPage.status != http.StatusForbidden || fromPage.problem() != "secret-key-in-browser" {
			t.Errorf("a secret key from a page: %d %s", fromPage.status, fromPage.body)
		}
		plain := h.act(t, b.sk, grant, "GET", "/2/users/me", "")
		want(t, http.StatusOK, plain)
		shared(t, "a server", plain, "")
	})
}

// shared checks who may read a reply. Nobody may read all replies, and cookies
// are never a credential.
func shared(t *testing.T, who string, a answer, origin string) {
	t.Helper()
	if got := strings.Join(a.header.Values(allowOrigin), ","); got != origin {
		t.Errorf("%s: the reply may be read by %q, want %q", who, got, origin)
	}
	if a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%s: cookies are a credential", who)
	}
	for name, values := range a.header {
		if strings.HasPrefix(name, "Access-Control-") && strings.Contains(strings.Join(values, ","), "*") {
			t.Errorf("%s: %s has a star", who, name)
		}
	}
	if !strings.Contains(a.header.Get("Vary"), "Origin") {
		t.Errorf("%s: a cache may give the reply to another page", who)
	}
}

func TestPreflightsAreForRegisteredOriginsOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		at, _ := serveX(t, xsim.New(xsim.Options{}))
		h := open(t, settings(t, e, at))
		preflight := func(path, origin string) answer {
			return ask(t, h.client, "OPTIONS", h.public+path, "", "Origin: "+origin, "Access-Control-Request-Method: POST",
				"Access-Control-Request-Headers: authorization,content-type")
		}
		paths := []string{"/2/tweets", "/oauth/token", "/oauth/revoke", "/v1/grants"}
		for _, path := range paths {
			shared(t, "before any application", preflight(path, pageA), "")
		}
		a := h.register(t, pageA, "")
		h.register(t, pageB, "")
		for _, path := range paths {
			for _, origin := range []string{pageA, pageB} {
				got := preflight(path, origin)
				want(t, http.StatusNoContent, got)
				shared(t, path+" from "+origin, got, origin)
			}
			for _, origin := range []string{"https://stranger.example", "null", "*", pageA + ".stranger.example"} {
				got := preflight(path, origin)
				want(t, http.StatusForbidden, got)
				shared(t, path+" from "+origin, got, "")
			}
		}
		h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+a.id, object{"status": "suspended"})
		shared(t, "a suspended application", preflight(paths[0], pageA), "")
	})
}
