package conformance

import (
	"context"
	"testing"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/domain/xapp"
	"perch/ports"
)

// Usage checks that open's stores keep the Usage contract.
func Usage(t *testing.T, open func(*testing.T) ports.Usage) {
	run(t, open, []check[ports.Usage]{
		{"what is kept is listed as it was", usageRoundTrip},
		{"totals of several writers add up, and those of one take the place of its own", usageWriters},
		{"lines are told apart by what is asked for, and added up by the rest", usageBy},
		{"only lines of the days, the application, the grant and the action are listed", usageAsked},
		{"many lines are kept and listed at once, up to the most", usageMany},
		{"a resource is billed once on a day to an X App", marksOnce},
		{"of many calls one has the resource first", marksRace},
		{"a call that marks again has what it had", marksAgain},
		{"a sweep removes the marks of days before and nothing else", marksSwept},
		{"a sweep removes the lines of days before and nothing else", usageSwept},
		{"awkward names are only names", usageStrange},
		{"a cancelled call is quick", usageCancelled},
	})
}

func line(day spend.Day, app, grant, action string, cost money.Micros) spend.Line {
	return spend.Line{
		Day: day, App: client.AppID(app), Grant: oauth.GrantID(grant), Action: action,
		Amount: spend.Amount{Calls: 1, Cost: cost},
	}
}

func whole() spend.By { return spend.By{Day: true, App: true, Grant: true, Action: true} }

func always(by spend.By) spend.Query { return spend.Query{To: 99991231, By: by, Most: 1000} }

func wantLines(t *testing.T, s ports.Usage, q spend.Query, want ...spend.Line) {
	t.Helper()
	got, err := s.List(t.Context(), q)
	wantSame(t, "what List returned", must(t, got, err), want)
}

func usageRoundTrip(t *testing.T, s ports.Usage) {
	want := line(20261126, "app", "grant", "createPosts", 0)
	want.Amount = spend.Amount{Calls: 1, Resources: 2, Cost: 3, Unsure: 4, Includes: 5, Hits: 6, Saved: 1 << 40}
	bare := spend.Line{Day: 20261127}
	must(t, true, s.Keep(t.Context(), "w", []spend.Line{want, bare}))
	wantLines(t, s, always(whole()), want, bare)
}

func usageWriters(t *testing.T, s ports.Usage) {
	const day = 20261126
	for _, said := range []struct {
		writer string
		cost   money.Micros
	}{{"one", 5}, {"two", 100}, {"one", 7}, {"one", 7}, {"one", 6}} {
		must(t, true, s.Keep(t.Context(), said.writer, []spend.Line{line(day, "app", "g", "act", said.cost)}))
	}
	want := line(day, "app", "g", "act", 107)
	want.Calls = 2
	wantLines(t, s, always(whole()), want)
}

// aFew keeps some lines that differ in one thing each.
func aFew(t *testing.T, s ports.Usage) {
	t.Helper()
	must(t, true, s.Keep(t.Context(), "w", []spend.Line{
		line(20261126, "a", "g", "read", 1), line(20261127, "a", "g", "read", 2), line(20261126, "b", "g", "read", 4),
		line(20261126, "a", "h", "read", 8), line(20261126, "a", "g", "write", 16),
	}))
}

func usageBy(t *testing.T, s ports.Usage) {
	wantLines(t, s, always(spend.By{})) // nothing is no line
	aFew(t, s)
	sum := func(l spend.Line, calls int64) spend.Line { l.Calls = calls; return l }
	wantLines(t, s, always(spend.By{}), sum(line(0, "", "", "", 31), 5))
	wantLines(t, s, always(spend.By{Day: true}),
		sum(line(20261126, "", "", "", 29), 4), sum(line(20261127, "", "", "", 2), 1))
	wantLines(t, s, always(spend.By{App: true}), sum(line(0, "a", "", "", 27), 4), sum(line(0, "b", "", "", 4), 1))
	wantLines(t, s, always(spend.By{Grant: true}), sum(line(0, "", "g", "", 23), 4), sum(line(0, "", "h", "", 8), 1))
	wantLines(t, s, always(spend.By{App: true, Action: true}), sum(line(0, "a", "", "read", 11), 3),
		sum(line(0, "a", "", "write", 16), 1), sum(line(0, "b", "", "read", 4), 1))
}

