package conformance

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

// Budgets checks that open's stores keep the Budgets contract.
func Budgets(t *testing.T, open func(*testing.T) ports.Budgets) {
	run(t, open, []check[ports.Budgets]{
		{"what is set aside counts in all four accounts, and what is paid takes its place", budgetsRoundTrip},
		{"a full budget keeps a reservation out of all four", budgetsAllOrNone},
		{"a call whose cost is not known goes alone where it may not fit", budgetsAlone},
		{"what is settled twice is settled once", budgetsTwice},
		{"what has expired counts as spent, until it is settled", budgetsExpired},
		{"what ended long ago is forgotten", budgetsForgotten},
		{"another day and another month begin with nothing", budgetsPeriods},
		{"without a grant only the application's accounts count", budgetsNoGrant},
		{"an alert is told once", budgetsTold},
		{"many at once never pass a budget", budgetsRace},
		{"many who end at once leave nothing set aside", budgetsChurn},
		{"awkward names are only names", budgetsStrange},
		{"a cancelled call is quick", budgetsCancelled},
	})
}

const theDay = spend.Day(20261126)

func reservation(id string, cost money.Micros) spend.Reservation {
	return spend.Reservation{
		ID: id, App: "app", Grant: "grant", Day: theDay, Cost: cost, Least: cost, Expires: fine(10),
		Budget: money.Budget{Day: 100, Month: 1000}, GrantBudget: money.Budget{Day: 100, Month: 1000},
	}
}

func wantReserved(t *testing.T, s ports.Budgets, r spend.Reservation, want bool) {
	t.Helper()
	got, err := s.Reserve(t.Context(), r)
	if must(t, got, err) != want {
		t.Errorf("%s, of %d, is let in: %v, want %v", r.ID, r.Cost, got, want)
	}
}

func standings(t *testing.T, s ports.Budgets, r spend.Reservation) []spend.Standing {
	t.Helper()
	got, err := s.Standing(t.Context(), r.Accounts())
	return must(t, got, err)
}

// wantStanding checks that all accounts of r stand so.
func wantStanding(t *testing.T, s ports.Budgets, r spend.Reservation, reserved, spent, lost money.Micros) {
	t.Helper()
	for i, st := range standings(t, s, r) {
		want := spend.Standing{Account: r.Accounts()[i], Reserved: reserved, Spent: spent, Lost: lost}
		wantSame(t, "how an account stands", st, want)
	}
}

func budgetsRoundTrip(t *testing.T, s ports.Budgets) {
	r := reservation("a", 60)
	wantStanding(t, s, r, 0, 0, 0)
	wantReserved(t, s, r, true)
	wantStanding(t, s, r, 60, 0, 0)
	must(t, true, s.Settle(t.Context(), "a", 25))
	wantStanding(t, s, r, 0, 25, 0)
	wantReserved(t, s, reservation("b", 75), true)
	must(t, true, s.Settle(t.Context(), "b", 80)) // X has the last word
	wantStanding(t, s, r, 0, 105, 0)
	taken := spend.Reservation{ID: "a"}
	wantKind(t, "Reserve with an ID that is taken", drop(s.Reserve(t.Context(), taken)), fault.Conflict)
	wantStanding(t, s, r, 0, 105, 0)
	got, err := s.Standing(t.Context(), nil)
	wantSame(t, "no accounts", must(t, got, err), []spend.Standing{})
}

func budgetsAllOrNone(t *testing.T, s ports.Budgets) {
	for i, edit := range []func(*spend.Reservation){
		func(r *spend.Reservation) { r.Budget.Day = 10 }, func(r *spend.Reservation) { r.Budget.Month = 10 },
		func(r *spend.Reservation) { r.GrantBudget.Day = 10 }, func(r *spend.Reservation) { r.GrantBudget.Month = 10 },
	} {
		r := reservation(numbered("r", i), 11)
		edit(&r)
		wantReserved(t, s, r, false)
		wantStanding(t, s, r, 0, 0, 0)
		r.Cost, r.Least = 10, 10
		wantReserved(t, s, r, true)
		must(t, true, s.Settle(t.Context(), r.ID, 0))
	}
	r := reservation("free", 1<<40)
	r.Budget, r.GrantBudget = money.Budget{}, money.Budget{}
	wantReserved(t, s, r, true)
}

