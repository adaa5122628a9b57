package wiring_test

import (
	"slices"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/app/usage"
	"perch/domain/spend"
)

// TestUsageThatNoReportReachesIsRemoved, when Perch starts, and what one may reach
// is not.
func TestUsageThatNoReportReachesIsRemoved(t *testing.T) {
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	cfg := settings(t, environments()[1], at)
	s, _ := openCounting(t, cfg.Settled(), &alerts{})
	day := func(ago int) spend.Day { return spend.DayOf(time.Now().UTC().AddDate(0, 0, -ago)) }
	var lines []spend.Line
	for _, ago := range []int{0, usage.MostDays - 1, usage.MostDays + 2, 10_000} {
		lines = append(lines, spend.Line{Day: day(ago), App: "app", Action: "getUsersMe", Amount: spend.Amount{Calls: 1}})
	}
	if err := s.Usage.Keep(t.Context(), "w", lines); err != nil {
		t.Fatal(err)
	}
	open(t, cfg)
	kept := func() (days []spend.Day) {
		t.Helper()
		got, err := s.Usage.List(t.Context(), spend.Query{To: 99991231, App: "app", By: spend.By{Day: true}, Most: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range got {
			days = append(days, l.Day)
		}
		return days
	}
	eventually(t, "it is removed", func() bool { return len(kept()) < 3 })
	if got := kept(); !slices.Equal(got, []spend.Day{lines[1].Day, lines[0].Day}) {
		t.Errorf("of %v are left %v", lines, got)
	}
}
