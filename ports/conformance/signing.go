package conformance

import (
	"context"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

// SigningKeys checks that open's stores keep the SigningKeys contract.
func SigningKeys(t *testing.T, open func(*testing.T) ports.SigningKeys) {
	run(t, open, []check[ports.SigningKeys]{
		{"what is added is listed as it was, the newest first", signingRoundTrip},
		{"an ID can be taken once", signingTakenID},
		{"a key must retire later than all stored ones", signingOrder},
		{"of replicas that rotate at once, one succeeds", signingRace},
		{"a private half is resealed if it still is what was read, and nothing else changes", signingReseal},
		{"of many that reseal one key at once, one succeeds", signingResealRace},
		{"a sweep removes what retired before and nothing else", signingSweep},
		{"a cancelled call is quick and adds nothing", signingCancelled},
	})
}

func signingKey(id string, n int, when func(int) time.Time) ports.SigningKey {
	return ports.SigningKey{ID: id, Private: secret.Box("box-" + id), Created: when(n), Retires: when(n + 30)}
}

func wantKeys(t *testing.T, s ports.SigningKeys, want ...ports.SigningKey) {
	t.Helper()
	got, err := s.List(t.Context())
	wantSame(t, "the stored keys", must(t, got, err), want)
}

func signingRoundTrip(t *testing.T, s ports.SigningKeys) {
	wantKeys(t, s)
	for i, id := range []string{"b", "' OR 1=1--", "a"} {
		must(t, true, s.Add(t.Context(), signingKey(id, i, fine)))
	}
	wantKeys(t, s, signingKey("a", 2, at), signingKey("' OR 1=1--", 1, at), signingKey("b", 0, at))
}

func signingTakenID(t *testing.T, s ports.SigningKeys) {
	must(t, true, s.Add(t.Context(), signingKey("a", 1, at)))
	wantKind(t, "Add with an ID that is taken", s.Add(t.Context(), signingKey("a", 2, at)), fault.Conflict)
	wantKeys(t, s, signingKey("a", 1, at))
}

func signingOrder(t *testing.T, s ports.SigningKeys) {
	must(t, true, s.Add(t.Context(), signingKey("a", 5, at)))
	wantKind(t, "Add of a key that retires earlier", s.Add(t.Context(), signingKey("b", 4, at)), fault.Conflict)
	wantKind(t, "Add of a key that retires at the same time", s.Add(t.Context(), signingKey("c", 5, at)), fault.Conflict)
	later := signingKey("d", 5, at)
	later.Retires = later.Retires.Add(time.Microsecond)
	must(t, true, s.Add(t.Context(), later))
	wantKeys(t, s, later, signingKey("a", 5, at))
}

func signingRace(t *testing.T, s ports.SigningKeys) {
	for round := range 3 {
		oneWins(t, race(20, func(i int) error {
			return s.Add(t.Context(), signingKey(numbered(numbered("k", round), i), round, at))
		}), fault.Conflict)
	}
	got, err := s.List(t.Context())
	wantSame(t, "how many keys there are", len(must(t, got, err)), 3)
}

func signingReseal(t *testing.T, s ports.SigningKeys) {
	for i, id := range []string{"a", "' OR 1=1--"} {
		must(t, true, s.Add(t.Context(), signingKey(id, i, at)))
	}
	resealed := signingKey("' OR 1=1--", 1, at)
	resealed.Private = "another box"
	must(t, true, s.Reseal(t.Context(), resealed.ID, signingKey(resealed.ID, 1, at).Private, resealed.Private))
	wantKeys(t, s, resealed, signingKey("a", 0, at))

	wantKind(t, "Reseal of what was resealed meanwhile",
		s.Reseal(t.Context(), resealed.ID, "box-"+secret.Box(resealed.ID), "a third"), fault.Conflict)
	wantKind(t, "Reseal of another key's box", s.Reseal(t.Context(), "a", resealed.Private, "a third"), fault.Conflict)
	for _, id := range append(unkept(), "", "A", "nobody") {
		wantKind(t, "Reseal of a key that is not there", s.Reseal(t.Context(), id, "box-a", "a third"), fault.NotFound)
	}
	wantKeys(t, s, resealed, signingKey("a", 0, at))
	must(t, true, s.Reseal(t.Context(), "a", "box-a", "box-a"))
	wantKeys(t, s, resealed, signingKey("a", 0, at))
}

func signingResealRace(t *testing.T, s ports.SigningKeys) {
	must(t, true, s.Add(t.Context(), signingKey("a", 0, at)))
	oneWins(t, race(20, func(i int) error {
		return s.Reseal(t.Context(), "a", "box-a", secret.Box(numbered("next", i)))
	}), fault.Conflict)
}

func signingSweep(t *testing.T, s ports.SigningKeys) {
	for i := range 4 {
		must(t, true, s.Add(t.Context(), signingKey(numbered("k", i), i, at)))
	}
	n, err := s.Sweep(t.Context(), at(32))
	wantSame(t, "how many a sweep removed", must(t, n, err), 2)
	wantKeys(t, s, signingKey("k003", 3, at), signingKey("k002", 2, at))
	n, err = s.Sweep(t.Context(), at(99))
	wantSame(t, "how many the last sweep removed", must(t, n, err), 2)
	must(t, true, s.Add(t.Context(), signingKey("after", 1, at)))
	wantKeys(t, s, signingKey("after", 1, at))
}

func signingCancelled(t *testing.T, s ports.SigningKeys) {
	must(t, true, s.Add(t.Context(), signingKey("a", 1, at)))
	quick(t, map[string]func(context.Context) error{
		"Add":    func(ctx context.Context) error { return s.Add(ctx, signingKey("b", 2, at)) },
		"Reseal": func(ctx context.Context) error { return s.Reseal(ctx, "a", "box-a", "next") },
		"List":   func(ctx context.Context) error { return drop(s.List(ctx)) },
		"Sweep":  func(ctx context.Context) error { return drop(s.Sweep(ctx, at(99))) },
	})
	wantKeys(t, s, signingKey("a", 1, at))
}
