package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"perch/domain/fault"
)

// A record is how the suites handle what a port P keeps by ID and version.
type record[P, V any] struct {
	// sample fills every field: those that never change after the ID alone, the
	// others after n as well. Version stays zero.
	sample func(id string, n int, when func(minutes int) time.Time) V
	with   func(v V, id string, version int64) V
	create func(p P, ctx context.Context, v V) (V, error)
	get    func(p P, ctx context.Context, id string) (V, error)
	swap   func(p P, ctx context.Context, old, next V) (V, error)
}

// checks are what holds for everything that has a version.
func (r record[P, V]) checks() []check[P] {
	return []check[P]{
		{"what is created comes back in UTC and exact to the microsecond", r.roundTrip},
		{"what was never set comes back as never set", r.zero},
		{"an ID can be taken once", r.takenID},
		{"of many who create the same ID one succeeds", r.createRace},
		{"an unknown ID is not found", r.unknown},
		{"a swap replaces everything but the ID and counts the version", r.swaps},
		{"a stale swap is refused and stores nothing", r.stale},
		{"one of many concurrent swaps wins", r.swapRace},
		{"swaps in a loop lose no update", r.noLostUpdate},
		{"a swap of what is not there is not found", r.swapUnknown},
		{"awkward names are only names", r.strange},
		{"text is kept whole or refused, never changed", r.whole},
		{"a cancelled write is not done", r.cancelled},
	}
}

func (r record[P, V]) roundTrip(t *testing.T, p P) {
	want := r.with(r.sample("a", 1, at), "a", 1)
	got, err := r.create(p, t.Context(), r.with(r.sample("a", 1, fine), "a", 77))
	wantSame(t, "what Create returned", must(t, got, err), want)
	got, err = r.get(p, t.Context(), "a")
	wantSame(t, "what Get returned", must(t, got, err), want)
}

func (r record[P, V]) zero(t *testing.T, p P) {
	var none V
	want := r.with(none, "a", 1)
	got, err := r.create(p, t.Context(), r.with(none, "a", 0))
	wantSame(t, "what Create returned", must(t, got, err), want)
	got, err = r.get(p, t.Context(), "a")
	wantSame(t, "what Get returned", must(t, got, err), want)
}

func (r record[P, V]) takenID(t *testing.T, p P) {
	first, err := r.create(p, t.Context(), r.sample("a", 1, at))
	must(t, first, err)
	_, err = r.create(p, t.Context(), r.with(r.sample("b", 2, at), "a", 0))
	wantKind(t, "Create with an ID that is taken", err, fault.Conflict)
	got, err := r.get(p, t.Context(), "a")
	wantSame(t, "what is stored", must(t, got, err), first)
}

func (r record[P, V]) createRace(t *testing.T, p P) {
	oneWins(t, race(20, func(i int) error {
		return drop(r.create(p, t.Context(), r.with(r.sample(numbered("o", i), i, at), "a", 0)))
	}), fault.Conflict)
}

func (r record[P, V]) unknown(t *testing.T, p P) {
	must(t, true, drop(r.create(p, t.Context(), r.sample("a", 1, at))))
	for _, id := range []string{"b", "A", "", "a ", "aa"} {
		wantKind(t, "Get("+id+")", drop(r.get(p, t.Context(), id)), fault.NotFound)
	}
}

func (r record[P, V]) swaps(t *testing.T, p P) {
	old, err := r.create(p, t.Context(), r.sample("a", 1, at))
	must(t, old, err)
	must(t, true, drop(r.create(p, t.Context(), r.sample("b", 3, at))))

	want := r.with(r.sample("a", 2, at), "a", 2)
	got, err := r.swap(p, t.Context(), old, r.with(r.sample("a", 2, fine), "b", 99))
	wantSame(t, "what Swap returned", must(t, got, err), want)
	got, err = r.get(p, t.Context(), "a")
	wantSame(t, "what Get returned", must(t, got, err), want)

	got, err = r.get(p, t.Context(), "b")
	wantSame(t, "its neighbour", must(t, got, err), r.with(r.sample("b", 3, at), "b", 1))

	var none V
	if _, err := r.swap(p, t.Context(), want, r.with(none, "a", 0)); err != nil {
		t.Errorf("Swap back to nothing: %v", err)
	}
}