func budgetsAlone(t *testing.T, s ports.Budgets) {
	page := reservation("page", 500)
	page.Least = 5
	wantReserved(t, s, page, true)
	wantReserved(t, s, reservation("other", 5), false)
	again := page
	again.ID = "again"
	wantReserved(t, s, again, false)
	must(t, true, s.Settle(t.Context(), "page", 93))
	wantReserved(t, s, again, true)
	must(t, true, s.Settle(t.Context(), "again", 3))
	again.ID = "third"
	wantReserved(t, s, again, false) // 4 are left
	wantReserved(t, s, reservation("cents", 4), true)
}

func budgetsTwice(t *testing.T, s ports.Budgets) {
	r := reservation("a", 60)
	wantReserved(t, s, r, true)
	for range 3 {
		must(t, true, s.Settle(t.Context(), "a", 25))
	}
	must(t, true, s.Settle(t.Context(), "a", 0))
	must(t, true, s.Settle(t.Context(), "nobody's", 7))
	n, err := s.Expire(t.Context(), at(99))
	wantSame(t, "how many expired", must(t, n, err), 0)
	wantStanding(t, s, r, 0, 25, 0)
}

func budgetsExpired(t *testing.T, s ports.Budgets) {
	a, b := reservation("a", 60), reservation("b", 30)
	b.Expires = at(11)
	wantReserved(t, s, a, true)
	wantReserved(t, s, b, true)
	for _, v := range []struct{ minute, want int }{{9, 0}, {10, 1}, {10, 0}} {
		n, err := s.Expire(t.Context(), at(v.minute))
		wantSame(t, "how many expired", must(t, n, err), v.want)
	}
	wantStanding(t, s, a, 30, 60, 60)
	must(t, true, s.Settle(t.Context(), "b", 1))
	wantStanding(t, s, a, 0, 61, 60)
	must(t, true, s.Settle(t.Context(), "a", 20)) // it was slow, not dead
	must(t, true, s.Settle(t.Context(), "a", 20))
	wantStanding(t, s, a, 0, 21, 0)
}

func budgetsForgotten(t *testing.T, s ports.Budgets) {
	r, old := reservation("a", 60), reservation("b", 60)
	old.Day = 20260831
	for _, r := range []spend.Reservation{r, old} {
		wantReserved(t, s, r, true)
		must(t, true, s.Settle(t.Context(), r.ID, 10))
	}
	must(t, true, drop(s.Expire(t.Context(), at(11))))
	wantKind(t, "Reserve within a day", drop(s.Reserve(t.Context(), r)), fault.Conflict)
	wantStanding(t, s, r, 0, 10, 0)
	wantStanding(t, s, old, 0, 0, 0)
	must(t, true, drop(s.Expire(t.Context(), at(11).Add(24*time.Hour))))
	wantReserved(t, s, r, true)
	wantStanding(t, s, r, 60, 10, 0)
}

func budgetsPeriods(t *testing.T, s ports.Budgets) {
	wantReserved(t, s, reservation("a", 100), true)
	next := reservation("b", 100)
	wantReserved(t, s, next, false)
	next.Day = 20261127
	next.Budget.Month = 150
	wantReserved(t, s, next, false)
	next.Day = 20261201
	wantReserved(t, s, next, true)
	other := reservation("c", 100)
	other.App = "other"
	wantReserved(t, s, other, true)
}

func budgetsNoGrant(t *testing.T, s ports.Budgets) {
	r := reservation("a", 60)
	r.Grant, r.GrantBudget = "", money.Budget{Day: 1}
	wantReserved(t, s, r, true)
	wantStanding(t, s, r, 60, 0, 0)
	must(t, true, s.Settle(t.Context(), "a", 50))
	wantStanding(t, s, r, 0, 50, 0)
	wantReserved(t, s, reservation("b", 51), false)
}

func budgetsTold(t *testing.T, s ports.Budgets) {
	r := reservation("a", 60)
	small, large := spend.Limit{Account: r.Accounts()[0], Max: 100}, spend.Limit{Account: r.Accounts()[0], Max: 200}
	tell := func(l spend.Limit, percent int64, want bool) {
		t.Helper()
		told, err := s.Tell(t.Context(), l, percent)
		wantSame(t, "whether this one is the first to tell", must(t, told, err), want)
	}
	tell(small, 80, false) // of nothing
	wantReserved(t, s, r, true)
	n := 0
	for _, first := range race(10, func(int) bool { told, _ := s.Tell(t.Context(), small, 80); return told }) {
		if first {
			n++
		}
	}
	wantSame(t, "how many were the first to tell", n, 1)
	tell(small, 80, false)
	tell(small, 100, true)
	tell(small, 80, false)
	tell(large, 80, true)
	tell(large, 80, false)
	tell(small, 80, false)
	tell(large, 100, true)
	tell(large, 80, false)
	st := standings(t, s, r)[0]
	wantSame(t, "what was told", []int64{st.Told, int64(st.ToldFor)}, []int64{100, 200})
}

