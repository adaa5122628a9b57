package memory

import (
	"errors"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
)

func take(t *testing.T, q *Quota, limit quota.Limit) (quota.Decision, error) {
	t.Helper()
	v, err := q.Spend(t.Context(), time.Now(), []quota.Charge{{Key: "k", Max: limit.Max, Window: limit.Window}})
	if err != nil {
		return quota.Decision{}, err
	}
	return v.Grips[0].Decision, nil
}

func TestQuotaBoundsItsLimits(t *testing.T) {
	q := NewQuota()
	defer closeQuota(t, q)
	for i := range int64(maxLimits) {
		if _, err := take(t, q, quota.Limit{Max: i + 1, Window: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := take(t, q, quota.Limit{Max: 1, Window: time.Minute}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("one limit too many: got error %v, want unavailable", err)
	}
	if d, err := take(t, q, quota.Limit{Max: 1, Window: time.Hour}); err != nil || d.Allowed {
		t.Errorf("a limit in use lost its count: got %+v, %v", d, err)
	}
}

func TestQuotaForgetsOnlyEndedWindows(t *testing.T) {
	q := NewQuota()
	defer closeQuota(t, q)
	short, long := quota.Limit{Max: 1, Window: time.Minute}, quota.Limit{Max: 1, Window: time.Hour}
	for _, l := range []quota.Limit{short, long} {
		if _, err := take(t, q, l); err != nil {
			t.Fatal(err)
		}
	}
	q.forget(time.Now().Add(2 * time.Minute))
	for limit, want := range map[quota.Limit]bool{short: false, long: true} {
		if _, got := q.limits[limit]; got != want {
			t.Errorf("after two minutes %+v is kept: got %v, want %v", limit, got, want)
		}
	}
}

func TestSweepWaitsForTheWindow(t *testing.T) {
	for _, window := range []time.Duration{time.Millisecond, time.Minute, 24 * time.Hour, 31 * 24 * time.Hour} {
		p := policy(quota.Limit{Max: 5, Window: window})
		if p.SweepMinTTL <= window || p.SweepInterval > time.Hour || p.SweepInterval <= 0 {
			t.Errorf("window %v is swept after %v, every %v", window, p.SweepMinTTL, p.SweepInterval)
		}
	}
}

func TestClosedQuotaRefuses(t *testing.T) {
	q := NewQuota()
	limit := quota.Limit{Max: 2, Window: time.Hour}
	if _, err := take(t, q, limit); err != nil {
		t.Fatal(err)
	}
	closeQuota(t, q)
	closeQuota(t, q)
	if _, err := take(t, q, limit); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Spend after Close: got error %v, want unavailable", err)
	}
}

func TestQuotaForgetsWhatXSaidAfterADay(t *testing.T) {
	q := NewQuota()
	defer closeQuota(t, q)
	at := time.Now()
	note := func(key string) {
		t.Helper()
		if err := q.Note(t.Context(), at, []quota.Note{{Key: key, Max: 5, Reset: at.Add(time.Minute)}}); err != nil {
			t.Fatal(err)
		}
	}
	note("old")
	at = at.Add(memoryOfX)
	note("new")
	if len(q.theirs) != 2 {
		t.Errorf("a day later %d windows are known, want both", len(q.theirs))
	}
	at = at.Add(2 * time.Minute)
	note("new")
	if _, kept := q.theirs["old"]; kept || len(q.theirs) != 1 {
		t.Errorf("later %d windows are known, want the new one", len(q.theirs))
	}
}

func closeQuota(t *testing.T, q *Quota) {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
