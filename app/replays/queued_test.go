package replays_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/adapters/sqlstore"
	"perch/app/replays"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/migrations"
	"perch/ports"
	"perch/ports/conformance/pgtest"
)

// queues are empty stores of each kind.
func queues(t *testing.T) map[string]ports.Deliveries {
	t.Helper()
	open := func(dsn string, schema migrations.Schema) ports.Deliveries {
		s, err := sqlstore.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if _, err := schema.Apply(t.Context(), s.DB()); err != nil {
			t.Fatal(err)
		}
		return s.Deliveries()
	}
	return map[string]ports.Deliveries{
		"memory":   memory.NewDeliveries(),
		"sqlite":   open("sqlite:"+t.TempDir()+"/perch.db", migrations.SQLite()),
		"postgres": open(pgtest.URL(t), migrations.Postgres()),
	}
}

// waiting puts a delivery with the key into the line.
func (h *house) waiting() delivery.Delivery {
	h.t.Helper()
	now := h.now()
	d, err := h.queue.Put(context.Background(), delivery.Delivery{
		ID: delivery.NewID(now, "x"), App: "app", Grant: "grant", Key: key, Action: "createPosts", State: delivery.Queued,
		Created: now, Next: now, Until: now.Add(time.Hour),
	}, delivery.Room{Line: 9, App: 9})
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func TestTheKeyOfADeliveryThatWaitsIsNobodyElses(t *testing.T) {
	for kind, queue := range queues(t) {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t)
			h.queue = queue
			h.Service = h.another()
			d := h.waiting()
			at := issuer + "/v1/deliveries/" + string(d.ID)
			for range 2 {
				_, err := h.ask(h.Service, key, hello)
				if f := h.problem(err, "idempotency-key-queued"); f.Extra["delivery_url"] != at || f.Kind != fault.Conflict {
					t.Errorf("at once: %+v", f)
				}
			}
			if s, err := h.Look(t.Context(), h.holder(), key); err != nil || s.State != replays.Queued || s.Delivery != at {
				t.Errorf("looked: %+v, %v", s, err)
			}
			h.refused(h.Forget(t.Context(), h.holder(), key), "idempotency-key-queued")
			if s, err := h.Resolve(t.Context(), h.holder(), key, h.look); err != nil || s.State != replays.Queued || h.looks != 0 {
				t.Errorf("resolved: %+v, %v", s, err)
			}
			other := h.who
			other.Grant = "other"
			if _, err := h.Once(t.Context(), other, key, h.call("createPosts", hello), []byte(hello), h.perform); err != nil {
				t.Errorf("the same key of another grant: %v", err)
			}
			own := h.who
			own.Delivery = d.ID
			if _, err := h.Once(t.Context(), own, key, h.call("createPosts", hello), []byte(hello), h.perform); err != nil {
				t.Errorf("the delivery itself: %v", err)
			}
			h.is(replays.Queued)
			if _, err := h.queue.Swap(t.Context(), d, d.End(delivery.Done, delivery.Outcome{Status: 201}, h.now())); err != nil {
				t.Fatal(err)
			}
			if s, err := h.Look(t.Context(), h.holder(), key); err != nil || s.State != idempotency.Done || s.Delivery != at || s.Sent.IsZero() {
				t.Errorf("in the end: %+v, %v", s, err)
			}
			if h.times() != 2 {
				t.Errorf("X was asked %d times", h.times())
			}
		})
	}
}

// What is unknown of a delivery that waits is the delivery's to find out.
func TestNobodyForgetsWhatADeliveryIsInDoubtOf(t *testing.T) {
	h := lost(t, hello)
	h.waiting()
	h.refused(h.Forget(t.Context(), h.holder(), key), "idempotency-key-queued")
	h.later(idempotency.Late)
	if s, err := h.Resolve(t.Context(), h.holder(), key, h.look); err != nil || s.State != replays.Queued || h.looks != 1 {
		t.Errorf("resolved after %d looks: %+v, %v", h.looks, s, err)
	}
	h.is(replays.Queued)
}

