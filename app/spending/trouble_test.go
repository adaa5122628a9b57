package spending_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/app/spending"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

// shaky are stores that fail while they are down. Where the answer is lost, what
// was asked is done all the same.
type shaky struct {
	ports.Budgets
	ports.Usage
	down, lost atomic.Bool
}

func (s *shaky) fails(do func() error) error {
	if s.down.Load() {
		return fault.New(fault.Unavailable, "down")
	}
	err := do()
	if s.lost.Load() {
		return fault.New(fault.Unavailable, "lost")
	}
	return err
}

func (s *shaky) Reserve(ctx context.Context, r spend.Reservation) (ok bool, err error) {
	err = s.fails(func() (err error) { ok, err = s.Budgets.Reserve(ctx, r); return err })
	return ok, err
}

func (s *shaky) Settle(ctx context.Context, id string, cost money.Micros) error {
	return s.fails(func() error { return s.Budgets.Settle(ctx, id, cost) })
}

func (s *shaky) First(ctx context.Context, m []spend.Mark) (first []spend.Mark, err error) {
	err = s.fails(func() (err error) { first, err = s.Usage.First(ctx, m); return err })
	return first, err
}

func (s *shaky) Keep(ctx context.Context, writer string, lines []spend.Line) error {
	return s.fails(func() error { return s.Usage.Keep(ctx, writer, lines) })
}

func shake(t *testing.T, budget money.Budget) (*till, *shaky) {
	t.Helper()
	h := open(t, budget)
	s := &shaky{Budgets: h.store.Budgets(), Usage: h.store.Usage()}
	h.Service = spending.New(spending.Parts{Budgets: s, Usage: s, Observer: h, Now: func() time.Time { return h.now }})
	return h, s
}

func TestWhatTheStoreDidNotTakeIsWrittenLater(t *testing.T) {
	for _, budget := range []money.Budget{{}, {Day: money.USD}} {
		for _, lost := range []bool{false, true} {
			h, s := shake(t, budget)
			trouble := &s.down
			if lost {
				trouble = &s.lost
			}
			for _, v := range []struct{ action, reply string }{
				{"getPostsById", `{"data":{"id":"1"}}`}, {"getPostsById", `{"data":{"id":"1"}}`}, {"createPosts", `{"data":{"id":"2"}}`},
			} {
				settle, err := h.Enter(t.Context(), h.who("g"), call(t, v.action, "", `{"text":"a"}`))
				if err != nil {
					t.Fatal(err)
				}
				trouble.Store(true)
				settle(t.Context(), &ports.Reply{Status: 200, Whole: []byte(v.reply)}, nil)
				if h.Flush(t.Context()) == nil {
					t.Error("nobody is told")
				}
				trouble.Store(false)
			}
			if got := h.line(); got.Calls != 3 || got.Cost != 20_000 {
				t.Errorf("budget %v, lost %v: counted %+v", budget, lost, got)
			}
			if st := h.standing(); !budget.None() && (st.Spent != 20_000 || st.Reserved != 0) {
				t.Errorf("budget %v, lost %v: the budget stands at %+v", budget, lost, st)
			}
		}
	}
}

// Nothing is spent of a budget that nobody can look at; a reservation that may
// have been made is given back.
func TestWithoutItsStoreABudgetLetsNobodyIn(t *testing.T) {
	h, s := shake(t, money.Budget{Day: money.USD})
	s.lost.Store(true)
	_, err := h.Enter(t.Context(), h.who("g"), call(t, "getPostsById", "", ""))
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if st := h.standing(); st.Reserved != 5_000 {
		t.Errorf("the lost reservation is not there: %+v", st)
	}
	s.lost.Store(false)
	h.line()
	if st := h.standing(); st.Reserved != 0 || st.Spent != 0 {
		t.Errorf("the budget stands at %+v", st)
	}
}

// A replica dies between reserving and settling: X may have billed the call.
func TestACallWhoseReplicaDiedCountsAsSpent(t *testing.T) {
	h := open(t, money.Budget{Day: 2 * cent})
	if _, err := h.Enter(t.Context(), h.who("g"), call(t, "createPosts", "", `{"text":"a"}`)); err != nil {
		t.Fatal(err)
	}
	for want, minutes := range []time.Duration{9, 10} {
		n, err := h.store.Budgets().Expire(t.Context(), h.now.Add(minutes*time.Minute))
		if n != want || err != nil {
			t.Errorf("after %d minutes %d expired, want %d; %v", minutes, n, want, err)
		}
	}
	if st := h.standing(); st.Spent != 15_000 || st.Lost != 15_000 || st.Reserved != 0 {
		t.Errorf("the budget stands at %+v", st)
	}
	if _, err := h.do(call(t, "createPosts", "", `{"text":"b"}`), 201, `{"data":{"id":"1"}}`, nil); fault.SlugOf(err) != "budget-spent" {
		t.Errorf("another call: %v", err)
	}
}

// Where the store stays away, calls are counted in full rather than forgotten,
// and memory does not grow with them.
func TestNoMoneyIsForgottenWhileTheStoreIsAway(t *testing.T) {
	h, s := shake(t, money.Budget{})
	s.down.Store(true)
	const calls = 25_000
	for i := range calls {
		body := []byte(`{"data":{"id":"` + time.Duration(i).String() + `"}}`)
		settle, err := h.Enter(t.Context(), h.who("g"), call(t, "getPostsById", "", ""))
		if err != nil {
			t.Fatal(err)
		}
		settle(t.Context(), &ports.Reply{Status: 200, Whole: body}, nil)
	}
	s.down.Store(false)
	if err := h.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.line(); got.Calls != calls || got.Cost != calls*5_000 {
		t.Errorf("counted %+v", got)
	}
}

func TestUsageIsCountedOnceWhoeverWrites(t *testing.T) {
	store := memory.NewUsage()
	h := open(t, money.Budget{})
	for range 3 {
		replica := spending.New(spending.Parts{
			Budgets: h.store.Budgets(), Usage: store, Observer: h, Now: func() time.Time { return h.now },
		})
		for range 5 {
			settle, err := replica.Enter(t.Context(), h.who("g"), call(t, "createPosts", "", `{"text":"a"}`))
			if err != nil {
				t.Fatal(err)
			}
			settle(t.Context(), &ports.Reply{Status: 201, Whole: []byte(`{"data":{"id":"1"}}`)}, nil)
			if err := errors.Join(replica.Flush(t.Context()), replica.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
	}
	lines, err := store.List(t.Context(), spend.Query{To: 99991231, Most: 9, By: spend.By{Action: true, Grant: true}})
	if err != nil || len(lines) != 1 || lines[0].Calls != 15 || lines[0].Cost != 15*15_000 || lines[0].Grant != "g" {
		t.Errorf("%+v, %v", lines, err)
	}
}
