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

func TestALargerBudgetHasAlertsOfItsOwn(t *testing.T) {
	h := open(t, money.Budget{Day: 10 * cent})
	for _, v := range []struct {
		size  money.Micros
		posts int
		want  []string
	}{
		{10 * cent, 6, []string{"budget.soft.open"}}, {100 * cent, 10, nil}, {100 * cent, 38, []string{"budget.soft.open"}},
		{90 * cent, 6, []string{"budget.hard.open"}}, {100 * cent, 6, nil}, {101 * cent, 1, []string{"budget.soft.open"}},
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
