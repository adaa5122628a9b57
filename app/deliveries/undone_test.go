package deliveries_test

import (
	"context"
	"fmt"
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
	const key = "mine"
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
			r := w.replica(s, func(_ context.Context, c ports.Call, next func() (ports.Reply, error)) (ports.Reply, error) {
				if c.Action.ID != "createPosts" {
					return next()
				}
				no := fault.New(fault.Limited, "the budget is spent").Named("budget-spent").After(10 * time.Hour)
				return ports.Reply{}, fmt.Errorf("%w: %w", no, ports.ErrUnsent)
			})
			scope := idempotency.Key(key).Scope(w.app.ID, w.grant["a"])
			at := idempotency.Reserve(scope, "other", "print", "createPosts", noon)
			if c.before != nil {
				if err := c.before(s, at); err != nil {
					t.Fatal(err)
				}
			}
			q := request(string(w.grant["a"]), `{"text":"one"}`)
			q.Key = key
			d, err := r.Accept(t.Context(), q)
			if err == nil {
				err = c.after(s, at)
			}
			if err != nil {
				t.Fatal(err)
			}
			r.pass(5 * time.Minute)
			if d, err = r.Get(t.Context(), "", d.ID); err != nil || d.Attempts < 1 || d.Doubt.IsZero() != c.free {
				t.Fatalf("it is %s after %d attempts, in doubt since %v: %v", d.State, d.Attempts, d.Doubt, err)
			}
			if _, err := r.Cancel(t.Context(), deliveries.By{Actor: "key_1"}, d); (err == nil) != c.free {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}
