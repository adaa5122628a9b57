package wiring_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/money"
)

// TestUsageIsWhatXBills: after sign-ins, imports and calls what Perch says was
// spent is X's bill, also where a budget is spent and users go on to sign in.
func TestUsageIsWhatXBills(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		app, free := h.register(t, pageA, ""), h.register(t, pageB, "")

		s := h.visit(t, app).signIn(t, ada)
		billed(t, h, x, app, 10_000)
		h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"budget_month": "0.035", "grant_budget_month": "1"})
		billed(t, h, x, app, 10_000)
		want(t, http.StatusCreated, h.act(t, app.sk, s.grant, "POST", "/2/tweets", `{"text":"one"}`))
		billed(t, h, x, app, 25_000)
		want(t, http.StatusOK, h.act(t, app.sk, s.grant, "GET", "/2/users/me", "")) // free: had at the sign-in
		h.visit(t, app).signIn(t, ada)
		billed(t, h, x, app, 25_000)
		hers := h.take(t, app, issue(t, x, "sim-client", grace))
		billed(t, h, x, app, 35_000)
		h.visit(t, free).signIn(t, grace) // who is known at X already
		billed(t, h, x, app, 35_000)

		want(t, http.StatusTooManyRequests, h.act(t, app.sk, hers, "POST", "/2/tweets", `{"text":"two"}`))
		third := x.Users()[2].ID
		h.visit(t, app).signIn(t, third)
		billed(t, h, x, app, 45_000)

		a := h.operator(t, http.StatusOK, "GET", "/admin/v1/usage?by=grant&app="+app.id, nil)
		for _, grant := range []string{s.grant, hers} {
			if !strings.Contains(a.body, `"grant_id":"`+grant+`"`) {
				t.Errorf("no line of the grant %s: %s", grant, a.body)
			}
		}
		if strings.Contains(a.body, `"grant_id":""`) {
			t.Errorf("a line of no grant: %s", a.body)
		}
	})
}

// billed compares X's bill, which is that much at least and more where a day ends
// on the way, with the usage of all and with what is spent of the application's
// budget, if it has one: all of the bill is the application's.
func billed(t *testing.T, h *house, x *xsim.Sim, app tenant, micros int64) {
	t.Helper()
	total, _ := x.Billed()
	want := money.Micros(total.Micros).String()
	var says []string
	defer func() {
		if t.Failed() {
			t.Logf("X billed %s; the usage of all, the application's and its budget say %v", want, says)
		}
	}()
	// A report has what is counted written down at most once a second.
	eventually(t, "usage is what X billed", func() bool {
		all := h.operator(t, http.StatusOK, "GET", "/admin/v1/usage?by=", nil)
		own := h.operator(t, http.StatusOK, "GET", "/admin/v1/usage?by=&app="+app.id, nil)
		says = []string{all.text("total.cost"), own.text("total.cost")}
		if own.field("budgets.0") != nil {
			says = append(says, own.text("budgets.0.spent"))
		}
		return !slices.ContainsFunc(says, func(s string) bool { return s != want })
	})
	if total.Micros < micros {
		t.Errorf("X billed %d, want %d", total.Micros, micros)
	}
}

// take imports tokens without saying whose they are.
func (h *house) take(t *testing.T, to tenant, token xsim.Token) string {
	t.Helper()
	return h.operator(t, http.StatusCreated, "POST", "/admin/v1/grants/import", object{
		"app_id": to.id, "access_token": token.Access, "refresh_token": token.Refresh, "scope": token.Scope,
		"expires_at": time.Now().Add(time.Hour),
	}).text("id")
}
