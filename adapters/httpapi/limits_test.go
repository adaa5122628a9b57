package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"perch/domain/quota"
)

func rules(t *testing.T, texts ...string) []quota.Rule {
	t.Helper()
	all, err := quota.ParseRules(texts)
	must(t, err)
	return all
}

// TestRepliesSayWhatIsLeft: of our limits in the headers of the IETF's draft, of
// X's in X's own.
func TestRepliesSayWhatIsLeft(t *testing.T) {
	h := build(t, plan{more: rules(t, "key:5/h", "app:100/m", "address:1000/m"), windows: true})
	a := h.act("GET", "/2/users/me", "")
	if got := strings.Join(a.Header.Values("RateLimit-Policy"), ", "); a.StatusCode != 200 ||
		got != `"address/m";q=1000;w=60, "key/h";q=5;w=3600, "app/m";q=100;w=60` {
		t.Errorf("status %d, RateLimit-Policy: %s", a.StatusCode, got)
	}
	if got := a.Header.Values("RateLimit"); len(got) != 2 || !strings.HasPrefix(got[1], `"key/h";r=4;t=`) {
		t.Errorf("RateLimit: %q", got)
	}
	if a.Header.Get("x-rate-limit-limit") != "75" || a.Header.Get("x-rate-limit-remaining") != "74" {
		t.Errorf("X's own headers: %v", a.Header)
	}
}

// TestARefusalSaysWhoseLimitItWas, and when to come back.
func TestARefusalSaysWhoseLimitItWas(t *testing.T) {
	for rule, limited := range map[string]string{
		"address:2/h": "address", "key:2/h": "key", "app:2/h": "application", "grant/read:2/h": "grant",
	} {
		h := build(t, plan{more: rules(t, rule)})
		h.act("GET", "/2/users/me", "")
		h.act("GET", "/2/users/me", "")
		var page []string // which has no secret key to show
		if limited == "address" {
			page = append(page, "Origin: "+pageOrigin)
		}
		a := h.act("GET", "/2/users/me", "", page...)
		p := a.json(t)
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if a.StatusCode != 429 || p["type"] != "urn:perch:problem:limit-reached" || p["limited"] != limited || p["window"] != "h" ||
			p["limit"] != rule || err != nil || wait > 3600 || wait < 3590 {
			t.Errorf("%s: %d, Retry-After %d, %s", rule, a.StatusCode, wait, a.body)
		}
		if !strings.Contains(a.Header.Get("RateLimit"), ";r=0;t=") || a.Header.Get("RateLimit-Policy") == "" {
			t.Errorf("%s: %v", rule, a.Header)
		}
		if exposed := a.Header.Get("Access-Control-Expose-Headers"); page != nil && !strings.Contains(exposed, "RateLimit, RateLimit-Policy") {
			t.Errorf("%s: a page may read %q", rule, exposed)
		}
	}
}

