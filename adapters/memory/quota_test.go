package memory

import (
	"context"
	"errors"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
)

func take(t *testing.T, q *Quota, limit quota.Limit) (quota.Decision, error) {
	t.Helper()
	return q.Take(t.Context(), "k", limit)
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
	busy := quota.Limit{Max: 1, Window: time.Second}
	for _, l := range []quota.Limit{short, long, busy} {
		if _, err := take(t, q, l); err != nil {
			t.Fatal(err)
		}
	}
	q.limits[busy].users++
	q.forget(time.Now().Add(2 * time.Minute))
	q.limits[busy].users--
	for limit, want := range map[quota.Limit]bool{short: false, long: true, busy: true} {
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
	if _, err := q.Take(context.Background(), "k", limit); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Take after Close: got error %v, want unavailable", err)
	}
}

func closeQuota(t *testing.T, q *Quota) {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
