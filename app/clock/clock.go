// Package clock is the time that replicas have in common: that of their store.
package clock

import (
	"context"
	"sync/atomic"
	"time"

	"perch/ports"
)

// A Clock is the store's time, known by how far this machine's own clock is off.
type Clock struct {
	store ports.Clock
	own   func() time.Time
	off   atomic.Int64 // nanoseconds to add to our own time
}

// New returns a clock that goes by our own time until Look has looked at the
// store's. own is time.Now, but for tests.
func New(store ports.Clock, own func() time.Time) *Clock { return &Clock{store: store, own: own} }

// Now returns the time, in UTC and exact to the microsecond, as everything is
// kept.
func (c *Clock) Now() time.Time {
	return c.own().Add(time.Duration(c.off.Load())).UTC().Truncate(time.Microsecond)
}

// Look looks at the store's clock, which tells the time to half of what that
// takes. What is known already stays if it is as likely: a clock that turned back
// a little at each look would call what has just ended not ended yet.
func (c *Clock) Look(ctx context.Context) error {
	before := c.own()
	now, err := c.store.Now(ctx)
	if err != nil {
		return err
	}
	half := c.own().Sub(before) / 2
	if off := now.Sub(before.Add(half)); (off - c.Off()).Abs() > half {
		c.off.Store(int64(off))
	}
	return nil
}

// Off returns by how much our own clock was behind the store's at the last look.
func (c *Clock) Off() time.Duration { return time.Duration(c.off.Load()) }