func (r record[P, V]) stale(t *testing.T, p P) {
	old, err := r.create(p, t.Context(), r.sample("a", 1, at))
	must(t, old, err)
	second, err := r.swap(p, t.Context(), old, r.sample("a", 2, at))
	must(t, second, err)
	_, err = r.swap(p, t.Context(), old, r.sample("a", 3, at))
	wantKind(t, "Swap from a version that has gone", err, fault.Conflict)
	_, err = r.swap(p, t.Context(), r.with(second, "a", 3), r.sample("a", 3, at))
	wantKind(t, "Swap from a version that is yet to come", err, fault.Conflict)
	got, err := r.get(p, t.Context(), "a")
	wantSame(t, "what is stored", must(t, got, err), second)
}

func (r record[P, V]) swapRace(t *testing.T, p P) {
	old, err := r.create(p, t.Context(), r.sample("a", 1, at))
	must(t, old, err)
	oneWins(t, race(50, func(i int) error {
		return drop(r.swap(p, t.Context(), old, r.sample("a", i, at)))
	}), fault.Conflict)
}

// noLostUpdate has each writer try until it has swapped five times: the version
// then counts every one of them.
func (r record[P, V]) noLostUpdate(t *testing.T, p P) {
	const writers, each = 8, 5
	must(t, true, drop(r.create(p, t.Context(), r.sample("a", 0, at))))
	for _, err := range race(writers, func(i int) error {
		for done := 0; done < each; {
			old, err := r.get(p, t.Context(), "a")
			if err != nil {
				return err
			}
			switch _, err := r.swap(p, t.Context(), old, r.sample("a", i, at)); {
			case err == nil:
				done++
			case !errors.Is(err, fault.Conflict):
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	last, err := r.get(p, t.Context(), "a")
	must(t, last, err)
	want := r.with(last, "a", 1+writers*each)
	wantSame(t, "the last version", last, want)
}

func (r record[P, V]) swapUnknown(t *testing.T, p P) {
	old := r.with(r.sample("a", 1, at), "a", 1)
	wantKind(t, "Swap", drop(r.swap(p, t.Context(), old, r.sample("a", 2, at))), fault.NotFound)
	wantKind(t, "Get", drop(r.get(p, t.Context(), "a")), fault.NotFound)
}

func (r record[P, V]) strange(t *testing.T, p P) {
	for i, id := range strange() {
		wantKind(t, "Get of an awkward name", drop(r.get(p, t.Context(), id)), fault.NotFound)
		want := r.with(r.sample(id, i, at), id, 1)
		must(t, true, drop(r.create(p, t.Context(), r.sample(id, i, at))))
		got, err := r.get(p, t.Context(), id)
		wantSame(t, "what is stored as "+id, must(t, got, err), want)
	}
}

func (r record[P, V]) whole(t *testing.T, p P) {
	must(t, true, drop(r.create(p, t.Context(), r.sample("a", 1, at))))
	must(t, true, drop(r.create(p, t.Context(), r.sample("a\uFFFD", 1, at))))
	for i, id := range unkept() {
		wantKind(t, "Get of text no database holds", drop(r.get(p, t.Context(), id)), fault.NotFound)
		if err := drop(r.create(p, t.Context(), r.sample(id, i, at))); err != nil {
			wantKind(t, "Create with text no database holds", err, fault.Invalid)
			continue
		}
		got, err := r.get(p, t.Context(), id)
		wantSame(t, "what is stored", must(t, got, err), r.with(r.sample(id, i, at), id, 1))
	}
}

func (r record[P, V]) cancelled(t *testing.T, p P) {
	old, err := r.create(p, t.Context(), r.sample("a", 1, at))
	must(t, old, err)
	quick(t, map[string]func(context.Context) error{
		"Create": func(ctx context.Context) error { return drop(r.create(p, ctx, r.sample("b", 1, at))) },
		"Get":    func(ctx context.Context) error { return drop(r.get(p, ctx, "a")) },
		"Swap":   func(ctx context.Context) error { return drop(r.swap(p, ctx, old, r.sample("a", 2, at))) },
	})
	wantKind(t, "Get of what was not created", drop(r.get(p, t.Context(), "b")), fault.NotFound)
	got, err := r.get(p, t.Context(), "a")
	wantSame(t, "what was not swapped", must(t, got, err), old)
}
