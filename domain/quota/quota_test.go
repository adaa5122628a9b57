package quota_test

import (
	"testing"
	"time"

	"perch/domain/quota"
)

func TestDecide(t *testing.T) {
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	limit := quota.Limit{Max: 2, Window: time.Minute}
	var b quota.Bucket
	var d quota.Decision
	for i, v := range []struct {
		at        time.Duration
		allowed   bool
		remaining int64
		reset     time.Duration
	}{
		{0, true, 1, time.Minute}, {time.Second, true, 0, time.Minute}, {59 * time.Second, false, 0, time.Minute},
		{time.Minute, true, 1, 2 * time.Minute}, // the window has ended, and starts with the first call
		{5 * time.Minute, true, 1, 6 * time.Minute},
	} {
		b, d = limit.Decide(b, noon.Add(v.at))
		if d.Allowed != v.allowed || d.Remaining != v.remaining || !d.Reset.Equal(noon.Add(v.reset)) || d.Limit != 2 {
			t.Errorf("call %d: %+v", i, d)
		}
	}
}
