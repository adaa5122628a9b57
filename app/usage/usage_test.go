package usage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/memory"
	"perch/app/usage"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

// A shelf is the service over memory, on 26 November, with some usage.
type shelf struct {
	*usage.Service
	t     *testing.T
	store *memory.Store
	now   time.Time
	late  []spend.Line // written down by the next flush
	fails error        // of flushes
	wrote int          // how many flushes there were
}

func (s *shelf) Flush(ctx context.Context) error {
	s.wrote++
	if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
		return errors.New("a flush has the time of the house")
	}
	if s.fails != nil {
		return s.fails
	}
	return s.store.Usage().Keep(ctx, "w", s.late)
}

func line(day spend.Day, app client.AppID, grant oauth.GrantID, action string, cost money.Micros) spend.Line {
	return spend.Line{Day: day, App: app, Grant: grant, Action: action, Amount: spend.Amount{Calls: 1, Cost: cost}}
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, store: memory.Open()}
	s.now = time.Date(2026, 11, 26, 23, 0, 0, 0, time.FixedZone("", -3600)) // of UTC it is the 27th already
	t.Cleanup(func() { _ = s.store.Close() })
	s.Service = usage.New(s, s.store.Usage(), s.store.Budgets(), s.store.Registry().Apps(), func() time.Time { return s.now })
	for _, app := range []client.App{
		{ID: "a", Budget: money.Budget{Day: 100, Month: 1000}, GrantBudget: money.Budget{Day: 50}}, {ID: "b"},
	} {
		if _, err := s.store.Registry().Apps().Create(t.Context(), app); err != nil {
			t.Fatal(err)
		}
	}
	s.late = []spend.Line{
		line(20261031, "a", "g1", "createPosts", 1000), line(20261101, "a", "g1", "createPosts", 1), line(20261126, "a", "g1", "createPosts", 2),
		line(20261127, "a", "g1", "getUsersMe", 4), line(20261127, "a", "g2", "getUsersMe", 8), line(20261127, "b", "g3", "getUsersMe", 16),
		line(20261127, "a", "", "getUsage", 32), line(20261128, "a", "g1", "createPosts", 64),
	}
	return s
}