// TestAnAddressIsLimitedBeforeItsCredentialIsLookedAt: whatever it asks for, but
// not when it asks for health; a proxy's clients each count alone.
func TestAnAddressIsLimitedBeforeItsCredentialIsLookedAt(t *testing.T) {
	h := build(t, plan{more: rules(t, "address:4/h"), proxies: []string{"127.0.0.1/32"}})
	from := func(addr, path string) int {
		return ask(t, "GET", h.public+path, "", "X-Forwarded-For: "+addr, "Authorization: Bearer sk_wrong").StatusCode
	}
	for i, want := range []int{401, 404, 401, 401, 429, 429} {
		path := "/2/users/me"
		if i == 1 {
			path = "/nothing"
		}
		if got := from("192.0.2.1", path); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := from("192.0.2.1", path); got != http.StatusOK {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got := from("192.0.2.2", "/2/users/me"); got != 401 {
		t.Errorf("another address: %d", got)
	}
	if a := h.operator("GET", "/admin/v1/apps", ""); a.StatusCode != 200 || a.Header.Get("RateLimit") != "" {
		t.Errorf("an operator: %d %v", a.StatusCode, a.Header)
	}
}

// TestAPageReadsThatItsAddressIsLimited: its browser's preflights are not
// counted, and the refusal has the headers of any other.
func TestAPageReadsThatItsAddressIsLimited(t *testing.T) {
	h := build(t, plan{more: rules(t, "address:2/m")})
	preflight := func() answer {
		return ask(t, "OPTIONS", h.public+"/2/tweets", "", "Origin: "+pageOrigin, "Access-Control-Request-Method: POST")
	}
	call := func(origin, path string) answer {
		return ask(t, "GET", h.public+path, "", "Origin: "+origin, "Authorization: Bearer nobody")
	}
	for range 2 {
		if a := preflight(); a.StatusCode != http.StatusNoContent || a.Header.Get("RateLimit") != "" {
			t.Errorf("a preflight: %d %v", a.StatusCode, a.Header)
		}
		if a := call(pageOrigin, "/2/users/me"); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("a call: %d %s", a.StatusCode, a.body)
		}
	}
	if a := preflight(); a.StatusCode != http.StatusNoContent || a.Header.Get(allowOrigin) != pageOrigin {
		t.Errorf("a preflight when the limit is reached: %d %v", a.StatusCode, a.Header)
	}
	for path, shared := range map[string]string{
		"/2/users/me": pageOrigin, "/oauth/jwks": pageOrigin, "/nothing": pageOrigin, "/oauth/authorize": "",
	} {
		a := call(pageOrigin, path)
		exposed := strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "retry-after")
		if a.StatusCode != http.StatusTooManyRequests || a.json(t)["limited"] != "address" || a.Header.Get("Retry-After") == "" ||
			a.Header.Get(allowOrigin) != shared || exposed != (shared != "") || a.Header.Get("Vary") != "Origin" ||
			a.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v %s", path, a.StatusCode, a.Header, a.body)
		}
	}
	for _, origin := range []string{"https://evil.example", "null"} {
		if a := call(origin, "/2/users/me"); a.StatusCode != http.StatusTooManyRequests || a.Header.Get(allowOrigin) != "" {
			t.Errorf("%s: %d %v", origin, a.StatusCode, a.Header)
		}
	}
	if a := ask(t, "OPTIONS", h.public+"/2/tweets", ""); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("what is no preflight: %d", a.StatusCode)
	}
}

// TestARefusedAddressIsAnsweredInTheFormOfTheRoute, and the route does nothing.
func TestARefusedAddressIsAnsweredInTheFormOfTheRoute(t *testing.T) {
	h := build(t, plan{more: rules(t, "address:1/m")})
	ask(t, "GET", h.public+"/oauth/jwks", "")
	for _, path := range []string{"/oauth/authorize", "/oauth/callback?state=x&code=y", "/oauth/extend?ticket=x", "/v1/session/sign-in"} {
		a := ask(t, "GET", h.public+path, "", "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
		if a.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") ||
			a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "<h1>The sign-in did not work</h1>") ||
			!strings.Contains(a.body, "this address") || !strings.Contains(a.body, "limit-reached") {
			t.Errorf("%s: %d %v %s", path, a.StatusCode, a.Header, a.body)
		}
	}
	a := ask(t, "POST", h.public+"/oauth/token", "grant_type=refresh_token&refresh_token=x",
		"Content-Type: application/x-www-form-urlencoded")
	if p := a.json(t); a.StatusCode != http.StatusTooManyRequests || p["error"] != "temporarily_unavailable" ||
		p["type"] != "urn:perch:problem:limit-reached" {
		t.Errorf("the token endpoint: %d %s", a.StatusCode, a.body)
	}
}

// TestXIsRefusedBeforeItRefuses: the 429 is Perch's, and reads like X's.
func TestXIsRefusedBeforeItRefuses(t *testing.T) {
	h := build(t, plan{windows: true})
	for range 75 {
		if a := h.act("GET", "/2/users/me", ""); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	asked := len(h.sim.Ledger())
	a := h.act("GET", "/2/users/me", "")
	reset, err := strconv.ParseInt(a.Header.Get("x-rate-limit-reset"), 10, 64)
	if until := time.Until(time.Unix(reset, 0)); a.StatusCode != 429 || a.json(t)["type"] != "urn:perch:problem:x-rate-limit" ||
		a.Header.Get("x-rate-limit-remaining") != "0" || a.Header.Get("x-rate-limit-limit") != "75" ||
		err != nil || until > 902*time.Second || until < 800*time.Second || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	if more := len(h.sim.Ledger()) - asked; more != 0 {
		t.Errorf("X heard of it %d times", more)
	}
}
