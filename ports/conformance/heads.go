package conformance

import (
	"context"
	"strings"
	"testing"

	"perch/domain/fault"
	"perch/ports"
)

// Heads checks that open's stores keep the Heads contract.
func Heads(t *testing.T, open func(*testing.T) ports.Heads) {
	run(t, open, []check[ports.Heads]{
		{"what is advanced comes back whole", headsRoundTrip},
		{"a head that was never written is not found", headsUnknown},
		{"a first head may start with any version", headsFirst},
		{"a head advances from the version that is stored, and from no other", headsGuard},
		{"a version never goes back", headsForward},
		{"of many first heads of a record one is stored", headsCreateRace},
		{"one of many who advance the same version wins", headsRace},
		{"advances in a loop lose none", headsNoLostUpdate},
		{"a record that was removed leaves a head", headsRemoved},
		{"a head is unsettled until its own version is settled", headsSettle},
		{"heads are listed by prefix, in order and in pages", headsList},
		{"awkward names are only names", headsStrange},
		{"text is kept whole or refused, never changed", headsWhole},
		{"a cancelled call is quick and changes nothing", headsCancelled},
	})
}

func head(id string, version int64) ports.Head {
	return ports.Head{ID: id, Version: version, Body: numbered(`{"a":"`+id+` é'?$1"}`+"\n", int(version%1000))}
}

func wantHead(t *testing.T, s ports.Heads, want ports.Head) {
	t.Helper()
	got, err := s.Get(t.Context(), want.ID)
	wantSame(t, "the stored head", must(t, got, err), want)
}

func headsRoundTrip(t *testing.T, s ports.Heads) {
	for _, h := range []ports.Head{
		head("a", 1), {ID: "long", Version: 1, Body: strings.Repeat("0123456789abcdef", 4096)},
		{ID: "text", Version: 1, Body: "\x01\r\n\t\\ \\u0000 \u2028 'q' \"q\" 😀"}, {ID: "number", Version: 1, Body: "0012"},
	} {
		must(t, true, s.Advance(t.Context(), 0, h))
		wantHead(t, s, h)
	}
}

func headsUnknown(t *testing.T, s ports.Heads) {
	must(t, true, s.Advance(t.Context(), 0, head("a", 1)))
	for _, id := range []string{"b", "A", "", "a ", "aa"} {
		wantKind(t, "Get("+id+")", drop(s.Get(t.Context(), id)), fault.NotFound)
		wantKind(t, "Settle("+id+")", s.Settle(t.Context(), id, 1), fault.Conflict)
	}
}

func headsFirst(t *testing.T, s ports.Heads) {
	const far = 1<<53 - 2
	must(t, true, s.Advance(t.Context(), 0, head("a", far)))
	wantHead(t, s, head("a", far))
	must(t, true, s.Advance(t.Context(), far, head("a", far+1)))
	wantHead(t, s, head("a", far+1))
}

func headsGuard(t *testing.T, s ports.Heads) {
	wantKind(t, "Advance of what is not there", s.Advance(t.Context(), 1, head("a", 2)), fault.Conflict)
	wantKind(t, "Get of it", drop(s.Get(t.Context(), "a")), fault.NotFound)
	must(t, true, s.Advance(t.Context(), 0, head("a", 1)))
	must(t, true, s.Advance(t.Context(), 0, head("b", 5)))
	must(t, true, s.Advance(t.Context(), 1, head("a", 2)))
	for _, version := range []int64{0, 1, 3} {
		wantKind(t, "Advance from another version", s.Advance(t.Context(), version, head("a", 9)), fault.Conflict)
	}
	wantHead(t, s, head("a", 2))
	wantHead(t, s, head("b", 5))
}

func headsForward(t *testing.T, s ports.Heads) {
	must(t, true, s.Advance(t.Context(), 0, head("a", 3)))
	for _, version := range []int64{3, 2, 0, -1} {
		wantKind(t, "Advance to a version that was", s.Advance(t.Context(), 3, head("a", version)), fault.Invalid)
	}
	wantKind(t, "a first head without a version", s.Advance(t.Context(), 0, head("b", 0)), fault.Invalid)
	wantHead(t, s, head("a", 3))
}

func headsCreateRace(t *testing.T, s ports.Heads) {
	oneWins(t, race(50, func(i int) error {
		return s.Advance(t.Context(), 0, head("a", int64(i+1)))
	}), fault.Conflict)
}

func headsRace(t *testing.T, s ports.Heads) {
	must(t, true, s.Advance(t.Context(), 0, head("a", 1)))
	oneWins(t, race(50, func(i int) error {
		return s.Advance(t.Context(), 1, head("a", int64(i+2)))
	}), fault.Conflict)
}

func headsNoLostUpdate(t *testing.T, s ports.Heads) {
	const writers, each = 8, 5
	must(t, true, s.Advance(t.Context(), 0, head("a", 1)))
	for _, err := range race(writers, func(int) error {
		for done := 0; done < each; {
			h, err := s.Get(t.Context(), "a")
			if err != nil {
				return err
			}
			switch err := s.Advance(t.Context(), h.Version, head("a", h.Version+1)); {
			case err == nil:
				done++
			case fault.KindOf(err) != fault.Conflict:
				return err
			}
		}
		return nil
	}) {
		must(t, true, err)
	}
	wantHead(t, s, head("a", 1+writers*each))
}