func (s *shelf) report(a usage.Ask) usage.Report {
	s.t.Helper()
	r, err := s.Report(s.t.Context(), a)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// said writes the lines of a report, and its total, in short.
func said(r usage.Report) (say []string) {
	for _, l := range r.Lines {
		day := ""
		if l.Day != 0 {
			day = l.Day.String()[8:]
		}
		say = append(say, fmt.Sprintf("%s %s %s %s %d", day, l.App, l.Grant, l.Action, int64(l.Cost)))
	}
	return append(say, fmt.Sprintf("%d in %d", int64(r.Total.Cost), r.Total.Calls))
}

func TestAReportTellsApartWhatIsAskedFor(t *testing.T) {
	s := newShelf(t)
	for name, v := range map[string]struct {
		ask  usage.Ask
		want []string
	}{
		"this month":       {usage.Ask{}, []string{"    63", "63 in 6"}},
		"by days":          {usage.Ask{By: spend.By{Day: true}}, []string{"01    1", "26    2", "27    60", "63 in 6"}},
		"by application":   {usage.Ask{By: spend.By{App: true}, From: 20261127}, []string{" a   44", " b   16", "60 in 4"}},
		"by all":           {usage.Ask{By: spend.By{Day: true, App: true, Grant: true, Action: true}, From: 20261127, App: "b"}, []string{"27 b g3 getUsersMe 16", "16 in 1"}},
		"an action":        {usage.Ask{Action: "getUsersMe"}, []string{"    28", "28 in 3"}},
		"until a day":      {usage.Ask{To: 20261031}, []string{"    1000", "1000 in 1"}},
		"after today":      {usage.Ask{To: 20261201}, []string{"    127", "127 in 7"}},
		"two grants":       {usage.Ask{App: "a", Grants: []oauth.GrantID{"g2", "g1"}}, []string{"    15", "15 in 4"}},
		"two grants apart": {usage.Ask{App: "a", Grants: []oauth.GrantID{"g2", "g1"}, By: spend.By{Grant: true}}, []string{"  g1  7", "  g2  8", "15 in 4"}},
		"another's grant":  {usage.Ask{App: "b", Grants: []oauth.GrantID{"g1"}}, []string{"0 in 0"}},
		"nothing":          {usage.Ask{App: "c"}, []string{"0 in 0"}},
	} {
		if diff := cmp.Diff(v.want, said(s.report(v.ask))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if r := s.report(usage.Ask{}); r.From != 20261101 || r.To != 20261127 {
		t.Errorf("this month is from %s to %s", r.From, r.To)
	}
	if _, err := s.Report(t.Context(), usage.Ask{From: 20261128}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("from tomorrow to today: %v", err)
	}
	for from, ok := range map[spend.Day]bool{20251024: true, 20251023: false, 10101: false} {
		if _, err := s.Report(t.Context(), usage.Ask{From: from}); (err == nil) != ok || !ok && fault.KindOf(err) != fault.Invalid {
			t.Errorf("from %s to today: %v", from, err)
		}
	}
}

func TestAReportReachesNoFurtherBackThanUsageIsKept(t *testing.T) {
	s := newShelf(t)
	_, err := s.Report(t.Context(), usage.Ask{From: 20251001, To: 20251031})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "ask from 2025-10-24 on") {
		t.Error(err)
	}
	if r := s.report(usage.Ask{From: 20251024, To: 20271231}); r.Total.Calls != 8 {
		t.Errorf("from the first day on: %+v", r)
	}
}

// Whoever asks often does not make the house write often.
func TestBooksAreWrittenDownAtMostOnceASecond(t *testing.T) {
	s := newShelf(t)
	for range 3 {
		s.report(usage.Ask{})
	}
	s.now = s.now.Add(999 * time.Millisecond)
	s.report(usage.Ask{})
	if s.wrote != 1 {
		t.Errorf("within a second there were %d flushes", s.wrote)
	}
	s.now = s.now.Add(time.Millisecond)
	s.report(usage.Ask{})
	s.now, s.fails = s.now.Add(time.Second), errors.New("no disk")
	for range 2 {
		if _, err := s.Report(t.Context(), usage.Ask{}); !errors.Is(err, s.fails) {
			t.Error(err)
		}
	}
	if s.wrote != 4 { // what failed is tried again at once
		t.Errorf("there were %d flushes", s.wrote)
	}
}

func TestAReportTellsWhatIsLeftOfBudgets(t *testing.T) {
	s := newShelf(t)
	for id, cost := range map[string]money.Micros{"one": 30, "two": 15} {
		r := spend.Reservation{
			ID: id, App: "a", Grant: "g1", Day: 20261127, Cost: cost, Expires: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC),
		}
		if ok, err := s.store.Budgets().Reserve(t.Context(), r); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	if err := s.store.Budgets().Settle(t.Context(), "one", 25); err != nil {
		t.Fatal(err)
	}
	said := func(a usage.Ask) (say []string) {
		for _, b := range s.report(a).Budgets {
			say = append(say, fmt.Sprintf("%s %s day:%t %d-%d-%d=%d until %s", b.App, b.Grant, b.Daily(), int64(b.Max), int64(b.Spent),
				int64(b.Reserved), int64(b.Left()), b.Ends.Format(time.DateOnly)))
		}
		return say
	}
	app := []string{"a  day:true 100-25-15=60 until 2026-11-28", "a  day:false 1000-25-15=960 until 2026-12-01"}
	for name, v := range map[string]struct {
		ask  usage.Ask
		want []string
	}{
		"an application":               {usage.Ask{App: "a"}, app},
		"applications that lines name": {usage.Ask{By: spend.By{App: true, Day: true}}, app},
		"a grant":                      {usage.Ask{App: "a", Grants: []oauth.GrantID{"g1"}}, []string{"a g1 day:true 50-25-15=10 until 2026-11-28"}},
		"a grant and its application": {
			usage.Ask{App: "a", Grants: []oauth.GrantID{"g1"}, AppToo: true},
			append([]string{"a g1 day:true 50-25-15=10 until 2026-11-28"}, app...),
		},
		"no application": {usage.Ask{}, app},
		"by grants":      {usage.Ask{By: spend.By{Grant: true}}, app},
		"a grant alone": {
			usage.Ask{Grants: []oauth.GrantID{"g1"}, AppToo: true, By: spend.By{Day: true}},
			append([]string{"a g1 day:true 50-25-15=10 until 2026-11-28"}, app...),
		},
		"a grant without calls": {usage.Ask{Grants: []oauth.GrantID{"g9"}, AppToo: true}, nil},
		"one without budgets":   {usage.Ask{App: "b"}, nil},
		"one that is not there": {usage.Ask{App: "c"}, nil},
	} {
		if diff := cmp.Diff(v.want, said(v.ask)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if (usage.Budget{Limit: spend.Limit{Max: 5}, Spent: 6}).Left() != 0 {
		t.Error("of a budget that was passed less than nothing is left")
	}
}

func TestAReportHasABound(t *testing.T) {
	s := newShelf(t)
	for i := range usage.Most + 1 {
		s.late = append(s.late, line(20261127, "b", oauth.GrantID(fmt.Sprintf("many%04d", i)), "x", 1))
	}
	by := usage.Ask{App: "b", By: spend.By{Grant: true}}
	if r := s.report(by); !r.More || len(r.Lines) != usage.Most || r.Total.Calls != usage.Most+2 {
		t.Errorf("%d lines, more %t, %d calls", len(r.Lines), r.More, r.Total.Calls)
	}
	by.By = spend.By{}
	if r := s.report(by); r.More {
		t.Error("there is more than one line of all together")
	}
}

// trouble is a store that fails.
type trouble struct {
	ports.Usage
	error
}

func (s trouble) List(context.Context, spend.Query) ([]spend.Line, error) { return nil, s.error }

func TestAReportThatCannotBeMadeIsNone(t *testing.T) {
	s := newShelf(t)
	s.fails = errors.New("no disk")
	if _, err := s.Report(t.Context(), usage.Ask{}); !errors.Is(err, s.fails) {
		t.Error(err)
	}
	broken := trouble{error: errors.New("no store")}
	if _, err := usage.New(nil, broken, s.store.Budgets(), s.store.Registry().Apps(), time.Now).Report(t.Context(), usage.Ask{}); !errors.Is(err, broken.error) {
		t.Error(err)
	}
}
