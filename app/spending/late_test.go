package spending_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"perch/app/spending"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

// picky are stores that never take some things.
type picky struct {
	ports.Budgets
	ports.Usage
	mark    string // an ID that cannot be kept
	settle  string // a reservation that cannot be settled
	settled int
}

func (p *picky) First(ctx context.Context, marks []spend.Mark) ([]spend.Mark, error) {
	if slices.ContainsFunc(marks, func(m spend.Mark) bool { return m.ID == p.mark }) {
		return nil, fault.New(fault.Invalid, "bad")
	}
	return p.Usage.First(ctx, marks)
}

func (p *picky) Reserve(ctx context.Context, r spend.Reservation) (bool, error) {
	if p.settle == "" {
		p.settle = r.ID
	}
	return p.Budgets.Reserve(ctx, r)
}

func (p *picky) Settle(ctx context.Context, id string, cost money.Micros) error {
	p.settled++
	if id == p.settle {
		return errors.New("it has a bad day")
	}
	return p.Budgets.Settle(ctx, id, cost)
}

func pick(t *testing.T, budget money.Budget) (*till, *picky) {
	t.Helper()
	h := open(t, budget)
	p := &picky{Budgets: h.store.Budgets(), Usage: h.store.Usage(), settle: "none"}
	h.Service = spending.New(spending.Parts{Budgets: p, Usage: p, Observer: h, Now: h.clock})
	return h, p
}

func (h *till) get(id string) {
	h.t.Helper()
	if _, err := h.do(call(h.t, "getPostsById", "", ""), 200, `{"data":{"id":"`+id+`"}}`, nil); err != nil {
		h.t.Fatal(err)
	}
}

func TestAResourceThatCannotBeKeptHoldsNobodyUp(t *testing.T) {
	for _, budget := range []money.Budget{{}, {Day: money.USD}} {
		h, p := pick(t, budget)
		p.mark = "bad"
		for _, id := range []string{"1", "bad", "2"} {
			h.get(id)
		}
		if got := h.line(); got.Calls != 3 || got.Cost != 15_000 {
			t.Errorf("budget %v: counted %+v", budget, got)
		}
		if st := h.standing(); !budget.None() && (st.Spent != 15_000 || st.Reserved != 0) {
			t.Errorf("the budget stands at %+v", st)
		}
	}
}

func TestAReservationThatCannotBeSettledHoldsNobodyUp(t *testing.T) {
	h, p := pick(t, money.Budget{Day: money.USD})
	p.settle = ""
	h.get("1")
	h.get("2")
	for range 2 {
		if h.Flush(t.Context()) == nil {
			t.Error("nobody is told")
		}
	}
	if st := h.standing(); st.Spent != 5_000 || st.Reserved != 5_000 {
		t.Errorf("meanwhile the budget stands at %+v", st)
	}
	p.settle = "none"
	if got := h.line(); got.Calls != 2 || h.standing().Spent != 10_000 {
		t.Errorf("counted %+v, the budget stands at %+v", got, h.standing())
	}
}

// A flush does not take longer and longer, and memory does not grow.
func TestWhatWaitsForTheStoreHasABound(t *testing.T) {
	h, s := shake(t, money.Budget{Day: 1000 * money.USD})
	c := call(t, "getPostsById", "", "")
	s.lost.Store(true)
	for range 25_000 {
		if _, err := h.Enter(t.Context(), h.who("g"), c); !errors.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
	}
	s.lost.Store(false)
	p := &picky{Budgets: h.store.Budgets(), Usage: s, settle: "none"}
	h.Budgets = p
	if err := h.Flush(t.Context()); err != nil || p.settled != 2_000 {
		t.Errorf("a flush settled %d; %v", p.settled, err)
	}
	if err := h.Finish(t.Context()); err != nil || p.settled != 20_000 {
		t.Errorf("all flushes settled %d; %v", p.settled, err)
	}
}

// What a call cost is counted, also where nothing can wait any more.
func TestWhatCannotWaitIsCountedInFull(t *testing.T) {
	h, s := shake(t, money.Budget{Day: 1000 * money.USD})
	var settles []ports.Settle
	for range 21_000 {
		settle, err := h.Enter(t.Context(), h.who("g"), call(t, "getPostsById", "", ""))
		if err != nil {
			t.Fatal(err)
		}
		settles = append(settles, settle)
	}
	s.down.Store(true)
	for _, settle := range settles {
		settle(t.Context(), &ports.Reply{Status: 200, Whole: []byte(`{"data":{"id":"1"}}`)}, nil)
	}
	s.down.Store(false)
	if err := h.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.line(); got.Calls != 21_000 {
		t.Errorf("counted %+v", got)
	}
	if st := h.standing(); st.Reserved != 1_000*5_000 {
		t.Errorf("the budget stands at %+v", st)
	}
}
