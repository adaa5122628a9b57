package quotas

import (
	"context"
	"errors"
	"sync"
	"time"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// between is how long a store that does not answer is left alone before one call
// tries it again.
const between = time.Second

// A Guard is a ports.QuotaStore for while another one does not answer: it refuses
// calls then, or counts them in a store of this replica's own. It tells when that
// begins and ends, and goes back by itself.
type Guard struct {
	store    ports.QuotaStore
	own      ports.QuotaStore // nil: calls are refused
	observer ports.Observer

	mu   sync.Mutex
	down bool
	next time.Time // when the store is tried again
	good time.Time // when it last answered
	bad  time.Time // when it last did not
}

var (
	_ ports.QuotaStore = (*Guard)(nil)
	_ ports.Pinger     = (*Guard)(nil)
)

// NewGuard returns a guard of the store. Without a store of one's own it is
// closed: calls are refused with fault.Unavailable and the slug quota-store. The
// observer is told quota.store.open and quota.store.close.
func NewGuard(store, own ports.QuotaStore, o ports.Observer) *Guard {
	return &Guard{store: store, own: own, observer: o}
}

func (g *Guard) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (v quota.Verdict, err error) {
	err = g.do(ctx, len(charges) > 0, func(s ports.QuotaStore) error { v, err = s.Spend(ctx, at, charges); return err })
	return v, err
}

func (g *Guard) Refund(ctx context.Context, returns []quota.Return) error {
	return g.do(ctx, false, func(s ports.QuotaStore) error { return s.Refund(ctx, returns) })
}

func (g *Guard) Note(ctx context.Context, at time.Time, notes []quota.Note) error {
	return g.do(ctx, false, func(s ports.QuotaStore) error { return s.Note(ctx, at, notes) })
}

// Ping counts one call, of a bucket that is never full: a store that answers may
// still not be able to write.
func (g *Guard) Ping(ctx context.Context) error {
	began := time.Now()
	_, err := g.store.Spend(ctx, began, []quota.Charge{{Key: "ping", Max: 1 << 40, Window: time.Minute}})
	g.saw(ctx, began, err)
	return err
}

// do does it in the store, or if that does not answer in the other one. Success
// proves that the store answers only where it must have been asked.
func (g *Guard) do(ctx context.Context, proves bool, what func(ports.QuotaStore) error) error {
	if began := time.Now(); g.try(began, proves) {
		err := what(g.store)
		if err != nil || proves {
			g.saw(ctx, began, err)
		}
		if !errors.Is(err, fault.Unavailable) || ctx.Err() != nil {
			return err
		}
	}
	if g.own != nil {
		return what(g.own)
	}
	return fault.New(fault.Unavailable, "calls cannot be counted at the moment, and this Perch lets none through "+
		"uncounted; try again in a few seconds").Named("quota-store").After(between)
}

// try reports whether the store is to be tried: always, or while it is down by
// one call at a time, of those that prove something: another would take their turn.
func (g *Guard) try(now time.Time, proves bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down && (!proves || now.Before(g.next)) {
		return false
	}
	g.next = now.Add(between)
	return true
}

// saw notes what the store said to what began then. That a caller did not wait says
// nothing of it, nor does what began before the last news to the contrary.
func (g *Guard) saw(ctx context.Context, began time.Time, err error) {
	down := errors.Is(err, fault.Unavailable)
	if (err != nil && !down) || (down && ctx.Err() != nil) {
		return
	}
	g.mu.Lock()
	if down && began.Before(g.good) || !down && began.Before(g.bad) {
		g.mu.Unlock()
		return
	}
	changed := g.down != down
	g.down = down
	if now := time.Now(); down {
		g.bad, g.next = now, now.Add(between)
	} else {
		g.good = now
	}
	g.mu.Unlock()
	if changed {
		g.tell(down, err)
	}
}

func (g *Guard) tell(down bool, err error) {
	e := audit.Event{At: time.Now().UTC(), Verb: "quota.store.close", Outcome: audit.Done}
	if down {
		what := "calls are refused"
		if g.own != nil {
			what = "each replica counts by itself, so that limits hold for each apart"
		}
		e.Verb, e.Outcome = "quota.store.open", audit.Failed
		e.Err = fault.New(fault.Unavailable, "the store of counts (PERCH_QUOTA) does not answer; %s until it does "+
			"(PERCH_QUOTA_DOWN). Look after that store; Perch tries it every %v", what, between).Because(err)
	}
	g.observer.Observe(context.Background(), e)
}
