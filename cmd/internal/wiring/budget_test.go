package wiring_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// TestReplicasKeepABudgetTogether: a budget that an operator sets is kept by each
// replica, and what they say was spent is what X billed.
func TestReplicasKeepABudgetTogether(t *testing.T) { lasting(t, replicasKeepABudgetTogether) }

func replicasKeepABudgetTogether(t *testing.T, e environment) {
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	cfg := settings(t, e, at)
	one := open(t, cfg)
	cfg.PublicURL = one.public
	h := pair{one, open(t, cfg)}
	app := one.register(t, pageA, "")
	oneDay()
	grant := one.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	one.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"budget_day": "0.04", "grant_budget_month": "1"})

	first := h[0].act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"one"}`)
	second := h[1].act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"two"}`)
	want(t, http.StatusCreated, first, second)
	if a, b := first.header.Get("Perch-Cost"), second.header.Get("Perch-Cost"); a != "0.015" || b != "0.015" {
		t.Errorf("the posts cost %q and %q", a, b)
	}
	spent := func(sum string) {
		eventually(t, sum+" is spent", func() bool { // what a store is slow to take is written a little later
			return h[1].operator(t, http.StatusOK, "GET", "/admin/v1/usage?by=app", nil).text("budgets.0.spent") == sum
		})
	}
	spent("0.03")
	for i, replica := range h {
		a := replica.act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"three"}`)
		if a.status != http.StatusTooManyRequests || a.problem() != "budget-spent" || a.text("spent") != "0.03" ||
			a.text("period") != "day" || a.header.Get("Retry-After") == "" || a.header.Get("Perch-Cost") != "" {
			t.Errorf("a post too many on replica %d: %d %v %s", i, a.status, a.header, a.body)
		}
	}
	a := h[1].act(t, app.sk, grant, "GET", "/2/users/"+ada, "") // a post does not fit any more, this does
	want(t, http.StatusOK, a)
	spent("0.04")
	if total, _ := x.Billed(); a.header.Get("Perch-Cost") != "0.01" || total.Micros != 40_000 {
		t.Errorf("it cost %q; X billed %d", a.header.Get("Perch-Cost"), total.Micros)
	}
}

// TestARefusalForMoneyTellsWhatItsCallerSeesInUsage: the figures of the
// application are for its unbound keys alone.
func TestARefusalForMoneyTellsWhatItsCallerSeesInUsage(t *testing.T) {
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	h := open(t, settings(t, environments()[0], at))
	app := h.register(t, pageA, "")
	s := h.visit(t, app).signIn(t, ada)
	h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"budget_month": "0.021"})
	want(t, http.StatusCreated, h.act(t, app.sk, s.grant, "POST", "/2/tweets", `{"text":"zero"}`))
	bound := h.operator(t, http.StatusCreated, "POST", "/admin/v1/apps/"+app.id+"/keys", object{"kind": "secret", "grant_id": s.grant})
	for who, v := range map[string]struct {
		key  string
		sees bool
	}{"a key": {app.sk, true}, "a bound key": {bound.text("key"), false}, "a session": {s.access, false}} {
		grant := ""
		if v.sees {
			grant = s.grant
		}
		a := h.act(t, v.key, grant, "POST", "/2/tweets", `{"text":"one"}`)
		if a.problem() != "budget-spent" || a.text("budget") != "application" || a.text("renews") == "" ||
			strings.Contains(a.body, "0.021") != v.sees || strings.Contains(a.body, `"spent"`) != v.sees {
			t.Errorf("%s: %d %s", who, a.status, a.body)
		}
		u := send(t, h.client, "GET", h.public+"/v1/usage", "", "Authorization: Bearer "+v.key)
		if strings.Contains(u.body, "0.021") != v.sees {
			t.Errorf("%s in usage: %d %s", who, u.status, u.body)
		}
	}
}

// TestWhatNeverFitsABudgetIsRefusedForGood: neither now nor later is anybody told to wait.
func TestWhatNeverFitsABudgetIsRefusedForGood(t *testing.T) {
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	h := open(t, settings(t, environments()[0], at))
	app := h.register(t, pageA, "")
	oneDay()
	grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"budget_day": "0.09"})
	for _, more := range [][]string{nil, {"Prefer: respond-async"}} {
		a := h.act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"see a.example.com"}`, more...)
		if a.status != http.StatusForbidden || a.problem() != "budget-too-small" || a.header.Get("Retry-After") != "" ||
			!strings.Contains(a.body, "looks like a link") || strings.Contains(a.body, "0.09") != (more == nil) {
			t.Errorf("%s: %d %v %s", more, a.status, a.header, a.body)
		}
	}
	if total, _ := x.Billed(); total.Micros != 0 {
		t.Errorf("X billed %d", total.Micros)
	}
}