func usageAsked(t *testing.T, s ports.Usage) {
	aFew(t, s)
	for _, v := range []struct {
		edit func(*spend.Query)
		want money.Micros
	}{
		{func(q *spend.Query) { q.From = 20261127 }, 2},
		{func(q *spend.Query) { q.To = 20261126 }, 29},
		{func(q *spend.Query) { q.App = "b" }, 4},
		{func(q *spend.Query) { q.Grant = "h" }, 8},
		{func(q *spend.Query) { q.Action = "write" }, 16},
		{func(q *spend.Query) { q.App, q.Grant, q.Action, q.To = "a", "g", "read", 20261126 }, 1},
		{func(q *spend.Query) { q.App = "A" }, 0},
		{func(q *spend.Query) { q.Most = 0 }, 0},
	} {
		q := always(spend.By{})
		v.edit(&q)
		got, err := s.List(t.Context(), q)
		var sum money.Micros
		for _, l := range must(t, got, err) {
			sum += l.Cost
		}
		if sum != v.want {
			t.Errorf("%+v gives %d, want %d", q, sum, v.want)
		}
	}
}

func usageMany(t *testing.T, s ports.Usage) {
	var lines []spend.Line
	for i := range 120 {
		lines = append(lines, line(20261126, "a", numbered("g", i), "read", money.Micros(i)))
	}
	must(t, true, s.Keep(t.Context(), "w", lines))
	must(t, true, s.Keep(t.Context(), "w", nil))
	wantLines(t, s, always(whole()), lines...)
	q := always(whole())
	q.Most = 7
	wantLines(t, s, q, lines[:7]...)
}

func mark(id, by string) spend.Mark {
	return spend.Mark{Resource: spend.Resource{XApp: "x", Day: 20261126, Kind: "Posts: Read", ID: id}, By: by}
}

func firstOf(t *testing.T, s ports.Usage, marks ...spend.Mark) int {
	t.Helper()
	first, err := s.First(t.Context(), marks)
	return len(must(t, first, err))
}

func marksOnce(t *testing.T, s ports.Usage) {
	first, err := s.First(t.Context(), []spend.Mark{mark("1", "a"), mark("2", "b")})
	if len(must(t, first, err)) != 2 {
		t.Fatalf("the first marks are %v", first)
	}
	first, err = s.First(t.Context(), []spend.Mark{mark("1", "c"), mark("3", "c"), mark("2", "c")})
	wantSame(t, "what is new", must(t, first, err), []spend.Mark{mark("3", "c")})
	if n := firstOf(t, s); n != 0 {
		t.Errorf("no marks are %d first ones", n)
	}
	for what, edit := range map[string]func(*spend.Mark){
		"day": func(m *spend.Mark) { m.Day++ }, "kind": func(m *spend.Mark) { m.Kind = "User: Read" },
		"X App": func(m *spend.Mark) { m.XApp = "y" },
	} {
		other := mark("1", "d")
		edit(&other)
		if firstOf(t, s, other) != 1 {
			t.Errorf("another %s is not another resource", what)
		}
	}
}

func marksRace(t *testing.T, s ports.Usage) {
	var marks []spend.Mark
	for i := range 60 {
		marks = append(marks, mark(numbered("p", i), ""))
	}
	won := race(8, func(i int) int {
		mine := make([]spend.Mark, len(marks))
		for j := range marks {
			mine[j] = marks[(i*7+j)%len(marks)]
			mine[j].By = numbered("call", i)
		}
		first, err := s.First(t.Context(), mine)
		if err != nil {
			t.Error(err)
		}
		return len(first)
	})
	sum := 0
	for _, n := range won {
		sum += n
	}
	if sum != len(marks) {
		t.Errorf("%d resources were billed %d times", len(marks), sum)
	}
}