func budgetsRace(t *testing.T, s ports.Budgets) {
	won := 0
	for _, ok := range race(60, func(i int) bool {
		ok, err := s.Reserve(t.Context(), reservation(numbered("r", i), 7))
		if err != nil {
			t.Error(err)
		}
		return ok
	}) {
		if ok {
			won++
		}
	}
	if won != 14 {
		t.Errorf("%d of 7 were let into 100, want 14", won)
	}
	wantStanding(t, s, reservation("", 0), 98, 0, 0)
}

// budgetsChurn lets callers of two applications and three grants reserve, settle,
// settle again and die at random, with pages among them.
func budgetsChurn(t *testing.T, s ports.Budgets) {
	const limit = 900
	spent := race(12, func(who int) map[client.AppID]money.Micros {
		own := map[client.AppID]money.Micros{}
		dice := rand.New(rand.NewPCG(uint64(who), 7)) // #nosec G115 G404 -- the same steps each time
		for i := range 15 {
			r := reservation(numbered(numbered("w", who), i), money.Micros(dice.IntN(90)))
			r.App = client.AppID(numbered("app", dice.IntN(2)))
			r.Grant = oauth.GrantID(numbered("g", dice.IntN(3)))
			r.Budget, r.GrantBudget = money.Budget{Day: limit}, money.Budget{Month: 700}
			ok, err := s.Reserve(t.Context(), r)
			switch {
			case err != nil:
				t.Error(err)
			case ok && dice.IntN(8) == 0:
				own[r.App] += r.Cost // it dies
			case ok:
				cost := money.Micros(dice.Int64N(int64(r.Cost) + 1))
				for range 1 + dice.IntN(2) {
					if err := s.Settle(t.Context(), r.ID, cost); err != nil {
						t.Error(err)
					}
				}
				own[r.App] += cost
			}
			if dice.IntN(10) == 0 {
				if _, err := s.Expire(t.Context(), at(11)); err != nil {
					t.Error(err)
				}
			}
		}
		return own
	})
	must(t, true, drop(s.Expire(t.Context(), at(11))))
	for _, app := range []client.AppID{"app000", "app001"} {
		var want money.Micros
		for _, own := range spent {
			want += own[app]
		}
		got, err := s.Standing(t.Context(), []spend.Account{{App: app, Period: int64(theDay)}})
		if st := must(t, got, err)[0]; st.Reserved != 0 || st.Spent != want || want > limit {
			t.Errorf("%s stands at %+v; its callers count %d", app, st, want)
		}
	}
}

func budgetsStrange(t *testing.T, s ports.Budgets) {
	for _, name := range append(strange(), unkept()...) {
		r := reservation(name, 60)
		r.App, r.Grant = client.AppID(name), oauth.GrantID(name)
		if ok, err := s.Reserve(t.Context(), r); err != nil {
			wantKind(t, "Reserve with text no database holds", err, fault.Invalid)
			must(t, true, s.Settle(t.Context(), name, 1))
			must(t, true, drop(s.Tell(t.Context(), spend.Limit{Account: r.Accounts()[0], Max: 100}, 80)))
			wantStanding(t, s, r, 0, 0, 0)
			continue
		} else if !ok {
			t.Errorf("%q is kept out", name)
		}
		must(t, true, s.Settle(t.Context(), name, 59))
		wantStanding(t, s, r, 0, 59, 0)
	}
}

func budgetsCancelled(t *testing.T, s ports.Budgets) {
	r := reservation("a", 60)
	quick(t, map[string]func(context.Context) error{
		"Reserve":  func(ctx context.Context) error { return drop(s.Reserve(ctx, r)) },
		"Settle":   func(ctx context.Context) error { return s.Settle(ctx, "a", 1) },
		"Expire":   func(ctx context.Context) error { return drop(s.Expire(ctx, at(99))) },
		"Standing": func(ctx context.Context) error { return drop(s.Standing(ctx, r.Accounts())) },
		"Tell":     func(ctx context.Context) error { return drop(s.Tell(ctx, spend.Limit{Account: r.Accounts()[0]}, 80)) },
	})
	wantStanding(t, s, r, 0, 0, 0)
}
