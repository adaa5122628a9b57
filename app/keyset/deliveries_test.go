package keyset_test

import (
	"testing"
	"time"

	"perch/domain/delivery"
)

func TestDeliveriesAreResealed(t *testing.T) {
	h := newHouse(t)
	store := h.store.Deliveries()
	var ids []delivery.ID
	for i, state := range []delivery.State{delivery.Queued, delivery.Done, delivery.Sending} {
		d := delivery.Delivery{ID: delivery.ID("dlv_" + string(state)), App: "app", Grant: "g", Key: string(state), State: state}
		d.Call = h.seal("call", d.Label(delivery.CallLabel))
		if state == delivery.Done {
			d.Outcome.Reply, d.Ended = h.seal("reply", d.Label(delivery.ReplyLabel)), time.Unix(int64(i), 0)
		}
		if state == delivery.Sending {
			d.Lease = delivery.Lease{Holder: "w", Until: time.Now().Add(-time.Hour)}
		}
		if _, err := store.Put(t.Context(), d, delivery.Room{Line: 9, App: 9}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	before := h.rotate()
	if o, err := h.Reseal(t.Context(), quiet); err != nil || o.Moved != 3 || o.Left() != 0 {
		t.Errorf("resealed %+v, %v", o, err)
	}
	for _, id := range ids {
		d, err := store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		h.opens(d.Call, d.Label(delivery.CallLabel), "call")
		if h.ring.KeyOf(d.Call) == before {
			t.Errorf("%s is sealed by the key from before", id)
		}
		if d.State == delivery.Done {
			h.opens(d.Outcome.Reply, d.Label(delivery.ReplyLabel), "reply")
		}
	}
}
