package spending_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/app/spending"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

func TestABudgetsAlertsAreGivenOnceInItsPeriod(t *testing.T) {
	h := open(t, money.Budget{Day: 10 * cent})
	var verbs []string
	step := func(posts int) {
		t.Helper()
		for range posts {
			_, _ = h.do(call(t, "createPosts", "", `{"text":"a"}`), 201, `{"data":{"id":"1"}}`, nil)
		}
		for range 2 {
			h.line()
		}
		verbs = nil
		for _, e := range h.events {
			if e.Target != "app_1" || strings.HasSuffix(e.Verb, ".open") != (e.Outcome == audit.Failed && e.Err != nil) {
				t.Errorf("odd event %+v", e)
			}
			verbs = append(verbs, e.Verb)
		}
	}
	step(5)
	if len(verbs) != 0 {
		t.Errorf("at 75%%: %v", verbs)
	}
	step(1)
	if !slices.Equal(verbs, []string{"budget.soft.open"}) {
		t.Errorf("at 90%%: %v", verbs)
	}
	step(3)
	if !slices.Equal(verbs, []string{"budget.soft.open", "budget.hard.open"}) {
		t.Errorf("when it is spent: %v", verbs)
	}
	h.now = h.now.Add(24 * time.Hour)
	step(1)
	slices.Sort(verbs)
	if !slices.Equal(verbs, []string{"budget.hard.close", "budget.hard.open", "budget.soft.close", "budget.soft.open"}) {
		t.Errorf("on the next day: %v", verbs)
	}
}

// deaf are budgets that fail at the end of what they are asked, some times.
type deaf struct {
	ports.Budgets
	standings, tells int
}

func (d *deaf) Standing(ctx context.Context, a []spend.Account) ([]spend.Standing, error) {
	st, err := d.Budgets.Standing(ctx, a)
	if d.standings--; d.standings >= 0 {
		return nil, errors.New("no answer")
	}
	return st, err
}

func (d *deaf) Tell(ctx context.Context, l spend.Limit, percent int64) (bool, error) {
	first, err := d.Budgets.Tell(ctx, l, percent)
	if d.tells--; d.tells >= 0 {
		return false, errors.New("no answer")
	}
	return first, err
}

// verbs are those of the events, of which nothing is known afterwards.
func (h *till) verbs() (verbs []string) {
	for _, e := range h.events {
		verbs = append(verbs, e.Verb)
	}
	h.events = nil
	return verbs
}

func TestNoAlertIsLostWhereTheStoreFails(t *testing.T) {
	h := open(t, money.Budget{Day: 10 * cent})
	d := &deaf{Budgets: h.store.Budgets()}
	h.Service = spending.New(spending.Parts{Budgets: d, Usage: h.store.Usage(), Observer: h, Now: h.clock})
	for range 6 {
		h.post("g")
	}
	if _, err := h.do(call(t, "createPosts", "", `{"text":"a"}`), 201, "", nil); err == nil {
		t.Fatal("a call too many is let in")
	}
	d.standings, d.tells = 1, 2
	for range 3 {
		if h.Flush(t.Context()) == nil {
			t.Error("nobody is told of the trouble")
		}
	}
	h.line()
	if got := h.verbs(); !slices.Equal(got, []string{"budget.soft.open", "budget.hard.open"}) {
		t.Errorf("got %v", got)
	}
}

func TestALargerBudgetEndsTheAlertsThatItHasRoomFor(t *testing.T) {
	h := open(t, money.Budget{Day: 10 * cent})
	for _, v := range []struct {
		size  money.Micros
		posts int
		want  []string
	}{
		{10 * cent, 6, []string{"budget.soft.open"}}, {100 * cent, 10, []string{"budget.soft.close"}}, {100 * cent, 38, []string{"budget.soft.open"}},
		{90 * cent, 6, []string{"budget.hard.open"}}, {100 * cent, 6, []string{"budget.hard.close"}}, {101 * cent, 1, nil},
	} {
		h.app.Budget.Day = v.size
		for range v.posts {
			h.post("g")
		}
		for range 3 {
			h.line()
		}
		if got := h.verbs(); !slices.Equal(got, v.want) {
			t.Errorf("%s and %d posts more: %v, want %v", v.size, v.posts, got, v.want)
		}
	}
}

