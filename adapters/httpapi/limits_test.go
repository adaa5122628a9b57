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