func marksAgain(t *testing.T, s ports.Usage) {
	firstOf(t, s, mark("1", "a"))
	if firstOf(t, s, mark("1", "a"), mark("2", "a")) != 2 {
		t.Error("the call has lost what it had")
	}
	if firstOf(t, s, mark("1", "b"), mark("2", "b")) != 0 {
		t.Error("another call has it too")
	}
}

func marksSwept(t *testing.T, s ports.Usage) {
	for i := range spend.Day(4) {
		m := mark("1", "a")
		m.Day += i - 2
		firstOf(t, s, m)
	}
	must(t, true, s.Keep(t.Context(), "w", []spend.Line{line(20261101, "a", "g", "read", 1)}))
	n, err := s.SweepMarks(t.Context(), 20261126)
	wantSame(t, "how many a sweep removed", must(t, n, err), 2)
	n, err = s.SweepMarks(t.Context(), 20261126)
	wantSame(t, "how many a second sweep removed", must(t, n, err), 0)
	if firstOf(t, s, mark("1", "b")) != 0 {
		t.Error("a mark of the day was removed")
	}
	wantLines(t, s, always(whole()), line(20261101, "a", "g", "read", 1))
}

func usageSwept(t *testing.T, s ports.Usage) {
	old, last := line(20251231, "a", "g", "read", 1), line(20260131, "a", "g", "write", 2)
	kept := []spend.Line{line(20260201, "a", "", "read", 4), line(20260201, "b", "g", "read", 8)}
	for _, writer := range []string{"v", "w"} {
		must(t, true, s.Keep(t.Context(), writer, append([]spend.Line{old, last}, kept...)))
	}
	m := mark("1", "a")
	m.Day = 20251231
	firstOf(t, s, m)
	for _, want := range []int{4, 0} {
		n, err := s.Sweep(t.Context(), 20260201)
		wantSame(t, "how many a sweep removed", must(t, n, err), want)
	}
	for i := range kept {
		kept[i].Amount = kept[i].Plus(kept[i].Amount) // of both writers
	}
	wantLines(t, s, always(whole()), kept...)
	m.By = "b"
	if firstOf(t, s, m) != 0 {
		t.Error("a mark was removed")
	}
	must(t, true, s.Keep(t.Context(), "w", []spend.Line{old}))
	wantLines(t, s, always(whole()), append([]spend.Line{old}, kept...)...)
}

func usageStrange(t *testing.T, s ports.Usage) {
	for _, name := range append(strange(), unkept()...) {
		m := mark(name, name)
		m.Kind, m.XApp = name, xapp.ID(name)
		if n, err := s.First(t.Context(), []spend.Mark{m}); err != nil {
			wantKind(t, "First with text no database holds", err, fault.Invalid)
		} else if len(n) != 1 || n[0] != m {
			t.Errorf("%q is marked as %v", name, n)
		}
		l := line(20261126, name, name, name, 5)
		if err := s.Keep(t.Context(), name, []spend.Line{l}); err != nil {
			wantKind(t, "Keep with text no database holds", err, fault.Invalid)
			continue
		}
		q := always(whole())
		q.App, q.Grant, q.Action = l.App, l.Grant, l.Action
		wantLines(t, s, q, l)
	}
}

func usageCancelled(t *testing.T, s ports.Usage) {
	quick(t, map[string]func(context.Context) error{
		"Keep": func(ctx context.Context) error {
			return s.Keep(ctx, "w", []spend.Line{line(20261126, "a", "g", "read", 1)})
		},
		"First":      func(ctx context.Context) error { return drop(s.First(ctx, []spend.Mark{mark("1", "a")})) },
		"List":       func(ctx context.Context) error { return drop(s.List(ctx, always(whole()))) },
		"Sweep":      func(ctx context.Context) error { return drop(s.Sweep(ctx, 99991231)) },
		"SweepMarks": func(ctx context.Context) error { return drop(s.SweepMarks(ctx, 99991231)) },
	})
	wantLines(t, s, always(whole()))
}
