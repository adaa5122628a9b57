package conformance

import (
	"testing"

	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

// Money is budgets beside the usage that they begin with.
type Money interface {
	Budgets() ports.Budgets
	Usage() ports.Usage
}

// Beginnings checks what budgets of open's stores begin with.
func Beginnings(t *testing.T, open func(*testing.T) Money) {
	run(t, open, []check[Money]{
		{"a budget begins with the usage of its period", budgetsBegin},
		{"what is written down later is not counted again", budgetsBeginOnce},
		{"a budget that others have spent keeps the first call out", budgetsBeginSpent},
	})
}

// used keeps usage of days around theDay and of others: 1 + 2 + 4 of the
// application on the day, 8 and 16 more in the month; 1, and 8, of the grant.
func used(t *testing.T, m Money) {
	t.Helper()
	must(t, true, m.Usage().Keep(t.Context(), "w", []spend.Line{
		line(theDay, "app", "grant", "a", 1), line(theDay, "app", "other", "a", 2), line(theDay, "app", "", "b", 4),
		line(20261101, "app", "grant", "a", 8), line(20261130, "app", "other", "a", 16),
		line(20261031, "app", "grant", "a", 32), line(20261201, "app", "grant", "a", 64),
		line(theDay, "another", "grant", "a", 128),
	}))
	must(t, true, m.Usage().Keep(t.Context(), "v", []spend.Line{line(theDay, "app", "", "b", 256)}))
}

// wantSpent checks what is spent of the application on the day and in the month,
// and of the grant.
func wantSpent(t *testing.T, m Money, want ...money.Micros) {
	t.Helper()
	var got []money.Micros
	for _, st := range standings(t, m.Budgets(), reservation("", 0)) {
		got = append(got, st.Spent)
	}
	wantSame(t, "what is spent", got, want)
}

func budgetsBegin(t *testing.T, m Money) {
	used(t, m)
	wantSpent(t, m, 263, 287, 1, 9)
	r := reservation("a", 60)
	r.Budget = money.Budget{Day: 400}
	wantReserved(t, m.Budgets(), r, true)
	wantSpent(t, m, 263, 287, 1, 9)
	must(t, true, m.Budgets().Settle(t.Context(), "a", 50))
	wantSpent(t, m, 313, 337, 51, 59)
}

func budgetsBeginOnce(t *testing.T, m Money) {
	used(t, m)
	r := reservation("a", 60)
	r.Grant, r.Budget = "", money.Budget{Day: 400}
	wantReserved(t, m.Budgets(), r, true) // without a grant, whose budget does not begin yet
	must(t, true, m.Budgets().Settle(t.Context(), "a", 50))
	must(t, true, m.Usage().Keep(t.Context(), "w", []spend.Line{
		line(theDay, "app", "grant", "a", 1024), line(theDay, "app", "", "c", 50),
	}))
	wantSpent(t, m, 313, 337, 1024, 1032)
	r = reservation("b", 0)
	r.Budget, r.GrantBudget = money.Budget{}, money.Budget{}
	wantReserved(t, m.Budgets(), r, true)
	wantSpent(t, m, 313, 337, 1024, 1032)
}

func budgetsBeginSpent(t *testing.T, m Money) {
	used(t, m)
	for _, budget := range []money.Budget{{Day: 263}, {Month: 287}} {
		r := reservation("a", 1)
		r.Budget = budget
		wantReserved(t, m.Budgets(), r, false)
	}
	for _, budget := range []money.Budget{{Day: 1}, {Month: 9}} {
		r := reservation("a", 1)
		r.Budget, r.GrantBudget = money.Budget{}, budget
		wantReserved(t, m.Budgets(), r, false)
	}
	r := reservation("a", 1)
	r.Budget, r.GrantBudget = money.Budget{Day: 264, Month: 288}, money.Budget{Day: 2, Month: 10}
	wantReserved(t, m.Budgets(), r, true)
}
