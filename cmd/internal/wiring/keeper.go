package wiring

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"perch/adapters/journal"
	"perch/adapters/memory"
	"perch/app/clock"
	"perch/app/grants"
	"perch/cmd/internal/config"
	"perch/ports"
)

// How often the keeper looks: while the store is away it must bring renewals
// sooner after its return than others take the grants over.
const (
	keepEvery  = time.Second
	keepFirst  = 20 * time.Second // before anybody is served
	keepLast   = 30 * time.Second // for refreshes under way when Perch ends
	clockEvery = time.Minute
	offFrom    = 5 * time.Second // a clock that is off by so much is worth a word
)

// openJournal opens the folder that keeps renewals.
func openJournal(cfg config.Config) (ports.Journal, error) {
	if cfg.Journal == "off" {
		return memory.NewJournal(), nil
	}
	return journal.Open(cfg.Journal)
}

// A keeper brings renewals from the journal to the vault, and keeps the store's
// clock in sight.
type keeper struct {
	grants *grants.Service
	clock  *clock.Clock
	log    *slog.Logger

	looked time.Time
	stay   int       // renewals that the vault cannot take, as last told
	away   time.Time // when it was last told that the store is away; zero: it is not
}

// newKeeper starts a keeper once it has brought what an earlier process left, or
// has tried for a while; it ends with the clean-up.
func newKeeper(ctx context.Context, g *grants.Service, c *clock.Clock, log *slog.Logger) (*keeper, func()) {
	k := &keeper{grants: g, clock: c, log: log}
	first, enough := context.WithTimeout(ctx, keepFirst)
	k.keep(first)
	enough()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(keepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				k.keep(ctx)
			}
		}
	}()
	return k, func() {
		settling, enough := context.WithTimeout(context.WithoutCancel(ctx), keepLast)
		defer enough()
		g.Settle(settling)
		cancel()
		<-done
	}
}

// keep tells of a store that is away when that begins, once a minute, and when it
// is over.
func (k *keeper) keep(ctx context.Context) {
	err := k.tend(ctx)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
	case err == nil && !k.away.IsZero():
		k.log.Info("the store answers again")
		k.away = time.Time{}
	case err != nil && time.Since(k.away) >= clockEvery:
		k.log.Warn("the store does not answer; it is asked again each second", "error", err)
		k.away = time.Now()
	}
}

func (k *keeper) tend(ctx context.Context) error {
	if time.Since(k.looked) >= clockEvery {
		if err := k.clock.Look(ctx); err != nil {
			return err
		}
		k.looked = time.Now()
		if off := k.clock.Off(); off.Abs() >= offFrom {
			k.log.Warn("this machine's clock disagrees with the store's, which is the one that counts; let NTP set it",
				"behind_by", off.String())
		}
	}
	brought, stay, err := k.grants.Replay(ctx)
	if brought > 0 {
		k.log.Info("brought tokens from the journal to the vault", "grants", brought)
	}
	if stay > 0 && stay != k.stay {
		k.log.Warn("the journal has tokens that this vault cannot take; perch doctor tells more", "grants", stay)
	}
	k.stay = stay
	return err
}
