package deliveries_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/adapters/xhttp/xsim"
	"perch/app/actions"
	"perch/app/deliveries"
	"perch/app/replays"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// now makes the call at once, with the key.
func (r *replica) now(q deliveries.Request, key string) (ports.Reply, error) {
	return r.Actions.(*actions.Service).Do(r.Context(), actions.Request{
		ID: "req_2", Actor: "key_1", App: r.world.app, Grant: q.Grant, Key: key, Call: ports.Call{
			Action: q.Action, Params: q.Call.Params, Type: "application/json",
			Body: strings.NewReader(q.Call.Body), Length: int64(len(q.Call.Body)),
		},
	})
}

// performed is how often X has performed the action.
func (w *world) performed(action string) (n int) {
	for _, e := range w.x.Ledger() {
		if e.Type == "call" && e.Object == action && e.Details["executed"] == "true" {
			n++
		}
	}
	return n
}

// The record of a call is kept for a day, and a delivery for seven.
func TestWhatWasDeliveredIsNotDoneAgainForAsLongAsTheDeliveryIsKept(t *testing.T) {
	for action, edit := range map[string]func(w *world, q *deliveries.Request){
		"createPosts": func(*world, *deliveries.Request) {},
		"createDirectMessagesByParticipantId": func(w *world, q *deliveries.Request) {
			q.Action, _ = xapi.ByID("createDirectMessagesByParticipantId")
			q.Call.Params = map[string]string{"participant_id": w.x.Users()[1].ID}
		},
	} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.app.Actions = []string{"everything"}
			s, _ := opener(t, "sqlite")().(*sqlstore.Store)
			r := w.replica(s, nil)
			q := request(string(w.grant["a"]), `{"text":"once"}`)
			q.Key = "k1"
			edit(w, &q)
			d, err := r.Accept(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			r.pass(time.Minute)
			r.ended([]delivery.Delivery{d}, delivery.Done)
			first, err := r.now(q, "k1")
			if err != nil {
				t.Fatal(err)
			}
			w.clock.advance(25 * time.Hour)
			if _, err := s.Replies().Sweep(t.Context(), w.clock.Now()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				again, err := r.now(q, "k1")
				if err != nil || again.Status != 201 || len(again.Header["Idempotency-Replayed"]) != 1 ||
					string(again.Whole) != string(first.Whole) {
					t.Errorf("a day later: %d %v %s, %v", again.Status, again.Header, again.Whole, err)
				}
			}
			other := q
			other.Call.Body = `{"text":"twice"}`
			if _, err := r.now(other, "k1"); fault.SlugOf(err) != "idempotency-key-reused" {
				t.Errorf("another call: %v", err)
			}
			if n := w.performed(action); n != 1 {
				t.Errorf("X has done it %d times", n)
			}
		})
	}
}

func TestWhatWasNotDeliveredLetsItsKeyGo(t *testing.T) {
	w := newWorld(t)
	s, _ := opener(t, "sqlite")().(*sqlstore.Store)
	r := w.replica(s, nil)
	for key, end := range map[string]func(d delivery.Delivery) error{
		"cancelled": func(d delivery.Delivery) error {
			_, err := r.Cancel(t.Context(), deliveries.By{}, d)
			return err
		},
		"expired": func(delivery.Delivery) error {
			w.clock.advance(2 * time.Minute)
			_, err := r.Work(t.Context())
			return err
		},
	} {
		q := request(string(w.grant["a"]), `{"text":"`+key+`"}`)
		q.Key, q.Within = key, time.Minute
		d, err := r.Accept(t.Context(), q)
		if err == nil {
			err = end(d)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.ended([]delivery.Delivery{d}, delivery.State(key))
		if reply, err := r.now(q, key); err != nil || reply.Status != 201 || reply.Header["Idempotency-Replayed"] != nil {
			t.Errorf("%s: %d, %v", key, reply.Status, err)
		}
	}
}

// Of a delivery that ended unknown nobody sends the call again, until somebody has looked.
func TestWhatEndedUnknownIsNotDoneAgainUntilSomebodyHasLooked(t *testing.T) {
	w := newWorld(t)
	w.app.Actions = []string{"everything"}
	s, _ := opener(t, "sqlite")().(*sqlstore.Store)
	r := w.replica(s, nil)
	q := request(string(w.grant["a"]), `{"text":"lost"}`)
	q.Key = "k1"
	q.Action, _ = xapi.ByID("createDirectMessagesByParticipantId")
	q.Call.Params = map[string]string{"participant_id": w.x.Users()[1].ID}
	w.x.Mischief(xsim.Mischief{Match: q.Action.ID, Kind: "lost", Times: 1, Execute: true})
	d, err := r.Accept(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	r.pass(10 * time.Minute)
	r.ended([]delivery.Delivery{d}, delivery.Unknown)
	w.clock.advance(25 * time.Hour)
	if _, err := s.Replies().Sweep(t.Context(), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if reply, err := r.now(q, "k1"); fault.SlugOf(err) != "idempotency-unknown" {
			t.Errorf("a day later: %d, %v", reply.Status, err)
		}
	}
	if err := r.once.Forget(t.Context(), replays.Holder{App: w.app.ID, Grant: w.grant["a"]}, "k1"); err != nil {
		t.Fatal(err)
	}
	r.ended([]delivery.Delivery{d}, delivery.Failed)
	if reply, err := r.now(q, "k1"); err != nil || reply.Status != 201 {
		t.Errorf("when somebody had looked: %d, %v", reply.Status, err)
	}
}

// A client sends the same request both ways at the same moment; X lets a message be
// sent twice.
func TestAKeyThatComesBothWaysAtOnceIsDoneOnce(t *testing.T) {
	w := newWorld(t)
	w.app.Actions = []string{"everything"}
	s, _ := opener(t, "sqlite")().(*sqlstore.Store)
	r := w.replica(s, nil)
	const rounds = 12
	asked := func(i int) deliveries.Request {
		q := request(string(w.grant["a"]), fmt.Sprintf(`{"text":"round %d"}`, i))
		q.Action, _ = xapi.ByID("createDirectMessagesByParticipantId")
		q.Call.Params = map[string]string{"participant_id": w.x.Users()[1].ID}
		q.Key = fmt.Sprintf("k%d", i)
		return q
	}
	for i := range rounds {
		q := asked(i)
		start := make(chan struct{})
		var both sync.WaitGroup
		both.Go(func() {
			<-start
			_, err := r.now(q, q.Key)
			if slug := fault.SlugOf(err); err != nil && slug != "idempotency-key-queued" && slug != "idempotency-in-progress" {
				t.Error(err)
			}
		})
		both.Go(func() {
			<-start
			if _, err := r.Accept(t.Context(), q); err != nil {
				t.Error(err)
			}
			if _, err := r.Work(t.Context()); err != nil {
				t.Error(err)
			}
		})
		close(start)
		both.Wait()
		r.pass(2 * time.Minute)
		if n := w.performed(q.Action.ID); n != i+1 {
			t.Fatalf("round %d: X has done it %d times", i, n)
		}
	}
	w.clock.advance(25 * time.Hour)
	if _, err := s.Replies().Sweep(t.Context(), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	for i := range rounds {
		if reply, err := r.now(asked(i), fmt.Sprintf("k%d", i)); err != nil || reply.Status != 201 {
			t.Errorf("round %d, a day later: %d, %v", i, reply.Status, err)
		}
	}
	if n := w.performed("createDirectMessagesByParticipantId"); n != rounds {
		t.Errorf("a day later X has done it %d times", n)
	}
}
