package wiring

import (
	"context"
	"log/slog"
	"time"

	"perch/app/clock"
	"perch/app/spending"
	"perch/ports"
)

const (
	billEvery = time.Second
	billLast  = 5 * time.Second // what the last time may take
)

// newSpending starts to write what calls came to, once a second; the clean-up
// does so a last time.
func newSpending(
	ctx context.Context, s Stores, c *clock.Clock, o ports.Observer, log *slog.Logger,
) (*spending.Service, func()) {
	till := spending.New(spending.Parts{
		Budgets: s.Budgets, Usage: s.Usage, Apps: s.Warm.Registry.Apps(), Observer: o, Now: c.Now,
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(billEvery)
		defer tick.Stop()
		away := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				err := till.Flush(ctx)
				if err != nil && ctx.Err() == nil && !away {
					log.Warn("could not write what calls cost; it is tried again every second", "error", err)
				}
				away = err != nil
			}
		}
	}()
	return till, func() {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), billLast)
		defer cancel()
		if err := till.Finish(ctx); err != nil {
			log.Error("what the last calls cost is not written down; budgets count them as they were set aside", "error", err)
		}
	}
}
