package conformance

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"perch/domain/quota"
	"perch/ports"
)

// QuotaStore checks that open's stores keep the QuotaStore contract. Windows
// are those of the store's own clock, which may differ from ours by up to a
// minute.
func QuotaStore(t *testing.T, open func(*testing.T) ports.QuotaStore) {
	run(t, open, []check[ports.QuotaStore]{
		{"every decision within a window is the domain's", quotaOracle},
		{"fifty racers for ten calls get ten", quotaRace},
		{"limits with other windows or maxima count apart", quotaApart},
		{"a limit of nothing allows nothing", quotaNothing},
		{"when the window has ended, a new one starts", quotaExpiry},
		{"a window never allows more than its limit, however many there are", quotaWindows},
		{"awkward names are only names", quotaStrange},
		{"a cancelled call is quick and spends nothing", quotaCancelled},
	})
}

// quotaOracle walks random steps over a few keys and limits. All windows are
// too long to end meanwhile, so the time given to the domain does not matter.
func quotaOracle(t *testing.T, s ports.QuotaStore) {
	limits := []quota.Limit{
		{Max: 1, Window: time.Hour}, {Max: 7, Window: time.Hour}, {Max: 7, Window: 24 * time.Hour},
		{Max: 60, Window: 2 * time.Hour}, {Max: 1 << 40, Window: 72 * time.Hour},
	}
	keys := []string{"app:a", "app:b", "grant:' OR 1=1", ""}
	type counted struct {
		key   string
		limit quota.Limit
	}
	buckets := map[counted]quota.Bucket{}
	resets := map[counted]time.Time{}
	steps := rand.New(rand.NewPCG(20261123, 7)) // #nosec G404 -- the same steps each time
	for i := range 500 {
		c := counted{keys[steps.IntN(len(keys))], limits[steps.IntN(len(limits))]}
		now := time.Now()
		bucket, want := c.limit.Decide(buckets[c], now)
		buckets[c] = bucket
		got, err := s.Take(t.Context(), c.key, c.limit)
		must(t, got, err)
		if resets[c].IsZero() {
			resets[c] = got.Reset
		}
		if d := got.Reset.Sub(now.Add(c.limit.Window)); d > time.Minute || d < -2*time.Minute {
			t.Errorf("step %d: the window ends at %v, want about %v", i, got.Reset, now.Add(c.limit.Window))
		}
		want.Reset = resets[c]
		wantSame(t, "the window's end", got.Reset, got.Reset.UTC().Truncate(time.Microsecond))
		wantSame(t, numbered("decision ", i), got, want)
		if t.Failed() {
			return
		}
	}
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
		d, err := s.Take(t.Context(), "k", limit)
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

func quotaApart(t *testing.T, s ports.QuotaStore) {
	for _, limit := range []quota.Limit{
		{Max: 1, Window: time.Hour}, {Max: 2, Window: time.Hour}, {Max: 1, Window: 2 * time.Hour},
	} {
		for _, key := range []string{"k", "K", "k1"} {
			got, err := s.Take(t.Context(), key, limit)
			if d := must(t, got, err); !d.Allowed || d.Remaining != limit.Max-1 || d.Limit != limit.Max {
				t.Errorf("first call of %q under %+v: got %+v", key, limit, d)
			}
		}
	}
}

func quotaNothing(t *testing.T, s ports.QuotaStore) {
	for range 3 {
		got, err := s.Take(t.Context(), "k", quota.Limit{Max: 0, Window: time.Hour})
		if d := must(t, got, err); d.Allowed || d.Remaining != 0 || d.Limit != 0 || d.Reset.IsZero() {
			t.Errorf("a call under a limit of nothing: got %+v", d)
		}
	}
}

func quotaExpiry(t *testing.T, s ports.QuotaStore) {
	limit := quota.Limit{Max: 1, Window: 150 * time.Millisecond}
	first, err := s.Take(t.Context(), "k", limit)
	if !must(t, first, err).Allowed {
		t.Fatalf("the first call was refused: %+v", first)
	}
	refused := false
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		got, err := s.Take(t.Context(), "k", limit)
		must(t, got, err)
		switch {
		case !got.Allowed && got.Reset.Equal(first.Reset):
			refused = true
		case got.Allowed && !got.Reset.Before(first.Reset.Add(time.Millisecond)):
			if !refused {
				first = got // the machine was too slow to be refused; look at the next window
				continue
			}
			return
		default:
			t.Fatalf("after %+v came %+v", first, got)
		}
	}
	t.Fatal("a window of 150ms did not end within 10s, or its limit did not hold")
}

// quotaWindows counts what is allowed by window, while many spend at once and
// windows come and go.
func quotaWindows(t *testing.T, s ports.QuotaStore) {
	limit := quota.Limit{Max: 5, Window: 60 * time.Millisecond}
	until := time.Now().Add(400 * time.Millisecond)
	perWindow := map[time.Time]int64{}
	for _, got := range race(8, func(int) []quota.Decision {
		var all []quota.Decision
		for time.Now().Before(until) {
			d, err := s.Take(t.Context(), "k", limit)
			if err != nil {
				t.Error(err)
				return nil
			}
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
		t.Errorf("400ms had %d windows of 60ms", len(perWindow))
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
			got, err := s.Take(t.Context(), key, limit)
			if must(t, got, err).Allowed != want {
				t.Errorf("key %q: got allowed %v, want %v", key, got.Allowed, want)
			}
		}
	}
}

func quotaCancelled(t *testing.T, s ports.QuotaStore) {
	limit := quota.Limit{Max: 1, Window: time.Hour}
	quick(t, map[string]func(context.Context) error{
		"Take": func(ctx context.Context) error { return drop(s.Take(ctx, "k", limit)) },
	})
	got, err := s.Take(t.Context(), "k", limit)
	if !must(t, got, err).Allowed {
		t.Error("a cancelled call spent the limit")
	}
}
