package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/domain/quota"
	"perch/ports"
)

// A toll book is a store of counts that knows how often it was asked.
type tollBook struct {
	ports.QuotaStore
	asked atomic.Int64
}

func (b *tollBook) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	b.asked.Add(1)
	return b.QuotaStore.Spend(ctx, at, charges)
}

// TestRefusalsAndErrorsSayWhatIsLeft of what counted the call, each once, and ask
// the store no more for that.
func TestRefusalsAndErrorsSayWhatIsLeft(t *testing.T) {
	const of, key = `"address/m";r=999;t=`, `"key/h";r=`
	webPage := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("X-Rate-Limit-Remaining", "7")
		w.WriteHeader(http.StatusBadGateway)
	})
	for name, c := range map[string]struct {
		x      http.Handler
		rule   string
		method string
		path   string
		header []string
		status int
		slug   string
		left   []string
		asked  int64
	}{
		"a web page of X": {
			x: webPage, path: "/2/users/me", status: 502, slug: "x-page", left: []string{key + "99;t=", of}, asked: 2,
		},
		"our limit": {
			rule: "key:1/h", path: "/2/users/me", status: 429, slug: "limit-reached", left: []string{key + "0;t=", of}, asked: 2,
		},
		"a wrong key": {
			path: "/2/users/me", header: []string{"Authorization: Bearer sk_wrong"}, status: 401, left: []string{of}, asked: 1,
		},
		"no such action": {path: "/2/nothing", status: 404, slug: "no-such-action", left: []string{of}, asked: 1},
		"a bad key of a write": {
			method: "POST", path: "/2/tweets", header: []string{"Idempotency-Key: ü"}, status: 400, left: []string{of}, asked: 1,
		},
		"a call for later": {
			method: "POST", path: "/2/tweets", header: []string{later, `Idempotency-Key: "k"`}, status: 202, left: []string{of},
			asked: 1,
		},
		"nothing of X": {path: "/v1/grants", status: 200, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.NewQuota()
			t.Cleanup(func() { must(t, store.Close()) })
			book := &tollBook{QuotaStore: store}
			if c.rule == "" {
				c.rule = "key:100/h"
			}
			h := build(t, plan{x: c.x, more: rules(t, c.rule, "address:1000/m"), quotas: book})
			if c.rule == "key:1/h" {
				h.act("GET", c.path, "")
				for i, of := range c.left {
					c.left[i] = strings.Replace(of, "r=999", "r=998", 1)
				}
			}
			book.asked.Store(0)
			body := ""
			if c.method == "" {
				c.method = "GET"
			} else {
				body = `{"text":"x"}`
			}
			a := h.act(c.method, c.path, body, c.header...)
			if a.StatusCode != c.status || !strings.Contains(a.body, c.slug) {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			left, policies := a.Header.Values("RateLimit"), a.Header.Values("RateLimit-Policy")
			match := func(got, want string) bool { return strings.HasPrefix(got, want) }
			if !slices.EqualFunc(left, c.left, match) || len(policies) != len(c.left) {
				t.Errorf("RateLimit: %q, RateLimit-Policy: %q, want %q", left, policies, c.left)
			}
			if n := book.asked.Load(); n != c.asked {
				t.Errorf("the store was asked %d times, want %d", n, c.asked)
			}
			if got := a.Header.Get("X-Rate-Limit-Remaining"); c.x != nil && got != "7" {
				t.Errorf("of X's window %q are left", got)
			}
		})
	}
}

// TestARefusalByXsWindowSaysWhatIsLeftOfOurs: and of the window itself.
func TestARefusalByXsWindowSaysWhatIsLeftOfOurs(t *testing.T) {
	h := build(t, plan{more: rules(t, "key:100/h", "address:1000/m"), windows: true})
	for range 75 {
		h.act("GET", "/2/users/me", "")
	}
	a := h.act("GET", "/2/users/me", "")
	left := a.Header.Values("RateLimit")
	if a.StatusCode != 429 || a.json(t)["type"] != "urn:perch:problem:x-rate-limit" || len(left) != 2 ||
		!strings.HasPrefix(left[0], `"key/h";r=25;t=`) || !strings.HasPrefix(left[1], `"address/m";r=924;t=`) ||
		len(a.Header.Values("RateLimit-Policy")) != 2 || a.Header.Get("X-Rate-Limit-Remaining") != "0" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}
