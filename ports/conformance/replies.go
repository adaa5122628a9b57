package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/secret"
	"perch/ports"
)

// Replies checks that open's stores keep the Replies contract.
func Replies(t *testing.T, open func(*testing.T) ports.Replies) {
	run(t, open, []check[ports.Replies]{
		{"what is created is there as it was", repliesRoundTrip},
		{"a scope can be taken once", repliesTaken},
		{"of many who create one does", repliesCreateRace},
		{"a swap needs the attempt and the state that are stored", repliesSwap},
		{"of many who swap one does", repliesSwapRace},
		{"what is removed is gone, if it still is what it was", repliesRemove},
		{"a call that is removed and one that is swapped at once end in one way", repliesRemoveRace},
		{"a sweep removes what has expired and nothing else", repliesSweep},
		{"as much as is ever kept fits", repliesLong},
		{"awkward names are only names", repliesStrange},
		{"a cancelled call is quick and changes nothing", repliesCancelled},
	})
}

func call(scope string, when func(int) time.Time) idempotency.Record {
	return idempotency.Record{
		Scope: scope, Attempt: "attempt-" + scope, Fingerprint: "print-" + scope, Action: "createPosts",
		State: idempotency.Sent, Status: 201, Request: secret.Box("request-" + scope), Reply: secret.Box("reply ? é"),
		Created: when(1), Sent: when(2), Lease: when(3), Until: when(4),
	}
}

func repliesRoundTrip(t *testing.T, s ports.Replies) {
	bare := idempotency.Record{Scope: "bare", State: idempotency.Reserved}
	must(t, true, s.Create(t.Context(), call("a", fine)))
	must(t, true, s.Create(t.Context(), bare))
	got, err := s.Get(t.Context(), "a")
	wantSame(t, "what Get returned", must(t, got, err), call("a", at))
	got, err = s.Get(t.Context(), "bare")
	wantSame(t, "what Get returned", must(t, got, err), bare)
	wantKind(t, "Get of another scope", drop(s.Get(t.Context(), "A")), fault.NotFound)
}

func repliesTaken(t *testing.T, s ports.Replies) {
	must(t, true, s.Create(t.Context(), call("a", at)))
	other := call("b", at)
	other.Scope = "a"
	wantKind(t, "Create of a scope that is taken", s.Create(t.Context(), other), fault.Conflict)
	got, err := s.Get(t.Context(), "a")
	wantSame(t, "what is stored", must(t, got, err), call("a", at))
}

func repliesCreateRace(t *testing.T, s ports.Replies) {
	oneWins(t, race(20, func(i int) error {
		r := call("a", at)
		r.Attempt = numbered("attempt", i)
		return s.Create(t.Context(), r)
	}), fault.Conflict)
}

func repliesSwap(t *testing.T, s ports.Replies) {
	was := call("a", at)
	must(t, true, s.Create(t.Context(), was))
	must(t, true, s.Create(t.Context(), call("b", at)))
	next := call("another", fine)
	next.State = idempotency.Done
	stranger, earlier, nobody := was, was, call("c", at)
	stranger.Attempt, earlier.State = "another", idempotency.Reserved
	wantKind(t, "Swap of another attempt", s.Swap(t.Context(), stranger, next), fault.Conflict)
	wantKind(t, "Swap of another state", s.Swap(t.Context(), earlier, next), fault.Conflict)
	wantKind(t, "Swap of what is not there", s.Swap(t.Context(), nobody, next), fault.NotFound)
	must(t, true, s.Swap(t.Context(), was, next))
	want := call("another", at)
	want.Scope, want.State = "a", idempotency.Done
	got, err := s.Get(t.Context(), "a")
	wantSame(t, "what is stored after a swap", must(t, got, err), want)
	wantKind(t, "Swap for the second time", s.Swap(t.Context(), was, next), fault.Conflict)
	got, err = s.Get(t.Context(), "b")
	wantSame(t, "what else is stored", must(t, got, err), call("b", at))
}

func repliesSwapRace(t *testing.T, s ports.Replies) {
	was := call("a", at)
	must(t, true, s.Create(t.Context(), was))
	oneWins(t, race(20, func(i int) error {
		next := was
		next.Attempt = numbered("attempt", i)
		return s.Swap(t.Context(), was, next)
	}), fault.Conflict)
}

