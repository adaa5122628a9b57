package httpapi

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

const allowOrigin = "Access-Control-Allow-Origin"

func TestPreflight(t *testing.T) {
	h := build(t, plan{})
	for origin, allowed := range map[string]bool{
		pageOrigin: true, "https://evilapp.example": false, "https://app.example.evil.com": false, "null": false,
		"http://app.example": false, "https://app.example:8443": false, "https://APP.example": false,
		"https://app.example.": false, "https://app.example:443": false, "*": false, "https://app.example/": false,
	} {
		for _, path := range []string{"/2/tweets", "/v1/grants", "/oauth/token", "/2/oauth2/token"} {
			a := ask(t, "OPTIONS", h.public+path, "", "Origin: "+origin, "Access-Control-Request-Method: POST",
				"Access-Control-Request-Headers: authorization,x-evil")
			got := a.Header.Get(allowOrigin)
			switch {
			case allowed && (a.StatusCode != http.StatusNoContent || got != origin || a.body != "" ||
				a.Header.Get("Access-Control-Max-Age") != "600"):
				t.Errorf("%s %s: %d %q", origin, path, a.StatusCode, got)
			case !allowed && (a.StatusCode != http.StatusForbidden || got != ""):
				t.Errorf("%s %s: %d %q", origin, path, a.StatusCode, got)
			case a.Header.Get("Vary") != "Origin":
				t.Errorf("%s %s: Vary %q", origin, path, a.Header.Get("Vary"))
			case strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "evil"),
				a.Header.Get("Access-Control-Allow-Credentials") != "":
				t.Errorf("%s %s grants too much: %v", origin, path, a.Header)
			}
		}
	}
	for _, path := range []string{"/oauth/authorize", "/oauth/callback", "/healthz"} {
		a := ask(t, "OPTIONS", h.public+path, "", "Origin: "+pageOrigin, "Access-Control-Request-Method: GET")
		if a.StatusCode/100 == 2 {
			t.Errorf("%s answers preflights: %d", path, a.StatusCode)
		}
	}
	if a := ask(t, "GET", h.public+"/oauth/authorize", "", "Origin: "+pageOrigin); a.Header.Get(allowOrigin) != "" {
		t.Error("authorize has CORS")
	}
}

func TestSharing(t *testing.T) {
	h := build(t, plan{})
	_, err := h.services.Clients.Register(t.Context(), client.App{
		Name: "Other", Origins: []client.Origin{"https://other.example"}, RedirectURIs: []string{returnTo},
	})
	must(t, err)
	session := "Authorization: Bearer " + h.signIn()["access_token"].(string)
	for name, c := range map[string]struct {
		path, credential, origin string
		status                   int
		shared                   bool
	}{
		"own page":               {"/2/users/me", session, pageOrigin, 200, true},
		"other application's":    {"/2/users/me", session, "https://other.example", 403, false},
		"nobody's":               {"/2/users/me", session, "https://evil.example", 403, false},
		"null":                   {"/2/users/me", session, "null", 403, false},
		"own grants":             {"/v1/grants", session, pageOrigin, 200, true},
		"problem, own page":      {"/2/users/me", "X: y", pageOrigin, 401, true},
		"problem, other's page":  {"/2/users/me", "X: y", "https://other.example", 401, true},
		"problem, nobody's":      {"/2/users/me", "X: y", "https://evil.example", 401, false},
		"no such path":           {"/nothing", "X: y", pageOrigin, 404, true},
		"no such path, nobody's": {"/nothing", "X: y", "https://evil.example", 404, false},
		"secret key in a page":   {"/2/users/me", "Authorization: Bearer " + h.sk, pageOrigin, 403, true},
		"discovery":              {"/.well-known/oauth-authorization-server", "X: y", pageOrigin, 200, true},
		"discovery, nobody's":    {"/.well-known/oauth-authorization-server", "X: y", "https://evil.example", 200, false},
		"not for pages":          {"/healthz", "X: y", pageOrigin, 200, false},
		"without origin":         {"/2/users/me", session, "", 200, false},
	} {
		a := ask(t, "GET", h.public+c.path, "", c.credential, "Origin: "+c.origin)
		want := ""
		if c.shared {
			want = c.origin
		}
		if a.StatusCode != c.status || a.Header.Get(allowOrigin) != want || a.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %d, ACAO %q, Vary %q", name, a.StatusCode, a.Header.Get(allowOrigin), a.Header.Get("Vary"))
		}
	}
	a := h.tokenCall(map[string][]string{"client_id": {h.pk}}, "Origin: https://evil.example")
	if a.StatusCode != http.StatusForbidden || a.Header.Get(allowOrigin) != "" {
		t.Errorf("token call from nobody's page: %d", a.StatusCode)
	}
}

// flaky fails to list applications when told so.
type flaky struct {
	ports.Applications
	down *atomic.Bool
}

func (f flaky) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	if f.down.Load() {
		return nil, fault.New(fault.Unavailable, "the store does not answer")
	}
	return f.Applications.List(ctx, after, n)
}

func TestPreflightWithoutStore(t *testing.T) {
	var down atomic.Bool
	h := build(t, plan{apps: func(a ports.Applications) ports.Applications { return flaky{a, &down} }})
	down.Store(true)
	a := ask(t, "OPTIONS", h.public+"/2/tweets", "", "Origin: "+pageOrigin, "Access-Control-Request-Method: POST")
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get(allowOrigin) != "" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}
