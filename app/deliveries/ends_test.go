package deliveries_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/memory"
	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/ports"
)

// X has done nothing that anybody knows of where it points elsewhere.
func TestWhatLeavesItOpenIsNoEnd(t *testing.T) {
	for status, doubtful := range map[int]bool{302: true, 307: true, 408: true, 500: true, 402: false, 425: false} {
		h := newHouse(t)
		h.box.does(func(string) (int, error) { return status, nil })
		d := h.accept("g", "one")
		h.work()
		if got := h.want(d.ID, delivery.Queued); got.Doubt.IsZero() == doubtful || got.Outcome.Status != status {
			t.Errorf("%d: %+v", status, got)
		}
	}
}

// X may say it as a date.
func TestADeliveryWaitsUntilXAsks(t *testing.T) {
	then := noon.Add(10 * time.Minute)
	for _, wait := range []string{"600", then.Format("Mon, 02 Jan 2006 15:04:05 GMT")} {
		h := newHouse(t)
		h.box.wait = wait
		h.box.does(func(string) (int, error) { return 503, nil })
		d := h.accept("g", "one")
		h.work()
		if next := h.want(d.ID, delivery.Queued).Next; next.Before(then) || next.After(then.Add(time.Second)) {
			t.Errorf("%s: it is tried again at %v", wait, next)
		}
	}
}

func TestCancellingRacesSending(t *testing.T) {
	for i := range 50 {
		h := newHouse(t)
		d := h.accept("g", "one")
		var both sync.WaitGroup
		var err error
		both.Go(func() { _, err = h.Cancel(t.Context(), deliveries.By{Actor: "key_2", Request: "req_2"}, d) })
		both.Go(func() { h.work() })
		both.Wait()
		if err == nil {
			h.want(d.ID, delivery.Cancelled)
			h.wantSent()
			continue
		}
		if fault.KindOf(err) != fault.Conflict {
			t.Fatalf("round %d: %v", i, err)
		}
		h.want(d.ID, delivery.Done)
		h.wantSent("one")
	}
}

func TestWhatIsBeingSentCannotBeCancelled(t *testing.T) {
	h := newHouse(t)
	d := h.accept("g", "one")
	h.box.before = func(string) {
		if _, err := h.Cancel(t.Context(), deliveries.By{Actor: "key_2", Request: "req_2"}, d); fault.SlugOf(err) != "delivery-sending" {
			t.Errorf("while it is sent: %v", err)
		}
	}
	h.work()
	got := h.want(d.ID, delivery.Done)
	if _, err := h.Cancel(t.Context(), deliveries.By{Actor: "key_2", Request: "req_3"}, got); fault.SlugOf(err) != "delivery-ended" {
		t.Errorf("afterwards: %v", err)
	}
}

// A stopping replica ends what X was asked, and takes nothing new.
func TestAStopFinishesWhatXWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		first, second := h.accept("g", "one"), h.accept("g", "two")
		ctx, stop := context.WithCancel(t.Context())
		h.box.before = func(string) {
			stop()
			time.Sleep(10 * time.Second)
		}
		h.Run(ctx)
		h.want(first.ID, delivery.Done)
		h.want(second.ID, delivery.Queued)
		h.wantSent("one")
	})
}

// faulty fails at the write that it is told.
type faulty struct {
	ports.Deliveries
	before, after bool
}

func (f *faulty) Put(ctx context.Context, d delivery.Delivery, room delivery.Room) (delivery.Delivery, error) {
	lost := fault.New(fault.Unavailable, "the store does not answer; try again")
	if f.before {
		return delivery.Delivery{}, lost
	}
	d, err := f.Deliveries.Put(ctx, d, room)
	if f.after {
		return delivery.Delivery{}, lost
	}
	return d, err
}

func TestNothingIsAcceptedBeforeTheStoreHasIt(t *testing.T) {
	h := newHouse(t)
	s := memory.Open()
	t.Cleanup(func() { _ = s.Close() })
	f := &faulty{Deliveries: s.Deliveries(), before: true}
	h.Service = deliveries.New(deliveries.Parts{
		Store: f, Queue: s.DeliveryQueue(), Replies: s.Replies(), Actions: h.box, Keyring: h.ring, Observer: h, Now: h.clock.Now,
		Room: delivery.Room{Line: 10, App: 10},
	})
	r := request("g", "one")
	r.Key = "k"
	if _, err := h.Accept(t.Context(), r); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("accepted without the store: %v", err)
	}
	h.work()
	h.wantSent()
	f.before, f.after = false, true
	if _, err := h.Accept(t.Context(), r); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("accepted though the store did not say so: %v", err)
	}
	f.after = false
	if _, err := h.Accept(t.Context(), r); err != nil { // the client tries again
		t.Error(err)
	}
	h.work()
	h.wantSent("one")
}
