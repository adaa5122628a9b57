package conformance

import (
	"math/rand/v2"
	"testing"
	"time"

	"perch/domain/quota"
	"perch/ports"
)

// quotaOracle walks random steps over a few buckets, a few at a time. All windows
// of ours are too long to end meanwhile, so the time given to the domain does not
// matter; X's go by a clock of the walk.
func quotaOracle(t *testing.T, s ports.QuotaStore) {
	w := &quotaWalk{
		s: s, at: time.Now().UTC().Truncate(time.Second), buckets: map[quota.Name]quota.Bucket{},
		dice: rand.New(rand.NewPCG(20261123, 7)), // #nosec G404 -- the same steps each time
	}
	for i := range 600 {
		w.at = w.at.Add(time.Duration(w.dice.IntN(20_000)) * time.Millisecond)
		switch {
		case i%7 == 3:
			w.note(t)
		case i%5 == 2:
			w.refund(t)
		default:
			w.spend(t)
		}
		if t.Failed() {
			t.Fatalf("at step %d", i)
		}
	}
}

type quotaWalk struct {
	s       ports.QuotaStore
	at      time.Time
	dice    *rand.Rand
	buckets map[quota.Name]quota.Bucket
	given   []quota.Return
}

func (w *quotaWalk) charge() quota.Charge {
	limits := []quota.Limit{
		{Max: 1, Window: time.Hour}, {Max: 7, Window: time.Hour}, {Max: 7, Window: 24 * time.Hour},
		{Max: 60, Window: 2 * time.Hour}, {Max: 1 << 40, Window: 72 * time.Hour},
	}
	keys := []string{"app:a", "app:b", "grant:' OR 1=1 --?", ""}
	l := limits[w.dice.IntN(len(limits))]
	c := quota.Charge{Key: keys[w.dice.IntN(len(keys))], Max: l.Max, Window: l.Window}
	if w.dice.IntN(2) == 0 {
		c.Theirs, c.Window = true, 15*time.Minute
	}
	if w.dice.IntN(2) == 0 {
		c.Cost, c.Least = w.dice.Int64N(9), w.dice.Int64N(9)
	}
	if w.dice.IntN(3) == 0 {
		c.Share = w.dice.Int64N(101)
	}
	return c
}

func (w *quotaWalk) spend(t *testing.T) {
	t.Helper()
	var charges []quota.Charge
	var buckets []quota.Bucket
	var now []time.Time
	seen := map[quota.Name]bool{}
	for range 1 + w.dice.IntN(4) {
		c := w.charge()
		if seen[c.Name()] {
			continue
		}
		seen[c.Name()] = true
		charges, buckets = append(charges, c), append(buckets, w.buckets[c.Name()])
		if c.Theirs {
			now = append(now, w.at)
		} else {
			now = append(now, time.Now())
		}
	}
	whole, err := quota.Complete(charges)
	must(t, true, err)
	after, want := quota.Spend(whole, buckets, now)
	got, err := w.s.Spend(t.Context(), w.at, charges)
	must(t, got, err)
	if len(got.Grips) != len(charges) {
		t.Fatalf("%d charges had %d grips", len(charges), len(got.Grips))
	}
	for i, c := range charges {
		reset := got.Grips[i].Reset
		wantSame(t, "the window's end", reset, reset.UTC().Truncate(time.Microsecond))
		if c.Theirs {
			continue
		}
		if d := reset.Sub(want.Grips[i].Reset); d > time.Minute || d < -time.Minute {
			t.Errorf("a window of %v ends at %v, want about %v", c.Window, reset, want.Grips[i].Reset)
		}
		want.Grips[i].Reset = reset
		if want.Allowed {
			after[i].Reset = reset
		}
	}
	wantSame(t, "the verdict", got, want)
	for i, c := range charges {
		w.buckets[c.Name()] = after[i]
	}
	w.given = append(w.given, got.Returns(charges)...)
}

func (w *quotaWalk) refund(t *testing.T) {
	t.Helper()
	var back []quota.Return
	for range w.dice.IntN(4) {
		if len(w.given) == 0 {
			break
		}
		r := w.given[w.dice.IntN(len(w.given))] // some twice
		back = append(back, r)
		w.buckets[r.Charge.Name()] = w.buckets[r.Charge.Name()].Returned(r)
	}
	must(t, true, w.s.Refund(t.Context(), back))
}

func (w *quotaWalk) note(t *testing.T) {
	t.Helper()
	key := w.charge().Key
	n := quota.Note{
		Key: key, Max: w.dice.Int64N(70), Window: 15 * time.Minute,
		Reset: w.at.Add(time.Duration(w.dice.IntN(900)-30) * time.Second),
	}
	n.Used = w.dice.Int64N(n.Max + 6) // calls under way may be more than there are
	name := quota.NameOfTheirs(key)
	switch b := w.buckets[name]; w.dice.IntN(8) {
	case 0:
		n.Reset = b.Reset.Add(time.Duration(w.dice.IntN(2000)-1000) * time.Millisecond)
	case 1:
		n.Used = -1
	case 2:
		n.Reset = w.at.Add(100 * 365 * 24 * time.Hour)
	}
	for _, believed := range quota.Believable([]quota.Note{n}, w.at) {
		w.buckets[name] = w.buckets[name].Noted(believed, w.at)
	}
	must(t, true, w.s.Note(t.Context(), w.at, []quota.Note{n}))
}
