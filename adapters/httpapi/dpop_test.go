package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"perch/ports/conformance"
)

// bound asks for tokens with a proof of the device's key, as a client library
// does: when it is told a nonce it makes another proof.
func (h *house) bound(d conformance.Device, form url.Values, headers ...string) answer {
	h.t.Helper()
	form.Set("client_id", h.pk)
	claims := map[string]any{}
	for range 2 {
		proof := d.Prove(h.t, "POST", h.public+"/oauth/token", claims)
		a := h.tokenCall(form, append(headers, "DPoP: "+proof)...)
		nonce := a.Header.Get("DPoP-Nonce")
		if a.StatusCode == http.StatusOK || claims["nonce"] != nil {
			return a
		}
		if a.StatusCode != http.StatusBadRequest || a.json(h.t)["error"] != "use_dpop_nonce" || nonce == "" {
			h.t.Fatalf("without a nonce: %d %s", a.StatusCode, a.body)
		}
		claims["nonce"] = nonce
	}
	panic("unreachable")
}

func (h *house) exchangeForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {returnTo}, "code_verifier": {verifier},
	}
}

// with sends a request with an access token that is bound to the device.
func (h *house) with(d conformance.Device, token, method, path string, claims map[string]any, headers ...string) answer {
	h.t.Helper()
	all := map[string]any{"ath": conformance.Hash(token)}
	for name, v := range claims {
		all[name] = v
	}
	where, _, _ := strings.Cut(path, "?")
	headers = append(headers, "Authorization: DPoP "+token, "DPoP: "+d.Prove(h.t, method, h.public+where, all))
	return ask(h.t, method, h.public+path, "", headers...)
}

func TestTokensBoundToAKey(t *testing.T) {
	h, d := build(t, plan{}), conformance.NewDevice(t)
	a := h.bound(d, h.exchangeForm(h.code()), "Origin: "+pageOrigin)
	got := a.json(t)
	if a.StatusCode != http.StatusOK || got["token_type"] != "DPoP" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
		t.Error("a page may not read the nonce")
	}
	token := got["access_token"].(string)
	first := h.with(d, token, "GET", "/2/users/me?user.fields=name", nil, "Origin: "+pageOrigin)
	challenge := first.Header.Get("WWW-Authenticate")
	if first.StatusCode != http.StatusUnauthorized ||
		challenge != `DPoP realm="Perch", error="use_dpop_nonce", algs="ES256 EdDSA RS256 PS256"` ||
		first.Header.Get("Access-Control-Allow-Origin") != pageOrigin {
		t.Fatalf("without a nonce: %d %s", first.StatusCode, challenge)
	}
	claims := map[string]any{"nonce": first.Header.Get("DPoP-Nonce"), "jti": "one"}
	me := h.with(d, token, "GET", "/2/users/me?user.fields=name", claims, "Origin: "+pageOrigin)
	turned, err := h.services.Sessions.Nonce(t.Context()) // another one every other minute
	must(t, err)
	nonce := me.Header.Get("DPoP-Nonce")
	if me.StatusCode != http.StatusOK || !strings.Contains(me.body, ada) || nonce != claims["nonce"] && nonce != turned {
		t.Errorf("%d %s", me.StatusCode, me.body)
	}
	refused := func(what string, a answer, code string) {
		t.Helper()
		if a.StatusCode != http.StatusUnauthorized ||
			!strings.HasPrefix(a.Header.Get("WWW-Authenticate"), `DPoP realm="Perch", error="`+code+`"`) &&
				!strings.HasPrefix(a.Header.Get("WWW-Authenticate"), `Bearer realm="Perch", error="`+code+`"`) {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.Header.Get("WWW-Authenticate"))
		}
	}
	refused("the same proof", h.with(d, token, "GET", "/2/users/me", claims), "invalid_dpop_proof")
	refused("as bearer", ask(t, "GET", h.public+"/2/users/me", "", "Authorization: Bearer "+token), "invalid_token")
	refused("no proof", ask(t, "GET", h.public+"/2/users/me", "", "Authorization: DPoP "+token), "invalid_dpop_proof")
	delete(claims, "jti")
	refused("another's", h.with(conformance.NewDevice(t), token, "GET", "/2/users/me", claims), "invalid_token")
	for name, a := range map[string]answer{
		"a secret key as DPoP": ask(t, "GET", h.public+"/v1/grants", "", "Authorization: DPoP "+h.sk),
		"operators' token":     ask(t, "GET", h.admin+"/admin/v1/apps", "", "Authorization: DPoP "+adminToken),
	} {
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	again := h.bound(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got["refresh_token"].(string)}})
	if again.StatusCode != http.StatusOK || again.json(t)["token_type"] != "DPoP" {
		t.Errorf("refreshed: %d %s", again.StatusCode, again.body)
	}
	if a := ask(t, "OPTIONS", h.public+"/2/users/me", "", "Origin: "+pageOrigin, "Access-Control-Request-Method: GET",
		"Access-Control-Request-Headers: dpop,authorization"); !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "DPoP") {
		t.Error("a page may not send a proof")
	}
	meta := ask(t, "GET", h.public+"/.well-known/oauth-authorization-server", "").json(t)
	if algs, ok := meta["dpop_signing_alg_values_supported"].([]any); !ok || len(algs) != 4 || algs[0] != "ES256" {
		t.Errorf("the metadata says %v", meta["dpop_signing_alg_values_supported"])
	}
}

func TestAnApplicationThatWantsBoundTokens(t *testing.T) {
	h, d := build(t, plan{}), conformance.NewDevice(t)
	set := h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"dpop":true}`)
	if set.StatusCode != http.StatusOK || set.json(t)["dpop"] != true {
		t.Fatalf("%d %s", set.StatusCode, set.body)
	}
	form := h.exchangeForm(h.code())
	form.Set("client_id", h.pk)
	a := h.tokenCall(form)
	if a.StatusCode != http.StatusBadRequest || a.json(t)["error"] != "invalid_dpop_proof" || a.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("without a proof: %d %s", a.StatusCode, a.body)
	}
	if a := h.bound(d, form); a.StatusCode != http.StatusOK {
		t.Errorf("with one: %d %s", a.StatusCode, a.body)
	}
	if a := h.act("GET", "/2/users/me", ""); a.StatusCode != http.StatusOK {
		t.Errorf("a secret key: %d %s", a.StatusCode, a.body)
	}
}

func TestTwoProofsAreNone(t *testing.T) {
	h, d := build(t, plan{}), conformance.NewDevice(t)
	proof := "DPoP: " + d.Prove(t, "POST", h.public+"/oauth/token", nil) + "\r\n"
	got := raw(t, h.public, "POST /oauth/token HTTP/1.1\r\nHost: x\r\n"+proof+proof+"Content-Length: 0\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "DPoP comes twice") {
		t.Error(got)
	}
}
