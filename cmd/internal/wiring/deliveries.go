package wiring

import (
	"context"
	"time"

	"perch/app/actions"
	"perch/app/clock"
	"perch/app/deliveries"
	"perch/app/replays"
	"perch/cmd/internal/config"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

// How often a replica looks for deliveries that others have left, where each look
// is a call over the network that is paid for, and elsewhere.
const (
	lookEvery   = 5 * time.Second
	lookEveryD1 = 30 * time.Second
)

// queues are a backend's stores of deliveries.
type queues interface {
	Deliveries() ports.Deliveries
	DeliveryQueue() ports.DeliveryQueue
}

// A resolver finds out by replays what became of a delivery.
type resolver struct{ *replays.Service }

// Resolve returns nil once the call with the key may be asked for again.
func (r resolver) Resolve(
	ctx context.Context, who ports.Caller, key string, look func(context.Context, ports.Call) (ports.Reply, error),
) error {
	parsed, err := idempotency.ParseKey(key)
	if err != nil {
		return err
	}
	_, err = r.Service.Resolve(ctx, replays.Holder{
		App: who.App.ID, Grant: who.Grant, User: who.User, AppOnly: who.Grant == "",
	}, parsed.Segment(), look)
	if fault.SlugOf(err) == "no-such-idempotency-key" { // it was released meanwhile
		return nil
	}
	return err
}

// mostWaiting is how many deliveries may wait.
func mostWaiting() delivery.Room { return delivery.Room{Line: 100, App: 10_000} }

// newDeliveries starts to send what waits; the clean-up waits for what is being
// sent.
func newDeliveries(
	ctx context.Context, s Stores, a *actions.Service, ring ports.Keyring, c *clock.Clock, o ports.Observer,
	cfg config.Config,
) (*deliveries.Service, func()) {
	every := lookEvery
	if kind, _ := config.Backend(cfg.Store); kind == config.D1 {
		every = lookEveryD1
	}
	d := deliveries.New(deliveries.Parts{
		Store: s.Deliveries, Queue: s.DeliveryQueue, Replies: s.Replies, Actions: a, Keyring: ring, Observer: o, Now: c.Now,
		Room: mostWaiting(), Every: every,
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx)
	}()
	return d, func() { cancel(); <-done }
}