func repliesRemove(t *testing.T, s ports.Replies) {
	was := call("a", at)
	must(t, true, s.Create(t.Context(), was))
	stranger, earlier := was, was
	stranger.Attempt, earlier.State = "another", idempotency.Reserved
	wantKind(t, "Remove of another attempt", s.Remove(t.Context(), stranger), fault.Conflict)
	wantKind(t, "Remove of another state", s.Remove(t.Context(), earlier), fault.Conflict)
	must(t, true, s.Remove(t.Context(), was))
	wantKind(t, "Get of what was removed", drop(s.Get(t.Context(), "a")), fault.NotFound)
	wantKind(t, "Remove of what was removed", s.Remove(t.Context(), was), fault.NotFound)
	must(t, true, s.Create(t.Context(), was))
}

func repliesRemoveRace(t *testing.T, s ports.Replies) {
	was := call("a", at)
	must(t, true, s.Create(t.Context(), was))
	next := was
	next.State = idempotency.Done
	won := 0
	for _, err := range race(10, func(i int) error {
		if i%2 == 0 {
			return s.Remove(t.Context(), was)
		}
		return s.Swap(t.Context(), was, next)
	}) {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, fault.Conflict) && !errors.Is(err, fault.NotFound):
			t.Errorf("one that came too late: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d came first, want exactly 1", won)
	}
}

func repliesSweep(t *testing.T, s ports.Replies) {
	for i := range 5 {
		r := call(numbered("a", i), at)
		r.Until = at(i)
		must(t, true, s.Create(t.Context(), r))
	}
	n, err := s.Sweep(t.Context(), at(2))
	wantSame(t, "how many a sweep removed", must(t, n, err), 3)
	n, err = s.Sweep(t.Context(), at(2))
	wantSame(t, "how many a second sweep removed", must(t, n, err), 0)
	wantKind(t, "Get of what was swept", drop(s.Get(t.Context(), "a002")), fault.NotFound)
	must(t, true, drop(s.Get(t.Context(), "a003")))
}

func repliesLong(t *testing.T, s ports.Replies) {
	want := call("a", at)
	want.Request, want.Reply = "", ""
	must(t, true, s.Create(t.Context(), want))
	next := want
	next.Reply = secret.Box(strings.Repeat("x", idempotency.MostKept*4/3+1000))
	must(t, true, s.Swap(t.Context(), want, next))
	got, err := s.Get(t.Context(), "a")
	wantSame(t, "what is stored", must(t, got, err), next)
}

func repliesStrange(t *testing.T, s ports.Replies) {
	for _, scope := range append(strange(), unkept()...) {
		wantKind(t, "Get of an awkward name", drop(s.Get(t.Context(), scope)), fault.NotFound)
		if err := s.Create(t.Context(), call(scope, at)); err != nil {
			wantKind(t, "Create with text no database holds", err, fault.Invalid)
			continue
		}
		must(t, true, s.Swap(t.Context(), call(scope, at), call(scope, at)))
		got, err := s.Get(t.Context(), scope)
		wantSame(t, "what Get returned", must(t, got, err), call(scope, at))
	}
}

func repliesCancelled(t *testing.T, s ports.Replies) {
	was := call("a", at)
	must(t, true, s.Create(t.Context(), was))
	next := was
	next.State = idempotency.Done
	quick(t, map[string]func(context.Context) error{
		"Create": func(ctx context.Context) error { return s.Create(ctx, call("b", at)) },
		"Get":    func(ctx context.Context) error { return drop(s.Get(ctx, "a")) },
		"Swap":   func(ctx context.Context) error { return s.Swap(ctx, was, next) },
		"Remove": func(ctx context.Context) error { return s.Remove(ctx, was) },
		"Sweep":  func(ctx context.Context) error { return drop(s.Sweep(ctx, at(99))) },
	})
	got, err := s.Get(t.Context(), "a")
	wantSame(t, "what is stored", must(t, got, err), was)
	wantKind(t, "Get of what was not created", drop(s.Get(t.Context(), "b")), fault.NotFound)
}
