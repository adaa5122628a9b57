package conformance

import (
	"context"
	"testing"
	"time"

	"perch/ports"
)

// Clock checks that open's clocks keep the Clock contract. They must be of a
// machine whose time is about ours.
func Clock(t *testing.T, open func(*testing.T) ports.Clock) {
	run(t, open, []check[ports.Clock]{
		{"the time is about now, in UTC and exact to the microsecond", clockIsNow},
		{"time passes and does not turn back", clockPasses},
		{"a cancelled call is quick", clockCancelled},
	})
}

func clockIsNow(t *testing.T, c ports.Clock) {
	before := time.Now()
	now, err := c.Now(t.Context())
	must(t, now, err)
	if off := now.Sub(before); off < -5*time.Second || off > 30*time.Second {
		t.Errorf("the clock is off by %v", off)
	}
	if now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		t.Errorf("the time is %v", now)
	}
}

func clockPasses(t *testing.T, c ports.Clock) {
	first, err := c.Now(t.Context())
	must(t, first, err)
	for last := first; ; {
		now, err := c.Now(t.Context())
		if must(t, now, err).Before(last) {
			t.Fatalf("after %v it was %v", last, now)
		}
		if last = now; now.Sub(first) > 20*time.Millisecond {
			return
		}
	}
}

func clockCancelled(t *testing.T, c ports.Clock) {
	quick(t, map[string]func(context.Context) error{
		"Now": func(ctx context.Context) error { return drop(c.Now(ctx)) },
	})
}
