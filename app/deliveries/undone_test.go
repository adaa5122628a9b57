package deliveries_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

// What is in doubt and held for a while need not stay so: an attempt that finds the
// key free knows that X was not asked, and whoever sees that may cancel.
func TestADoubtEndsWhenTheKeyIsFoundFree(t *testing.T) {
	const key, body = "mine", `{"text":"one"}`
	for name, c := range map[string]struct {
		before func(s *sqlstore.Store, at idempotency.Record) error // it is accepted
		after  func(s *sqlstore.Store, at idempotency.Record) error
		free   bool
	}{
		"a call at once that was refused": {
			before: func(s *sqlstore.Store, at idempotency.Record) error { return s.Replies().Create(t.Context(), at) },
			after:  func(s *sqlstore.Store, at idempotency.Record) error { return s.Replies().Remove(t.Context(), at) },
			free:   true,
		},
		"a call at once that was sent": {
			before: func(s *sqlstore.Store, at idempotency.Record) error { return s.Replies().Create(t.Context(), at) },
			after: func(s *sqlstore.Store, at idempotency.Record) error {
				return s.Replies().Swap(t.Context(), at, at.Send("", at.Created, time.Minute))
			},
		},
		"a replica that died before it asked X": {
			after: func(s *sqlstore.Store, at idempotency.Record) error {
				_, err := s.DeliveryQueue().Claim(t.Context(), at.Created, delivery.Lease{Holder: "dead", Until: at.Lease}, 1)
				return err
			},
			free: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, _ := opener(t, "sqlite")().(*sqlstore.Store)
			r := w.replica(s, unaffordable)
			scope := idempotency.Key(key).Scope(w.app.ID, w.grant["a"])
			asked := idempotency.Subject{Method: "POST", Path: "/2/tweets", Body: []byte(body)}
			at := idempotency.Reserve(scope, "other", idempotency.Key(key).Fingerprint(asked), "createPosts", noon)
			if c.before != nil {
				if err := c.before(s, at); err != nil {
					t.Fatal(err)
				}
			}
			q := request(string(w.grant["a"]), body)
			q.Key = key
			d, err := r.Accept(t.Context(), q)
			if err == nil {
				err = c.after(s, at)
			}
			if err != nil {
				t.Fatal(err)
			}
			r.pass(time.Minute)
			if d, err = r.Get(t.Context(), "", d.ID); err != nil || d.State != delivery.Queued || d.Attempts < 1 || d.Doubt.IsZero() != c.free {
				t.Fatalf("it is %s after %d attempts, in doubt since %v: %v", d.State, d.Attempts, d.Doubt, err)
			}
			if _, err := r.Cancel(t.Context(), deliveries.By{Actor: "key_1"}, d); (err == nil) != c.free {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

// A stop is a queue that holds up whoever has claimed something.
type stop struct {
	ports.DeliveryQueue
	claimed, leave chan struct{}
}

func (q stop) Claim(ctx context.Context, now time.Time, l delivery.Lease, n int) ([]delivery.Delivery, error) {
	due, err := q.DeliveryQueue.Claim(ctx, now, l, n)
	if len(due) > 0 {
		close(q.claimed)
		<-q.leave
	}
	return due, err
}

// A replica stands still before it has the key, for longer than its turn, and its
// clock is behind. Meanwhile another one finds the key free.
func TestWhatWasCancelledIsNotSentByWhoStoodStill(t *testing.T) {
	for _, behind := range []time.Duration{0, 2 * time.Second} {
		t.Run(behind.String(), func(t *testing.T) {
			w := newWorld(t)
			s, _ := opener(t, "sqlite")().(*sqlstore.Store)
			late := w.replicaAt(s, func() time.Time { return w.clock.Now().Add(-behind) }, nil)
			q := stop{late.Queue, make(chan struct{}), make(chan struct{})}
			late.Queue = q
			other := w.replica(s, unaffordable)
			d := other.post("a", 0)
			w.clock.advance(behind) // until it is due by both clocks
			var ended sync.WaitGroup
			ended.Go(func() { _, _ = late.Work(t.Context()) })
			<-q.claimed
			w.clock.advance(2*time.Minute - behind) // the turn is over by the clock of the other
			_, err := other.Work(t.Context())
			if err == nil {
				d, err = other.Get(t.Context(), "", d.ID)
			}
			if err == nil {
				_, err = other.Cancel(t.Context(), deliveries.By{Actor: "key_1"}, d)
			}
			if err != nil {
				t.Error(err)
			}
			close(q.leave)
			ended.Wait()
			if posts := w.posts(); len(posts) > 0 {
				t.Errorf("it was cancelled, and X has %q", posts)
			}
		})
	}
}

// unaffordable is X for whoever may spend nothing on posts.
func unaffordable(_ context.Context, c ports.Call, next func() (ports.Reply, error)) (ports.Reply, error) {
	if c.Action.ID != "createPosts" {
		return next()
	}
	no := fault.New(fault.Limited, "the budget is spent").Named("budget-spent").After(10 * time.Hour)
	return ports.Reply{}, fmt.Errorf("%w: %w", no, ports.ErrUnsent)
}
