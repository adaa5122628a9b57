package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/apikey"
)

// Who is refused before anybody was let in is in the log, with the address, and
// without what was sent.
func TestRefusalsAreLogged(t *testing.T) {
	h := build(t, plan{})
	_, text, err := h.services.Clients.IssueKey(t.Context(), apikey.Key{App: h.app.ID, Kind: apikey.Secret,
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	must(t, err)
	away := text.Reveal()
	for _, c := range []struct {
		what, level, problem, credential string
		headers                          []string
	}{
		{"an invented key", "INFO", "bad-api-key", "sk_CANARYCANARYCANARYCANARY12", nil},
		{"an invented token", "INFO", "invalid-token", "CANARY.CANARY.CANARY", nil},
		{"a key from elsewhere", "WARN", "key-address-not-allowed", away, nil},
		{"a key in a page", "WARN", "secret-key-in-browser", h.sk, []string{"Sec-Fetch-Site: cross-site"}},
	} {
		before := len(h.log.String())
		ask(t, "GET", h.public+"/2/users/me", "", append(c.headers, "Authorization: Bearer "+c.credential)...)
		got := h.log.String()[before:]
		if !strings.Contains(got, "level="+c.level+" ") || !strings.Contains(got, "problem="+c.problem+" ") ||
			!strings.Contains(got, "address=127.0.0.1 ") || strings.Contains(got, c.credential) {
			t.Errorf("%s: %s", c.what, got)
		}
	}
	before := len(h.log.String())
	if a := ask(t, "GET", h.public+"/2/users/me", "", "Authorization: Bearer "+h.sk); a.StatusCode != http.StatusOK {
		t.Fatal(a.body)
	}
	if got := h.log.String()[before:]; strings.Contains(got, "request refused") {
		t.Errorf("a good request is logged as refused: %s", got)
	}
}

func TestAFloodOfRefusalsIsToldAsANumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notice
		singly := 0
		for range 1000 {
			ok, held := n.singly(time.Now())
			if ok {
				singly++
			}
			if held != 0 {
				t.Errorf("%d were held back before any", held)
			}
		}
		if singly != noticedSingly {
			t.Errorf("%d are told by themselves", singly)
		}
		time.Sleep(noticeSpan)
		if ok, held := n.singly(time.Now()); !ok || held != 1000-noticedSingly {
			t.Errorf("a minute later: %v, %d held back", ok, held)
		}
		if ok, held := n.singly(time.Now()); !ok || held != 0 {
			t.Errorf("then: %v, %d held back", ok, held)
		}
	})
}