func headsRemoved(t *testing.T, s ports.Heads) {
	must(t, true, s.Advance(t.Context(), 0, head("a", 1)))
	must(t, true, s.Advance(t.Context(), 1, ports.Head{ID: "a", Version: 2}))
	wantHead(t, s, ports.Head{ID: "a", Version: 2})
	wantKind(t, "a first head in its place", s.Advance(t.Context(), 0, head("a", 1)), fault.Conflict)
	wantHeads(t, s.List, "", "", 9, ports.Head{ID: "a", Version: 2})
	must(t, true, s.Advance(t.Context(), 2, head("a", 3)))
	wantHead(t, s, head("a", 3))
}

func wantHeads(
	t *testing.T, list func(ctx context.Context, prefix, after string, n int) ([]ports.Head, error),
	prefix, after string, n int, want ...ports.Head,
) {
	t.Helper()
	got, err := list(t.Context(), prefix, after, n)
	wantSame(t, "heads that begin with "+prefix+", after "+after, must(t, got, err), want)
}

func headsSettle(t *testing.T, s ports.Heads) {
	for _, id := range []string{"x/b", "x/a", "y/a"} {
		must(t, true, s.Advance(t.Context(), 0, head(id, 1)))
	}
	wantHeads(t, s.Unsettled, "x/", "", 9, head("x/a", 1), head("x/b", 1))
	must(t, true, s.Settle(t.Context(), "x/a", 1))
	must(t, true, s.Settle(t.Context(), "x/a", 1))
	wantHeads(t, s.Unsettled, "x/", "", 9, head("x/b", 1))
	wantHeads(t, s.Unsettled, "", "x/b", 9, head("y/a", 1))
	wantHeads(t, s.Unsettled, "", "", 1, head("x/b", 1))
	wantHead(t, s, head("x/a", 1))

	must(t, true, s.Advance(t.Context(), 1, head("x/a", 2)))
	wantKind(t, "Settle of a version that has gone", s.Settle(t.Context(), "x/a", 1), fault.Conflict)
	wantKind(t, "Settle of a version that is yet to come", s.Settle(t.Context(), "x/a", 3), fault.Conflict)
	wantHeads(t, s.Unsettled, "x/a", "", 9, head("x/a", 2))
	must(t, true, s.Settle(t.Context(), "x/a", 2))
	wantHeads(t, s.Unsettled, "x/a", "", 9)
}

func headsList(t *testing.T, s ports.Heads) {
	pages[string]{
		create: func(id string) error { return s.Advance(t.Context(), 0, head("p/"+id, 1)) },
		list: func(after string, n int) ([]string, error) {
			from := "" // before the prefix itself
			if after != "" {
				from = "p/" + after
			}
			list, err := s.List(t.Context(), "p/", from, n)
			return ids(list, func(h ports.Head) string { return strings.TrimPrefix(h.ID, "p/") }), err
		},
	}.check(t)
	for _, id := range []string{"p", "p.", "p/", "p0", "P/a", "q/a"} {
		must(t, true, s.Advance(t.Context(), 0, head(id, 1)))
	}
	wantHeads(t, s.List, "p/", "", 2, head("p/", 1), head("p/B", 1))
	wantHeads(t, s.List, "p/", "p/é", 9, head("p/日", 1))
	wantHeads(t, s.List, "p/", "q", 9)
	wantHeads(t, s.List, "none", "", 9)
	wantHeads(t, s.List, "%", "", 9)
	wantHeads(t, s.List, "q_", "", 9)
}

func headsStrange(t *testing.T, s ports.Heads) {
	for _, id := range strange() {
		wantKind(t, "Get of an awkward name", drop(s.Get(t.Context(), id)), fault.NotFound)
		must(t, true, s.Advance(t.Context(), 0, head(id, 1)))
		must(t, true, s.Advance(t.Context(), 1, head(id, 2)))
		wantHead(t, s, head(id, 2))
		wantHeads(t, s.Unsettled, id, "", 1, head(id, 2))
		must(t, true, s.Settle(t.Context(), id, 2))
	}
	wantHeads(t, s.Unsettled, "", "", 9)
}

func headsWhole(t *testing.T, s ports.Heads) {
	must(t, true, s.Advance(t.Context(), 0, head("a\uFFFD", 1)))
	for i, text := range unkept() {
		wantKind(t, "Get of text no database holds", drop(s.Get(t.Context(), text)), fault.NotFound)
		for _, h := range []ports.Head{{ID: text, Version: 1}, {ID: numbered("body", i), Version: 1, Body: text}} {
			if err := s.Advance(t.Context(), 0, h); err != nil {
				wantKind(t, "Advance with text no database holds", err, fault.Invalid)
				continue
			}
			wantHead(t, s, h)
		}
		wantKind(t, "Settle of what has gone on", s.Settle(t.Context(), text, 7), fault.Conflict)
	}
}

func headsCancelled(t *testing.T, s ports.Heads) {
	must(t, true, s.Advance(t.Context(), 0, head("a", 1)))
	quick(t, map[string]func(context.Context) error{
		"Get":           func(ctx context.Context) error { return drop(s.Get(ctx, "a")) },
		"Advance":       func(ctx context.Context) error { return s.Advance(ctx, 1, head("a", 2)) },
		"a first head":  func(ctx context.Context) error { return s.Advance(ctx, 0, head("b", 1)) },
		"Settle":        func(ctx context.Context) error { return s.Settle(ctx, "a", 1) },
		"Unsettled":     func(ctx context.Context) error { return drop(s.Unsettled(ctx, "", "", 9)) },
		"List":          func(ctx context.Context) error { return drop(s.List(ctx, "", "", 9)) },
		"List of a lot": func(ctx context.Context) error { return drop(s.List(ctx, "", "", 1000)) },
	})
	wantHeads(t, s.Unsettled, "", "", 9, head("a", 1))
}
