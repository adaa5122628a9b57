package wiring_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
)

func TestABrowserSignsInCallsRefreshesAndSignsOut(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		v := h.visit(t, h.register(t, pageA, ""))

		s := v.signIn(t, ada)
		if left := v.cookies(t); len(left) > 0 {
			t.Errorf("the browser is left with %d cookies", len(left))
		}
		me := v.page(t, pageA, s.access, "GET", "/2/users/me", "")
		want(t, http.StatusOK, me)
		if me.text("data.id") != ada || me.header.Get(allowOrigin) != pageA {
			t.Errorf("the page reads %s, allowed to %q", me.body, me.header.Get(allowOrigin))
		}
		want(t, http.StatusCreated, v.page(t, pageA, s.access, "POST", "/2/tweets", `{"text":"from a page"}`))
		for _, call := range happened(x, "call") {
			if call.Object == "createPosts" && call.Details["headers"] !=
				"accept,authorization,content-length,content-type,user-agent" {
				t.Errorf("X was sent the headers %s", call.Details["headers"])
			}
		}

		next := sessionOf(t, v.refresh(t, s.refresh))
		if next.access == s.access || next.refresh == s.refresh || next.grant != s.grant {
			t.Error("refreshing gives the tokens there were, or another grant")
		}
		want(t, http.StatusOK, v.page(t, pageA, next.access, "GET", "/2/users/me", ""))

		out := v.token(t, "/oauth/revoke", url.Values{"token": {next.refresh}})
		want(t, http.StatusOK, out)
		gone := v.page(t, pageA, next.access, "GET", "/2/users/me", "")
		if gone.status != http.StatusUnauthorized || gone.header.Get(allowOrigin) != pageA ||
			!strings.Contains(gone.header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("after signing out: %d %s", gone.status, gone.body)
		}
		if a := v.refresh(t, next.refresh); a.status != http.StatusBadRequest || a.text("error") != "invalid_grant" {
			t.Errorf("refreshing after signing out: %d %s", a.status, a.body)
		}
		if n := len(happened(x, "token.revoked")); n != 0 {
			t.Errorf("signing out of a browser revoked %d tokens at X; the grant is not the session", n)
		}
		browsersOwnTokensNeverReach(t, x, s, next)
	})
}

// browsersOwnTokensNeverReach proves that X has seen none of the tokens a page holds.
func browsersOwnTokensNeverReach(t *testing.T, x *xsim.Sim, held ...session) {
	t.Helper()
	for _, call := range happened(x, "call") {
		for _, s := range held {
			if fp := call.Details["access_fp"]; fp == xsim.Fingerprint(s.access) || fp == xsim.Fingerprint(s.refresh) {
				t.Errorf("X was shown a token of Perch with %s", call.Object)
			}
		}
	}
}

// What a client learns from the metadata is where everything is.
func TestTheMetadataLeadsToEveryEndpoint(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		at, _ := serveX(t, xsim.New(xsim.Options{}))
		h := open(t, settings(t, e, at))
		meta := ask(t, h.client, "GET", h.public+"/.well-known/oauth-authorization-server", "")
		want(t, http.StatusOK, meta)
		for member, path := range map[string]string{
			"issuer": "", "authorization_endpoint": "/oauth/authorize", "token_endpoint": "/oauth/token",
			"revocation_endpoint": "/oauth/revoke", "jwks_uri": "/oauth/jwks",
		} {
			if meta.text(member) != h.public+path {
				t.Errorf("%s is %q", member, meta.text(member))
			}
		}
		h.visit(t, h.register(t, pageA, "")).signIn(t, ada) // the first signature makes the first key
		keys := ask(t, h.client, "GET", meta.text("jwks_uri"), "")
		if keys.text("keys.0.kid") == "" || keys.field("keys.0.d") != nil {
			t.Errorf("signing keys: %s", keys.body)
		}
	})
}
