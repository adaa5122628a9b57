package wiring

import (
	"context"
	"log/slog"
	"time"

	"perch/app/clock"
	"perch/app/usage"
	"perch/domain/session"
	"perch/domain/spend"
)

// What has ended is kept a little longer: a code to notice that it is used
// again, a session and a key for clocks that disagree.
const (
	tidyEvery      = time.Minute
	keepCodes      = time.Hour
	keepSessions   = 24 * time.Hour
	keepDeliveries = 7 * 24 * time.Hour
	keepKeys       = session.AccessTTL + time.Hour
	keepMarks      = 24 * time.Hour
	keepUsage      = (usage.MostDays + 1) * 24 * time.Hour
)

// A tidier removes what has expired from the stores.
type tidier struct {
	stores Stores
	clock  *clock.Clock
	log    *slog.Logger
}

// newTidier starts a tidier; it ends with the clean-up.
func newTidier(ctx context.Context, s Stores, c *clock.Clock, log *slog.Logger) (*tidier, func()) {
	ctx, cancel := context.WithCancel(ctx)
	t, done := &tidier{s, c, log}, make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(tidyEvery)
		defer tick.Stop()
		for {
			t.tidy(ctx, t.clock.Now())
			follow(ctx, t.stores.Followers, t.log)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return t, func() { cancel(); <-done }
}

func (t *tidier) tidy(ctx context.Context, now time.Time) {
	for _, sweep := range []struct {
		what string
		do   func(context.Context, time.Time) (int, error)
		at   time.Time
	}{
		{"deliveries", t.stores.Deliveries.Sweep, now.Add(-keepDeliveries)},
		{"authorizations", t.stores.Authorizations.Sweep, now},
		{"codes", t.stores.Codes.Sweep, now.Add(-keepCodes)},
		{"sessions", t.stores.Sessions.Sweep, now.Add(-keepSessions)},
		{"idempotency keys", t.stores.Replies.Sweep, now},
		{"signing keys", t.stores.SigningKeys.Sweep, now.Add(-keepKeys)},
		{"reservations of money", t.stores.Budgets.Expire, now},
		{"marks of what was billed", byDays(t.stores.Usage.SweepMarks), now.Add(-keepMarks)},
		{"usage", byDays(t.stores.Usage.Sweep), now.Add(-keepUsage)},
	} {
		n, err := sweep.do(ctx, sweep.at)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			t.log.Warn("could not remove what has expired; it is tried again in a minute",
				"what", sweep.what, "error", err)
		case n > 0:
			t.log.Debug("removed what has expired", "what", sweep.what, "count", n)
		}
	}
}

// byDays is a sweep of what was on days before.
func byDays(sweep func(context.Context, spend.Day) (int, error)) func(context.Context, time.Time) (int, error) {
	return func(ctx context.Context, before time.Time) (int, error) { return sweep(ctx, spend.DayOf(before)) }
}
