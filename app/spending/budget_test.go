package spending_test

import (
	"errors"
	"strings"
	"testing"

	"perch/domain/fault"
	"perch/domain/money"
	"perch/ports"
)

// A call for which all of a budget is too little is not told to wait.
func TestACallThatNeverFitsIsNotToldToWait(t *testing.T) {
	link := `{"text":"see https://a.example/x"}`
	for name, v := range map[string]struct {
		app, grant money.Budget
		action     string
		body       string
		sees       bool
		says       []string // in the sentence; none: it is let in
	}{
		"a post with a link": {
			app: money.Budget{Day: 9 * cent}, action: "createPosts", body: link, sees: true,
			says: []string{"0.20 USD, for what looks like a link", "application's budget for the day is 0.09", "change --budget-day"},
		},
		"for whom the application's size is a secret": {
			app: money.Budget{Month: 9 * cent}, action: "createPosts", body: link, says: []string{"month is less", " --budget-month"},
		},
		"of a grant": {
			app: money.Budget{Day: money.USD}, grant: money.Budget{Month: cent}, action: "createPosts", body: `{"text":"a"}`,
			says: []string{"0.015 USD, and", "grant's budget for the month is 0.01", "--grant-budget-month"},
		},
		"a read at least":         {app: money.Budget{Day: 4_000}, action: "getUsersPosts", sees: true, says: []string{"at least 0.005"}},
		"a page that may be long": {app: money.Budget{Day: 5_000}, action: "getUsersPosts"},
		"a post that just fits":   {app: money.Budget{Day: 20 * cent}, action: "createPosts", body: link},
	} {
		h := open(t, v.app)
		h.app.GrantBudget = v.grant
		who := h.who("g")
		who.AllUse = v.sees
		_, err := h.Enter(t.Context(), who, call(t, v.action, "", v.body))
		if fits := h.Fits(who, call(t, v.action, "", v.body)); (fits == nil) != (err == nil) {
			t.Errorf("%s: before %v, then %v", name, fits, err)
		}
		if v.says == nil {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Forbidden || f.Slug != "budget-too-small" || f.Wait != 0 {
			t.Fatalf("%s: %#v", name, err)
		}
		for _, s := range v.says {
			if !strings.Contains(f.Say, s) {
				t.Errorf("%s: %q does not say %q", name, f.Say, s)
			}
		}
		if hidden := !v.sees && v.grant.None(); (f.Extra["size"] == "") != hidden || hidden && strings.Contains(f.Say, "0.09") {
			t.Errorf("%s: it is told %v: %s", name, f.Extra, f.Say)
		}
	}
}

// What was accepted before the budget was made too small waits for a larger one.
func TestADeliveryThatDoesNotFitWaits(t *testing.T) {
	h := open(t, money.Budget{Day: 9 * cent})
	who := h.who("g")
	who.Delivery = "dlv_1"
	_, err := h.Enter(t.Context(), who, call(t, "createPosts", "", `{"text":"see a.example.com"}`))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Slug != "budget-spent" || f.Kind != fault.Limited || f.Wait <= 0 {
		t.Errorf("got %v", err)
	}
}

func TestARefusalForMoneySaysThatALinkIsDear(t *testing.T) {
	h := open(t, money.Budget{Day: 21 * cent})
	h.post("g")
	_, err := h.do(call(t, "createPosts", "", `{"text":"see a.example.com"}`), 201, "", nil)
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Slug != "budget-spent" || !strings.Contains(f.Say, "0.20 USD, for what looks like a link in it; wait") {
		t.Errorf("got %v", err)
	}
	if _, err := h.Enter(t.Context(), ports.Caller{App: h.app}, call(t, "createPosts", "", `{"text":"a"}`)); err != nil {
		t.Errorf("one without: %v", err)
	}
}
