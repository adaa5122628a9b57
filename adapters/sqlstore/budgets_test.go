package sqlstore_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"perch/adapters/memory"
	"perch/domain/client"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

// A purse draws steps of callers that spend from budgets.
type purse struct {
	app   client.AppID // not the same twice
	small money.Budget
	grant money.Budget
}

func drawPurse(t *rapid.T, n int64) purse {
	amount := rapid.SampledFrom([]money.Micros{0, 0, 50, 120, 300})
	return purse{
		app:   client.AppID(fmt.Sprintf("app_%d", n)),
		small: money.Budget{Day: amount.Draw(t, "day"), Month: amount.Draw(t, "month")},
		grant: money.Budget{Day: amount.Draw(t, "grant's day"), Month: amount.Draw(t, "grant's month")},
	}
}

// A step is a reservation, and how it ends: at which part of its cost it is
// settled, and how often. Zero times is a caller that dies.
type step struct {
	spend.Reservation
	part, times int
}

func (p purse) steps(t *rapid.T, what string, n int) []step {
	steps := make([]step, n)
	for i := range steps {
		cost := money.Micros(rapid.IntRange(0, 80).Draw(t, "cost"))
		steps[i] = step{part: rapid.IntRange(0, 4).Draw(t, "part"), times: rapid.IntRange(0, 2).Draw(t, "times")}
		steps[i].Reservation = spend.Reservation{
			ID: fmt.Sprintf("%s_%s_%d", p.app, what, i), App: p.app, Cost: cost,
			Grant: rapid.SampledFrom([]oauth.GrantID{"", "g", "h"}).Draw(t, "grant"),
			Day:   rapid.SampledFrom([]spend.Day{20261126, 20261127, 20261201}).Draw(t, "day"),
			Least: cost / money.Micros(rapid.IntRange(1, 10).Draw(t, "pages")), Budget: p.small, GrantBudget: p.grant,
			Expires: time.Date(2026, 12, 1, 0, i%3, 0, 0, time.UTC),
		}
	}
	return steps
}

// paid is what the step's call has cost.
func (s step) paid() money.Micros { return s.Cost * money.Micros(s.part) / 4 }

func (p purse) accounts() []spend.Account {
	var all []spend.Account
	for _, grant := range []oauth.GrantID{"", "g", "h"} {
		for _, period := range []int64{20261126, 20261127, 20261201, 202611, 202612} {
			all = append(all, spend.Account{App: p.app, Grant: grant, Period: period})
		}
	}
	return all
}

// Whatever is done one after the other, a database stands where memory stands.
func TestBudgetsInADatabaseStandWhereThoseInMemoryDo(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.name == "d1" {
			return // it is SQLite, and slow; the suite of the port runs there
		}
		stores := []ports.Budgets{memory.NewBudgets(memory.NewUsage()), d.fresh(t).Budgets()}
		var runs atomic.Int64
		rapid.Check(t, func(rt *rapid.T) {
			p := drawPurse(rt, runs.Add(1))
			for _, st := range p.steps(rt, "step", rapid.IntRange(1, 6).Draw(rt, "steps")) {
				expire := rapid.IntRange(-8, 3).Draw(rt, "expire")
				var let [2]bool
				for i, s := range stores {
					ok, err := s.Reserve(t.Context(), st.Reservation)
					let[i] = sure(rt, ok, err)
					if expire >= 0 {
						n, err := s.Expire(t.Context(), time.Date(2026, 12, 1, 0, expire, 0, 0, time.UTC))
						sure(rt, n, err)
					}
					for range st.times {
						if err := s.Settle(t.Context(), st.ID, st.paid()); err != nil {
							rt.Fatal(err)
						}
					}
				}
				if let[0] != let[1] {
					rt.Fatalf("memory lets %+v in: %v; the database: %v", st, let[0], let[1])
				}
			}
			want, err := stores[0].Standing(t.Context(), p.accounts())
			got, err2 := stores[1].Standing(t.Context(), p.accounts())
			if d := cmp.Diff(sure(rt, want, err), sure(rt, got, err2)); d != "" {
				rt.Errorf("(-memory +database):\n%s", d)
			}
		})
	})
}

// Whatever callers of two replicas do at once, no budget is passed by more than
// one call, and what was spent is what they paid.
func TestNoInterleavingPassesABudgetByMoreThanOneCall(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.name == "d1" {
			return
		}
		dsn := d.dsn(t)
		stores := []ports.Budgets{d.open(t, dsn).Budgets(), d.open(t, dsn).Budgets()}
		var runs atomic.Int64
		rapid.Check(t, func(rt *rapid.T) {
			p := drawPurse(rt, runs.Add(1))
			var callers [4][]step
			for i := range callers {
				callers[i] = p.steps(rt, fmt.Sprint(i), 2)
			}
			var mu sync.Mutex
			paid, dearest := map[spend.Account]money.Micros{}, map[spend.Account]money.Micros{}
			limits := map[spend.Account]money.Micros{}
			var all sync.WaitGroup
			for i, steps := range callers {
				all.Go(func() {
					for _, st := range steps {
						s := stores[i%2]
						ok, err := s.Reserve(t.Context(), st.Reservation)
						if err != nil {
							t.Error(err)
						}
						if !ok {
							continue
						}
						cost := st.Cost
						for range st.times {
							cost = st.paid()
							if err := s.Settle(t.Context(), st.ID, cost); err != nil {
								t.Error(err)
							}
						}
						mu.Lock()
						for _, a := range st.Accounts() {
							paid[a] += cost
							dearest[a] = max(dearest[a], cost)
						}
						for _, l := range st.Limits() {
							limits[l.Account] = l.Max
						}
						mu.Unlock()
					}
				})
			}
			all.Wait()
			n, err := stores[0].Expire(t.Context(), time.Date(2026, 12, 1, 1, 0, 0, 0, time.UTC))
			sure(rt, n, err)
			standing, err := stores[0].Standing(t.Context(), p.accounts())
			for _, st := range sure(rt, standing, err) {
				if st.Reserved != 0 || st.Spent != paid[st.Account] {
					rt.Errorf("%+v, but its callers paid %d", st, paid[st.Account])
				}
				if limit := limits[st.Account]; limit > 0 && st.Spent > limit+dearest[st.Account] {
					rt.Errorf("%+v passes %d by more than the dearest call, %d", st, limit, dearest[st.Account])
				}
			}
		})
	})
}

// sure returns the value unless there is an error.
func sure[V any](t *rapid.T, v V, err error) V {
	if err != nil {
		t.Fatal(err)
	}
	return v
}