// Whoever has cancelled a delivery may forget it, and use its key.
func TestTheKeyOfADeliveryThatHasEndedIsFree(t *testing.T) {
	h := newHouse(t)
	d := h.waiting()
	gone, err := d.Cancel(h.now())
	if err == nil {
		_, err = h.queue.Swap(t.Context(), d, gone)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.is("cancelled")
	if err := h.Forget(t.Context(), h.holder(), key); !errors.Is(err, fault.NotFound) {
		t.Errorf("there is nothing to forget: %v", err)
	}
	if _, err := h.ask(h.Service, key, hello); err != nil || h.times() != 1 {
		t.Errorf("X was asked %d times, %v", h.times(), err)
	}
}

// Whoever asks what became of a key is told how it can be used again.
func TestTheKeyOfADeliveryThatWasNotDoneSaysWhatItIsFreeFor(t *testing.T) {
	for _, state := range delivery.States() {
		h := newHouse(t)
		d := h.waiting()
		if state != delivery.Queued && state != delivery.Sending {
			if _, err := h.queue.Swap(t.Context(), d, d.End(state, delivery.Outcome{}, h.now())); err != nil {
				t.Fatal(err)
			}
		}
		s, err := h.Look(t.Context(), h.holder(), key)
		free := slices.Contains([]delivery.State{delivery.Cancelled, delivery.Failed, delivery.Expired}, state)
		if err != nil || strings.Contains(s.Advice, "with this key, without Prefer: respond-async") != free {
			t.Errorf("%s: %q, %v", state, s.Advice, err)
		}
	}
}

// A replica reserved the key of a delivery of which nobody knows whether X has done
// it, and died before it saw the delivery. That frees no key.
func TestACallThatWasNeverMadeFreesNoKeyOfADelivery(t *testing.T) {
	h := newHouse(t)
	d := h.waiting()
	k, err := idempotency.OfSegment(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.queue.Swap(t.Context(), d, d.GiveUp(h.now())); err != nil {
		t.Fatal(err)
	}
	dead := idempotency.Reserve(k.Scope("app", "grant"), "dead", "f", "createPosts", h.now())
	if err := h.store.Create(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	h.later(31 * time.Second)
	is := func(want delivery.State) {
		t.Helper()
		if all, err := h.queue.List(t.Context(), delivery.Filter{}, "", 1); err != nil || all[0].State != want {
			t.Errorf("the delivery is %v, want it %s: %v", all, want, err)
		}
	}
	if status, err := h.resolve(); err != nil || status.State != idempotency.Unknown || status.Delivery == "" {
		t.Errorf("resolved to %+v, %v", status, err)
	}
	is(delivery.Unknown)
	if err := h.Forget(t.Context(), h.holder(), key); err != nil { // whoever has looked himself
		t.Error(err)
	}
	is(delivery.Failed)
}

// A delivery in doubt is so no longer when its key was free and X was not asked.
func TestADeliveryLearnsThatItsKeyWasFree(t *testing.T) {
	no := errors.Join(fault.New(fault.Limited, "the budget is spent"), ports.ErrUnsent)
	type asked = func(h *house, sent func() error) error
	for name, v := range map[string]struct {
		id    string
		ask   asked
		apart bool // it is no delivery
		want  bool
	}{
		"refused before X":  {ask: func(*house, func() error) error { return no }, want: true},
		"X was not reached": {ask: func(_ *house, sent func() error) error { return errors.Join(sent(), no) }, want: true},
		"the answer was lost": {ask: func(_ *house, sent func() error) error {
			return errors.Join(sent(), fault.New(fault.Unavailable, "X did not answer"))
		}},
		"the answer was cut":       {ask: func(_ *house, sent func() error) error { return errors.Join(sent(), errors.New("cut")) }},
		"it took too long":         {ask: func(h *house, _ func() error) error { h.later(31 * time.Second); return no }},
		"another has the key":      {ask: func(h *house, sent func() error) error { h.taken(); return sent() }},
		"what may be done twice":   {id: "likePost", ask: func(*house, func() error) error { return no }},
		"a call that has no doubt": {ask: func(*house, func() error) error { return no }, apart: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			if !v.apart {
				h.who.Delivery = "dlv_1"
			}
			call := h.call("createPosts", hello)
			if v.id != "" {
				call = h.call(v.id, hello)
				call.Params = map[string]string{"id": "7"}
			}
			_, err := h.Once(t.Context(), h.who, key, call, []byte(hello), func(
				ctx context.Context, sent func(context.Context) error,
			) (ports.Reply, error) {
				return ports.Reply{}, v.ask(h, func() error { return sent(ctx) })
			})
			if err == nil || errors.Is(err, ports.ErrUndone) != v.want {
				t.Errorf("it is told %v", err)
			}
		})
	}
}

// taken lets another call have the key, by a clock that runs ahead.
func (h *house) taken() {
	h.t.Helper()
	k, err := idempotency.OfSegment(key)
	if err != nil {
		h.t.Fatal(err)
	}
	old, err := h.store.Get(context.Background(), k.Scope("app", "grant"))
	if err != nil {
		h.t.Fatal(err)
	}
	next := idempotency.Reserve(old.Scope, "another", "f", "createPosts", h.now())
	if err := h.store.Swap(context.Background(), old, next); err != nil {
		h.t.Fatal(err)
	}
}
