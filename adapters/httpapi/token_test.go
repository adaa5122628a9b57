package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// code goes through a sign-in and returns its code.
func (h *house) code() string {
	h.t.Helper()
	back, cookie := h.start("s", "approve")
	_, q := h.finish(back, cookie.Name+"="+cookie.Value)
	return q.Get("code")
}

func basicAuth(id, key string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+key))
}

func TestTokenForms(t *testing.T) {
	h := build(t, plan{})
	form := func() url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {h.code()}, "redirect_uri": {returnTo},
			"code_verifier": {verifier}, "client_id": {h.pk}}
	}
	without := form()
	without.Del("client_id")
	withKey, twice := form(), form()
	withKey.Set("client_secret", h.sk)
	twice.Set("client_secret", h.sk)
	jsonBody := `{"grant_type":"authorization_code","code":"` + h.code() + `","redirect_uri":"` + returnTo +
		`","code_verifier":"` + verifier + `","client_id":"` + h.pk + `"}`
	for name, a := range map[string]answer{
		"form": h.tokenCall(form()), "secret in the form": h.tokenCall(withKey),
		"basic": h.tokenCall(without, basicAuth(h.pk, h.sk)), "basic, no secret": h.tokenCall(form(), basicAuth(h.pk, "")),
		"basic and the same in the form": h.tokenCall(twice, basicAuth(h.pk, h.sk)),
		"json":                           ask(t, "POST", h.public+"/2/oauth2/token", jsonBody, "Content-Type: application/json; charset=utf-8"),
	} {
		if a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" ||
			a.json(t)["token_type"] != "Bearer" || a.Header.Get("Content-Type") != plainJSON {
			t.Errorf("%s: %d %v %s", name, a.StatusCode, a.Header, a.body)
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	h := build(t, plan{})
	id := "client_id=" + h.pk
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		with   []string
	}{
		"nothing":           {"", 401, "invalid_client", nil},
		"no grant type":     {id, 400, "unsupported_grant_type", nil},
		"client unknown":    {"client_id=pk_nope", 401, "invalid_client", nil},
		"twice":             {id + "&" + id, 400, "invalid_request", nil},
		"bad code":          {id + "&grant_type=authorization_code&code=a&redirect_uri=b&code_verifier=c", 400, "invalid_grant", nil},
		"bad refresh token": {id + "&grant_type=refresh_token&refresh_token=x", 400, "invalid_grant", nil},
		"bad basic":         {id, 401, "invalid_client", []string{"Authorization: Basic !"}},
		"bearer":            {id, 401, "invalid_client", []string{"Authorization: Bearer x"}},
		"wrong secret":      {"grant_type=refresh_token", 401, "invalid_client", []string{basicAuth(h.pk, "sk_nope")}},
		"two secrets":       {"client_secret=x", 400, "invalid_request", []string{basicAuth(h.pk, h.sk)}},
		"two clients":       {"client_id=x", 400, "invalid_request", []string{basicAuth(h.pk, h.sk)}},
		"secret in a page":  {id + "&client_secret=" + h.sk, 401, "invalid_client", []string{"Sec-Fetch-Site: cross-site"}},
		"multipart":         {id, 400, "invalid_request", []string{"Content-Type: multipart/form-data; boundary=x"}},
		"bad escape":        {"client_id=%zz", 400, "invalid_request", nil},
		"json twice":        {`{"client_id":"a","client_id":"b"}`, 400, "invalid_request", []string{"Content-Type: application/json"}},
		"json number":       {`{"client_id":1}`, 400, "invalid_request", []string{"Content-Type: application/json"}},
		"json nested":       {`{"client_id":{"a":"b"}}`, 400, "invalid_request", []string{"Content-Type: application/json"}},
		"json and more":     {`{}{}`, 400, "invalid_request", []string{"Content-Type: application/json"}},
	} {
		headers := append([]string{"Content-Type: application/x-www-form-urlencoded"}, c.with...)
		a := ask(t, "POST", h.public+"/oauth/token", c.body, headers...)
		m := a.json(t)
		if a.StatusCode != c.status || m["error"] != c.code || m["status"] != float64(c.status) || m["type"] == nil ||
			m["error_description"] == "" || a.Header.Get("Content-Type") != plainJSON {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		basicAsked := strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ")
		if want := a.StatusCode == 401 && strings.Contains(strings.Join(c.with, ""), "Authorization"); want != basicAsked {
			t.Errorf("%s: WWW-Authenticate %q", name, a.Header.Get("WWW-Authenticate"))
		}
	}
	a := h.tokenCall(url.Values{}, "Accept: application/problem+json")
	if a.Header.Get("Content-Type") != problemJSON {
		t.Errorf("who asks for a problem gets %s", a.Header.Get("Content-Type"))
	}
	if a := ask(t, "POST", h.public+"/oauth/token?client_id="+h.pk, ""); a.json(t)["error"] != "invalid_request" {
		t.Errorf("parameters in the query: %s", a.body)
	}
}

func TestRefreshAndRevoke(t *testing.T) {
	h := build(t, plan{})
	got := h.signIn()
	next := h.tokenCall(url.Values{"grant_type": {"refresh_token"}, "client_id": {h.pk},
		"refresh_token": {got["refresh_token"].(string)}}).json(t)
	if next["access_token"] == nil || next["refresh_token"] == got["refresh_token"] {
		t.Fatalf("refresh: %v", next)
	}
	use := func() int {
		return ask(t, "GET", h.public+"/v1/grants", "", "Authorization: Bearer "+next["access_token"].(string)).StatusCode
	}
	if use() != http.StatusOK {
		t.Error("the new access token does not work")
	}
	form := url.Values{"client_id": {h.pk}, "token": {next["refresh_token"].(string)}}.Encode()
	a := ask(t, "POST", h.public+"/2/oauth2/revoke", form, "Content-Type: application/x-www-form-urlencoded")
	if a.StatusCode != http.StatusOK || a.body != `{"revoked":true}`+"\n" {
		t.Errorf("revoke: %d %s", a.StatusCode, a.body)
	}
	if use() != http.StatusUnauthorized {
		t.Error("the session goes on after it was revoked")
	}
	form = url.Values{"client_id": {h.pk}}.Encode()
	a = ask(t, "POST", h.public+"/oauth/revoke", form, "Content-Type: application/x-www-form-urlencoded")
	if a.json(t)["error"] != "invalid_request" {
		t.Errorf("revoke nothing: %s", a.body)
	}
}

func TestMetadata(t *testing.T) {
	h := build(t, plan{})
	m := ask(t, "GET", h.public+"/.well-known/oauth-authorization-server", "").json(t)
	for name, want := range map[string]string{
		"issuer": "", "authorization_endpoint": "/oauth/authorize", "token_endpoint": "/oauth/token",
		"revocation_endpoint": "/oauth/revoke", "jwks_uri": "/oauth/jwks",
	} {
		if m[name] != h.public+want {
			t.Errorf("%s is %v", name, m[name])
		}
	}
	if m["authorization_response_iss_parameter_supported"] != true {
		t.Error("iss is not announced")
	}
	if a := ask(t, "GET", h.public+"/oauth/jwks", ""); a.json(t)["keys"] == nil || a.Header.Get("Content-Type") != plainJSON {
		t.Errorf("jwks: %s", a.body)
	}
}
