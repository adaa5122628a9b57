package wiring

import (
	"context"
	"log/slog"
	"time"

	"perch/app/uses"
)

const (
	noteEvery = time.Minute
	noteLast  = 5 * time.Second // what the last time may take
)

// newUses starts to write down when credentials were last used, once a minute;
// the clean-up does so a last time.
func newUses(ctx context.Context, s Stores, log *slog.Logger) (*uses.Uses, func()) {
	u, done := uses.New(s.Uses), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		tick := time.NewTicker(noteEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := u.Flush(ctx); err != nil && ctx.Err() == nil {
					log.Warn("could not note when keys were last used; it is tried again in a minute", "error", err)
				}
			}
		}
	}()
	return u, func() {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLast)
		defer cancel()
		if err := u.Flush(ctx); err != nil {
			log.Warn("could not note when keys were last used in the last minute", "error", err)
		}
	}
}
