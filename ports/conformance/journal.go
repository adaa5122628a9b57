package conformance

import (
	"context"
	"testing"
	"time"

	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// Journal checks that open's journals keep the Journal contract.
func Journal(t *testing.T, open func(*testing.T) ports.Journal) {
	run(t, open, []check[ports.Journal]{
		{"what is kept is pending, whole, until it is dropped", journalRoundTrip},
		{"what is reserved is not pending", journalReserved},
		{"what is kept needs no reservation, and replaces what was kept", journalReplaces},
		{"the oldest comes first", journalOrder},
		{"dropping what is not there is no error", journalDrop},
		{"many attempts at once lose nothing", journalRace},
		{"awkward names are only names", journalStrange},
		{"a cancelled call is quick and does nothing", journalCancelled},
	})
}

func renewal(attempt string, n int, when func(int) time.Time) ports.Renewal {
	return ports.Renewal{
		Attempt: attempt, Grant: oauth.GrantID(numbered("grant", n)), App: "app", XApp: "x", User: "1",
		Generation: int64(n) + 1<<40,
		Pair: oauth.Pair{
			Access: secret.Box(numbered("access+/=_-", n)), Refresh: secret.Box(numbered("refresh", n)),
			Scopes: oauth.Scopes(numbered("tweet.read users.read x", n)), Expires: when(n + 120),
		},
		At: when(n),
	}
}

func wantPending(t *testing.T, what string, j ports.Journal, want ...ports.Renewal) {
	t.Helper()
	got, err := j.Pending(t.Context())
	wantSame(t, what, must(t, got, err), want)
}

func journalRoundTrip(t *testing.T, j ports.Journal) {
	wantPending(t, "an empty journal", j)
	for _, n := range []int{1, 2} {
		attempt := numbered("a", n)
		must(t, true, j.Reserve(t.Context(), attempt))
		must(t, true, j.Keep(t.Context(), renewal(attempt, n, fine)))
	}
	long := renewal("long", 3, at)
	long.Pair.Access = secret.Box(make([]byte, 0, 64<<10))
	for range 64 << 10 {
		long.Pair.Access += "x"
	}
	must(t, true, j.Reserve(t.Context(), "long"))
	must(t, true, j.Keep(t.Context(), long))
	wantPending(t, "what is pending", j, renewal("a001", 1, at), renewal("a002", 2, at), long)
	must(t, true, j.Drop(t.Context(), "a001"))
	must(t, true, j.Drop(t.Context(), "long"))
	wantPending(t, "what was not dropped", j, renewal("a002", 2, at))
}

func journalReserved(t *testing.T, j ports.Journal) {
	must(t, true, j.Reserve(t.Context(), "a"))
	wantPending(t, "after a reservation", j)
	must(t, true, j.Drop(t.Context(), "a"))
	wantPending(t, "after it was dropped", j)
}

func journalReplaces(t *testing.T, j ports.Journal) {
	must(t, true, j.Keep(t.Context(), renewal("a", 1, at)))
	must(t, true, j.Keep(t.Context(), renewal("a", 2, at)))
	wantPending(t, "what is pending", j, renewal("a", 2, at))
}

func journalOrder(t *testing.T, j ports.Journal) {
	for _, n := range []int{3, 1, 2} {
		must(t, true, j.Keep(t.Context(), renewal(numbered("a", 9-n), n, at)))
	}
	wantPending(t, "what is pending", j,
		renewal("a008", 1, at), renewal("a007", 2, at), renewal("a006", 3, at))
}

func journalDrop(t *testing.T, j ports.Journal) {
	for range 2 {
		if err := j.Drop(t.Context(), "never"); err != nil {
			t.Error(err)
		}
	}
}

func journalRace(t *testing.T, j ports.Journal) {
	const attempts = 40
	for _, err := range race(attempts, func(i int) error {
		attempt := numbered("a", i)
		if err := j.Reserve(t.Context(), attempt); err != nil {
			return err
		}
		if err := j.Keep(t.Context(), renewal(attempt, i, at)); err != nil {
			return err
		}
		if _, err := j.Pending(t.Context()); err != nil || i%2 == 0 {
			return err
		}
		return j.Drop(t.Context(), attempt)
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	var want []ports.Renewal
	for i := 0; i < attempts; i += 2 {
		want = append(want, renewal(numbered("a", i), i, at))
	}
	wantPending(t, "what was not dropped", j, want...)
}

func journalStrange(t *testing.T, j ports.Journal) {
	names := append(strange(), "../a", "/etc/a", ".", "..", "a/b", "A", "a", "long"+string(make([]byte, 300)))
	for i, name := range names {
		must(t, true, j.Reserve(t.Context(), name))
		must(t, true, j.Keep(t.Context(), renewal(name, i, at)))
		wantPending(t, "what is pending", j, renewal(name, i, at))
		must(t, true, j.Drop(t.Context(), name))
	}
	wantPending(t, "what is left", j)
}

func journalCancelled(t *testing.T, j ports.Journal) {
	must(t, true, j.Keep(t.Context(), renewal("a", 1, at)))
	quick(t, map[string]func(context.Context) error{
		"Reserve": func(ctx context.Context) error { return j.Reserve(ctx, "b") },
		"Keep":    func(ctx context.Context) error { return j.Keep(ctx, renewal("b", 2, at)) },
		"Drop":    func(ctx context.Context) error { return j.Drop(ctx, "a") },
		"Pending": func(ctx context.Context) error { return drop(j.Pending(ctx)) },
	})
	wantPending(t, "what is pending", j, renewal("a", 1, at))
}