// What a budget has no room for is told as it is: others may still fit.
func TestAnAlertSaysWhichCallWasRefused(t *testing.T) {
	h := open(t, money.Budget{Day: 30 * cent})
	link := call(t, "createPosts", "", `{"text":"see example.com"}`)
	refused := func() {
		t.Helper()
		if _, err := h.do(link, 201, "", nil); err == nil {
			t.Fatal("a call too many is let in")
		}
		h.line()
	}
	says := func(verb, text string) {
		t.Helper()
		if len(h.events) != 1 || h.events[0].Verb != verb || !strings.HasPrefix(h.events[0].Err.Error(), text) {
			t.Errorf("want %s: %s; got %+v", verb, text, h.events)
		}
		h.events = nil
	}
	for range 10 {
		h.post("g")
	}
	refused()
	if got := h.verbs(); len(got) != 0 { // most is left
		t.Errorf("at 50%%: %v", got)
	}
	for range 7 {
		h.post("g")
	}
	h.line()
	says("budget.soft.open", "the application's budget of 0.30 USD for the day is mostly spent: 0.255 USD so far.")
	refused()
	says("budget.hard.open", "a call that may cost 0.20 USD was refused: of the application's budget of 0.30 USD for the day, "+
		"0.255 USD are spent or set aside.")
	refused()
	if got := h.verbs(); len(got) != 0 {
		t.Errorf("once more: %v", got)
	}
}

func (h *till) Get(_ context.Context, id client.AppID) (client.App, error) {
	if h.app.ID != id {
		return client.App{}, fault.New(fault.NotFound, "gone")
	}
	return h.app, nil
}

// Nobody has to call for it to be noticed, and one of the replicas tells it.
func TestAnAlertIsOverWhenItsBudgetHasRoomAgain(t *testing.T) {
	ends := []string{"budget.hard.close", "budget.soft.close"}
	for name, v := range map[string]struct {
		change func(h *till)
		want   []string
	}{
		"nothing happens":         {func(*till) {}, nil},
		"it is a little larger":   {func(h *till) { h.app.Budget.Day += cent }, []string{"budget.hard.close"}},
		"it is smaller":           {func(h *till) { h.app.Budget.Day -= cent }, nil},
		"it is larger":            {func(h *till) { h.app.Budget.Day = money.USD }, ends},
		"it is taken away":        {func(h *till) { h.app.Budget.Day = 0 }, ends},
		"the application is gone": {func(h *till) { h.app.ID = "app_2" }, ends},
		"it renews":               {func(h *till) { h.now = h.now.Add(12 * time.Hour) }, ends},
	} {
		h := open(t, money.Budget{Day: 9 * cent})
		h.app.GrantBudget = money.Budget{Month: money.USD} // in which nothing happens
		other := spending.New(spending.Parts{
			Budgets: h.store.Budgets(), Usage: h.store.Usage(), Apps: h, Observer: h, Now: h.clock,
		})
		for range 6 {
			h.post("g")
		}
		h.line()
		if got := h.verbs(); !slices.Equal(got, []string{"budget.soft.open", "budget.hard.open"}) {
			t.Errorf("%s: before, %v", name, got)
		}
		v.change(h)
		h.now = h.now.Add(10 * time.Second)
		for range 2 {
			h.line()
			if err := other.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got := h.verbs(); !slices.Equal(got, v.want) {
			t.Errorf("%s: got %v, want %v", name, got, v.want)
		}
	}
}

// Whoever notices a larger budget tells it, also if another replica gave the alert.
func TestAnAlertOfAnotherReplicaIsTakenBackOnce(t *testing.T) {
	h := open(t, money.Budget{Day: 9 * cent})
	first := h.Service
	for range 6 {
		h.post("g")
	}
	h.line()
	h.verbs()
	h.app.Budget.Day = money.USD
	h.Service = spending.New(spending.Parts{
		Budgets: h.store.Budgets(), Usage: h.store.Usage(), Apps: h, Observer: h, Now: h.clock,
	})
	h.post("g")
	h.line()
	if got := h.verbs(); !slices.Equal(got, []string{"budget.hard.close", "budget.soft.close"}) {
		t.Errorf("got %v", got)
	}
	h.now = h.now.Add(10 * time.Second)
	if err := first.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if got := h.verbs(); len(got) != 0 {
		t.Errorf("told again: %v", got)
	}
	h.app.Budget.Day = 14 * cent
	h.Service = first
	h.post("g")
	h.line()
	if got := h.verbs(); !slices.Equal(got, []string{"budget.soft.open"}) {
		t.Errorf("when it is small again: %v", got)
	}
}

// A call began under a smaller budget and ends under a larger one, of which nothing
// is to be told.
func TestACallOfASmallerBudgetGivesNoAlertOfIt(t *testing.T) {
	h := open(t, money.Budget{Day: 11 * cent})
	settle, err := h.Enter(t.Context(), h.who("g"), call(t, "createPosts", "", `{"text":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		h.post("g")
	}
	h.line()
	h.app.Budget.Day = 100 * cent
	h.now = h.now.Add(10 * time.Second)
	h.line()
	if got := h.verbs(); !slices.Equal(got, []string{"budget.soft.open", "budget.soft.close"}) {
		t.Fatalf("when it was raised: %v", got)
	}
	settle(t.Context(), &ports.Reply{Status: 201, Whole: []byte(`{"data":{"id":"1"}}`)}, nil)
	h.now = h.now.Add(10 * time.Second)
	for range 2 {
		h.line()
	}
	if got := h.verbs(); len(got) > 0 {
		t.Errorf("when the call ended: %v", got)
	}
}
