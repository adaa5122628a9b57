package memory

import (
	"fmt"
	"testing"
	"time"

	"perch/domain/quota"
)

// of is one of a crowd, who may make two calls an hour.
func of(crowd string, i int) quota.Charge {
	return quota.Charge{Key: fmt.Sprintf("address:%s:%d", crowd, i), Max: 2, Window: time.Hour, Crowd: crowd}
}

func (q *Quota) gives(t *testing.T, c quota.Charge) bool {
	t.Helper()
	v, err := q.Spend(t.Context(), time.Now(), []quota.Charge{c})
	if err != nil {
		t.Fatal(err)
	}
	return v.Allowed
}

// TestQuotaCountsACrowdTogetherWhereItIsTooLarge: so that a limit gives no more than
// it would to as many as are counted by themselves, and to one each crowd besides.
func TestQuotaCountsACrowdTogetherWhereItIsTooLarge(t *testing.T) {
	q := NewQuota()
	defer closeQuota(t, q)
	q.most = 10
	early := of("address6:a", 0)
	given := 0
	for i := range 500 {
		for range 3 {
			if q.gives(t, of("address6:a", i)) {
				given++
			}
		}
	}
	if given != 2*10+2 {
		t.Errorf("500 of one crowd were given %d calls, want 22", given)
	}
	if q.gives(t, early) {
		t.Error("who was counted by itself was forgotten")
	}
	if other := of("address4:b", 0); !q.gives(t, other) {
		t.Error("another kind of crowd is counted with it")
	}
	if key := (quota.Charge{Key: "grant:g", Max: 2, Window: time.Hour}); !q.gives(t, key) {
		t.Error("what is of no crowd is counted with it")
	}
	limit := quota.Limit{Max: 2, Window: time.Hour}
	if c := q.limits[limit].crowds["address6"]; len(c.young)+len(c.old) != 10 {
		t.Errorf("%d are known by themselves, want 10", len(c.young)+len(c.old))
	}
}

// TestQuotaTakesBackFromACrowd what it gave to one of it.
func TestQuotaTakesBackFromACrowd(t *testing.T) {
	q := NewQuota()
	defer closeQuota(t, q)
	q.most = 1
	for i := range 2 {
		c := []quota.Charge{of("address6:a", i)}
		for range 5 {
			v, err := q.Spend(t.Context(), time.Now(), c)
			if err != nil || !v.Allowed {
				t.Fatalf("%+v, %v", v, err)
			}
			if err := q.Refund(t.Context(), v.Returns(c)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestACensusForgetsWhoStaysAway, and nobody else: who is forgotten has no bucket left.
func TestACensusForgetsWhoStaysAway(t *testing.T) {
	const stay = time.Hour
	at, c := time.Now(), &census{}
	counts := func(one uint64, later time.Duration, want bool) {
		t.Helper()
		at = at.Add(later)
		if got := c.counts(one, at, stay, 2); got != want {
			t.Errorf("%d is counted by itself: got %v, want %v", one, got, want)
		}
	}
	counts(1, 0, true)
	counts(2, 0, true)
	counts(3, 0, false)
	counts(1, stay-1, true)
	counts(3, 1, false) // the second was there an hour ago
	counts(1, stay-1, true)
	counts(3, 1, true) // in its place
	counts(1, 0, true)
	counts(2, 0, false)
	counts(4, 2*stay, true)
	counts(5, 0, true)
	counts(1, 0, false)
}
