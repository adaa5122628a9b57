package deliveries_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/ports"
)

// with is the house with other parts.
func (h *house) with(edit func(*deliveries.Parts)) *house {
	n := h.again(h.store)
	p := n.Parts
	edit(&p)
	n.Service = deliveries.New(p)
	return n
}

// A machine can stand still for longer than its turn.
func TestWhoHasLostHisTurnSendsNothingAndEndsNothing(t *testing.T) {
	h := newHouse(t)
	d := h.accept("g", "one")
	h.box.before = func(string) {
		h.box.before = nil
		h.clock.advance(3 * time.Minute)
	}
	if n, err := h.Work(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	h.want(d.ID, delivery.Queued)
	h.wantSent()
	h.pass(time.Minute)
	h.want(d.ID, delivery.Done)
	h.wantSent("one")
}

// A setback is a queue after whose claims the clock is set back.
type setback struct {
	ports.DeliveryQueue
	clock *watch
}

func (q setback) Claim(ctx context.Context, now time.Time, l delivery.Lease, n int) ([]delivery.Delivery, error) {
	due, err := q.DeliveryQueue.Claim(ctx, now, l, n)
	if len(due) > 0 {
		q.clock.advance(-5 * time.Second)
	}
	return due, err
}

func TestAClockThatIsSetBackSendsNothingOutOfOrder(t *testing.T) {
	h := newHouse(t)
	h.box.does(down)
	first, second := h.accept("g", "one"), h.hurried(func(r *deliveries.Request) { r.Call.Body = `"two"` })
	h.work()
	h.box.does(nil)
	queued := h.want(first.ID, delivery.Queued)
	postponed := queued
	postponed.Next = noon.Add(time.Hour)
	if _, err := h.store.Deliveries().Swap(t.Context(), queued, postponed); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Minute)
	n := h.with(func(p *deliveries.Parts) { p.Queue = setback{p.Queue, h.clock} })
	n.work()
	h.want(second.ID, delivery.Expired)
	h.wantSent()
}

// A torn X performs what it is asked and answers half.
type torn struct{ *box }

func (b torn) Deliver(ctx context.Context, d delivery.Delivery, c delivery.Call) (ports.Reply, error) {
	_, err := b.box.Deliver(ctx, d, c)
	return reply(201, `{"data":{"id":`), err
}

func TestASuccessThatCannotBeReadIsNoEnd(t *testing.T) {
	h := newHouse(t)
	d := h.accept("g", "one")
	n := h.with(func(p *deliveries.Parts) { p.Actions = torn{h.box} })
	n.work()
	if got := h.want(d.ID, delivery.Queued); got.Doubt.IsZero() {
		t.Errorf("nobody doubts it: %+v", got)
	}
	h.pass(10 * time.Minute)
	h.want(d.ID, delivery.Done)
	h.wantSent("one")
}

// What is known of a key may be no more than what X said, which may be no.
func TestAnAnswerThatIsNotKeptIsStillWhatXSaid(t *testing.T) {
	for status, want := range map[int]delivery.State{201: delivery.Done, 403: delivery.Failed, 0: delivery.Done} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			h := newHouse(t)
			h.box.does(func(string) (int, error) {
				return status, fault.New(fault.Conflict, "this was done before").Named("idempotency-answer-not-kept")
			})
			d := h.accept("g", "one")
			h.work()
			if got := h.want(d.ID, want); got.Outcome.Status != status {
				t.Errorf("X said %d, and it is written down as %+v", status, got.Outcome)
			}
		})
	}
}
