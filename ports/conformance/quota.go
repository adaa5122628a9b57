package conformance

import (
	"context"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// QuotaStore checks that open's stores keep the QuotaStore contract. Windows
// are those of the store's own clock, which may differ from ours by up to a
// minute.
func QuotaStore(t *testing.T, open func(*testing.T) ports.QuotaStore) {
	run(t, open, []check[ports.QuotaStore]{
		{"every verdict is the domain's", quotaOracle},
		{"fifty racers for ten calls get ten", quotaRace},
		{"of charges that meet in every order, all are made or none", quotaTogether},
		{"charges of X's windows are exact under many", quotaTheirs},
		{"no bucket is charged twice at once", quotaTwice},
		{"nothing to charge is allowed", quotaEmpty},
		{"a window that has ended takes nothing back", quotaLate},
		{"limits with other windows or maxima count apart", quotaApart},
		{"a limit of nothing allows nothing", quotaNothing},
		{"when the window has ended, a new one starts", quotaExpiry},
		{"a window never allows more than its limit, however many there are", quotaWindows},
		{"awkward names are only names", quotaStrange},
		{"a cancelled call is quick and spends nothing", quotaCancelled},
	})
}

// take charges one bucket of ours with one call.
func take(ctx context.Context, s ports.QuotaStore, key string, l quota.Limit) (quota.Decision, error) {
	v, err := s.Spend(ctx, time.Now(), []quota.Charge{{Key: key, Max: l.Max, Window: l.Window}})
	if err != nil {
		return quota.Decision{}, err
	}
	return v.Grips[0].Decision, nil
}

func quotaRace(t *testing.T, s ports.QuotaStore) {
	limit := quota.Limit{Max: 10, Window: time.Hour}
	type answer struct {
		d   quota.Decision
		err error
	}
	seen := map[int64]int{}
	allowed := 0
	for _, a := range race(50, func(int) answer {
		d, err := take(t.Context(), s, "k", limit)
		return answer{d, err}
	}) {
		if must(t, a.d, a.err).Allowed {
			allowed++
			seen[a.d.Remaining]++
		}
	}
	if allowed != 10 || len(seen) != 10 {
		t.Errorf("%d of 50 calls were allowed, with %d different remainders; want 10 and 10", allowed, len(seen))
	}
}

// quotaTogether has callers charge three buckets, each in an order of its own.
func quotaTogether(t *testing.T, s ports.QuotaStore) {
	all := []quota.Charge{
		{Key: "a", Max: 40, Window: time.Hour}, {Key: "b", Max: 25, Window: 2 * time.Hour},
		{Key: "c", Max: 30, Window: time.Hour, Theirs: true},
	}
	at := time.Now()
	type answer struct {
		v   quota.Verdict
		err error
	}
	allowed := 0
	for _, a := range race(60, func(i int) answer {
		mine := []quota.Charge{all[i%3], all[(i+1+i/3%2)%3], all[(i+2-i/3%2)%3]}
		v, err := s.Spend(t.Context(), at, mine)
		return answer{v, err}
	}) {
		if must(t, a.v, a.err).Allowed {
			allowed++
		}
	}
	if allowed != 25 {
		t.Errorf("%d of 60 were allowed, want the 25 that the smallest has", allowed)
	}
	for i, left := range []int64{15, 0, 5} {
		v, err := s.Spend(t.Context(), at, []quota.Charge{{
			Key: all[i].Key, Max: all[i].Max, Window: all[i].Window, Theirs: all[i].Theirs, Cost: 99, Least: 1,
		}})
		if got := must(t, v, err).Grips[0].Given; got != left {
			t.Errorf("%s had %d left, want %d", all[i].Key, got, left)
		}
	}
}

func quotaTheirs(t *testing.T, s ports.QuotaStore) {
	at := time.Now().UTC().Truncate(time.Second)
	c := quota.Charge{Key: "x", Max: 20, Window: 15 * time.Minute, Theirs: true, Cost: 3, Least: 1}
	type answer struct {
		v   quota.Verdict
		err error
	}
	var given int64
	for i, a := range race(30, func(i int) answer {
		if i == 15 {
			return answer{err: s.Note(t.Context(), at, []quota.Note{{
				Key: "x", Max: 50, Used: 0, Reset: at.Add(10 * time.Minute), Window: 15 * time.Minute,
			}})}
		}
		v, err := s.Spend(t.Context(), at, []quota.Charge{c})
		return answer{v, err}
	}) {
		if must(t, a.v, a.err); i != 15 {
			given += a.v.Grips[0].Given
		}
	}
	c.Cost = 99
	v, err := s.Spend(t.Context(), at, []quota.Charge{c})
	if got := given + must(t, v, err).Grips[0].Given; got != 50 {
		t.Errorf("a window of 50 gave %d", got)
	}
	if want := at.Add(10 * time.Minute); !v.Grips[0].Reset.Equal(want) {
		t.Errorf("it ends at %v, want %v, as X said", v.Grips[0].Reset, want)
	}
}

func quotaTwice(t *testing.T, s ports.QuotaStore) {
	c := quota.Charge{Key: "k", Max: 5, Window: time.Hour}
	wantKind(t, "Spend of one bucket twice", drop(s.Spend(t.Context(), time.Now(), []quota.Charge{c, c})), fault.Invalid)
}

func quotaEmpty(t *testing.T, s ports.QuotaStore) {
	v, err := s.Spend(t.Context(), time.Now(), nil)
	if !must(t, v, err).Allowed {
		t.Error("a charge of nothing was refused")
	}
	must(t, true, s.Refund(t.Context(), nil))
	must(t, true, s.Note(t.Context(), time.Now(), nil))
	must(t, true, s.Refund(t.Context(), []quota.Return{{
		Charge: quota.Charge{Key: "never charged", Max: 1, Window: time.Hour}, Given: 1, Reset: time.Now(),
	}}))
}

func quotaLate(t *testing.T, s ports.QuotaStore) {
	at := time.Now().UTC().Truncate(time.Second)
	c := quota.Charge{Key: "x", Max: 2, Window: time.Minute, Theirs: true, Cost: 2}
	v, err := s.Spend(t.Context(), at, []quota.Charge{c})
	old := must(t, v, err).Returns([]quota.Charge{c})
	at = at.Add(time.Minute)
	v, err = s.Spend(t.Context(), at, []quota.Charge{c})
	if !must(t, v, err).Allowed {
		t.Fatal("a new window was refused")
	}
	must(t, true, s.Refund(t.Context(), old))
	v, err = s.Spend(t.Context(), at, []quota.Charge{c})
	if must(t, v, err).Allowed {
		t.Error("what an ended window gave was given back to the next")
	}
}

func quotaApart(t *testing.T, s ports.QuotaStore) {
	for _, limit := range []quota.Limit{
		{Max: 1, Window: time.Hour}, {Max: 2, Window: time.Hour}, {Max: 1, Window: 2 * time.Hour},
	} {
		for _, key := range []string{"k", "K", "k1"} {
			got, err := take(t.Context(), s, key, limit)
			if d := must(t, got, err); !d.Allowed || d.Remaining != limit.Max-1 || d.Limit != limit.Max {
				t.Errorf("first call of %q under %+v: got %+v", key, limit, d)
			}
		}
	}
}

func quotaNothing(t *testing.T, s ports.QuotaStore) {
	for range 3 {
		got, err := take(t.Context(), s, "k", quota.Limit{Max: 0, Window: time.Hour})
		if d := must(t, got, err); d.Allowed || d.Remaining != 0 || d.Limit != 0 || d.Reset.IsZero() {
			t.Errorf("a call under a limit of nothing: got %+v", d)
		}
	}
}

func quotaExpiry(t *testing.T, s ports.QuotaStore) {
	for window := 150 * time.Millisecond; window < time.Minute; window *= 2 { // a slow machine needs longer ones
		if quotaEnds(t, s, quota.Limit{Max: 1, Window: window}) {
			return
		}
	}
	t.Fatal("in no window was the second call refused")
}

// quotaEnds uses up a window and waits for the next. It reports whether a call was
// refused in between.
func quotaEnds(t *testing.T, s ports.QuotaStore, limit quota.Limit) (refused bool) {
	t.Helper()
	first, err := take(t.Context(), s, "k", limit)
	if !must(t, first, err).Allowed {
		t.Fatalf("the first call was refused: %+v", first)
	}
	for start := time.Now(); time.Since(start) < limit.Window+time.Minute; time.Sleep(5 * time.Millisecond) {
		got, err := take(t.Context(), s, "k", limit)
		must(t, got, err)
		switch {
		case !got.Allowed && got.Reset.Equal(first.Reset):
			refused = true
		case got.Allowed && !got.Reset.Before(first.Reset.Add(time.Millisecond)):
			return refused
		default:
			t.Fatalf("after %+v came %+v", first, got)
		}
	}
	t.Fatalf("a window of %v did not end", limit.Window)
	return refused
}

// quotaWindows counts what is allowed by window, while many spend at once and
// windows come and go.
func quotaWindows(t *testing.T, s ports.QuotaStore) {
	limit := quota.Limit{Max: 5, Window: 60 * time.Millisecond}
	began := time.Now()
	perWindow := map[time.Time]int64{}
	for _, got := range race(8, func(int) []quota.Decision {
		var all []quota.Decision
		ends := map[time.Time]bool{}
		for time.Since(began) < 400*time.Millisecond || len(ends) < 2 && time.Since(began) < time.Minute {
			d, err := take(t.Context(), s, "k", limit)
			if err != nil {
				t.Error(err)
				return nil
			}
			ends[d.Reset] = true
			if d.Allowed {
				all = append(all, d)
			}
		}
		return all
	}) {
		for _, d := range got {
			perWindow[d.Reset]++
		}
	}
	if len(perWindow) < 2 {
		t.Errorf("calls were allowed in %d windows of 60ms", len(perWindow))
	}
	for reset, n := range perWindow {
		if n > limit.Max {
			t.Errorf("the window that ended at %v allowed %d calls, want at most %d", reset, n, limit.Max)
		}
	}
}

func quotaStrange(t *testing.T, s ports.QuotaStore) {
	limit := quota.Limit{Max: 1, Window: time.Hour}
	for _, key := range strange() {
		for _, want := range []bool{true, false} {
			got, err := take(t.Context(), s, key, limit)
			if must(t, got, err).Allowed != want {
				t.Errorf("key %q: got allowed %v, want %v", key, got.Allowed, want)
			}
		}
	}
}

func quotaCancelled(t *testing.T, s ports.QuotaStore) {
	limit := quota.Limit{Max: 1, Window: time.Hour}
	quick(t, map[string]func(context.Context) error{
		"Spend": func(ctx context.Context) error { return drop(take(ctx, s, "k", limit)) },
	})
	got, err := take(t.Context(), s, "k", limit)
	if !must(t, got, err).Allowed {
		t.Error("a cancelled call spent the limit")
	}
}
