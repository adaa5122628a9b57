package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/ports"
)

// Deliveries is a ports.Deliveries and a ports.DeliveryQueue.
type Deliveries struct {
	rows table[delivery.ID, delivery.Delivery]
}

var (
	_ ports.Deliveries    = (*Deliveries)(nil)
	_ ports.DeliveryQueue = (*Deliveries)(nil)
)

// NewDeliveries returns an empty store of deliveries.
func NewDeliveries() *Deliveries {
	return &Deliveries{rows: table[delivery.ID, delivery.Delivery]{
		noun:    "delivery",
		id:      func(d *delivery.Delivery) *delivery.ID { return &d.ID },
		version: func(d *delivery.Delivery) *int64 { return &d.Version },
		copied: func(d delivery.Delivery) delivery.Delivery {
			for _, t := range []*time.Time{&d.Created, &d.Until, &d.Next, &d.Doubt, &d.Ended, &d.Lease.Until} {
				*t = moment(*t)
			}
			return d
		},
		fixed: func(was delivery.Delivery, next *delivery.Delivery) { *next = was.With(*next) },
	}}
}

// Deliveries returns the store of calls that are performed later.
func (s *Store) Deliveries() ports.Deliveries { return s.deliveries }

// DeliveryQueue hands out deliveries.
func (s *Store) DeliveryQueue() ports.DeliveryQueue { return s.deliveries }

func (s *Deliveries) Put(ctx context.Context, d delivery.Delivery, room delivery.Room) (delivery.Delivery, error) {
	var none delivery.Delivery
	if err := ended(ctx); err != nil {
		return none, err
	}
	t := &s.rows
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows == nil {
		t.rows = map[delivery.ID]delivery.Delivery{}
	}
	var waits, app int
	d.Seq = 1
	for _, other := range t.rows {
		if other.App == d.App && other.Waits() {
			app++
		}
		if other.Line() != d.Line() {
			continue
		}
		if other.Key == d.Key {
			return t.copied(other), taken(t.noun)
		}
		d.Seq = max(d.Seq, other.Seq+1)
		if other.Waits() {
			waits++
		}
	}
	if _, there := t.rows[d.ID]; there {
		return none, taken(t.noun)
	}
	if waits >= room.Line || app >= room.App {
		return none, fault.New(fault.Limited, "there is no room for the delivery")
	}
	d.Version = 1
	t.rows[d.ID] = t.copied(d)
	return t.copied(d), nil
}

func (s *Deliveries) Get(ctx context.Context, id delivery.ID) (delivery.Delivery, error) {
	return s.rows.get(ctx, id)
}

func (s *Deliveries) Swap(ctx context.Context, old, next delivery.Delivery) (delivery.Delivery, error) {
	return s.rows.swap(ctx, old, next)
}

func (s *Deliveries) List(
	ctx context.Context, f delivery.Filter, after delivery.ID, n int,
) ([]delivery.Delivery, error) {
	return s.rows.list(ctx, after, n, func(d delivery.Delivery) bool {
		return (f.App == "" || d.App == f.App) && (f.State == "" || d.State == f.State) &&
			(f.Key == "" || d.Key == f.Key) &&
			(len(f.Grants) == 0 || slices.Contains(f.Grants, d.Grant))
	})
}

func (s *Deliveries) Sweep(ctx context.Context, before time.Time) (int, error) {
	return s.rows.remove(ctx, func(d delivery.Delivery) bool { return !d.Waits() && d.Ended.Before(moment(before)) })
}

func (s *Deliveries) Claim(
	ctx context.Context, now time.Time, l delivery.Lease, n int,
) ([]delivery.Delivery, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	t := &s.rows
	t.mu.Lock()
	defer t.mu.Unlock()
	now = moment(now)
	first := map[string]int64{}
	for _, d := range t.rows {
		if seq, ok := first[d.Line()]; d.Waits() && (!ok || d.Seq < seq) {
			first[d.Line()] = d.Seq
		}
	}
	var due []delivery.Delivery
	for _, d := range t.rows {
		if d.Due(now) && (d.Lapsed(now) || first[d.Line()] == d.Seq) {
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b delivery.Delivery) int {
		return cmp.Or(a.Next.Compare(b.Next), cmp.Compare(a.ID, b.ID))
	})
	due = due[:min(max(n, 0), len(due))]
	for i, d := range due {
		d = t.copied(d.Claim(l))
		d.Version++
		t.rows[d.ID], due[i] = d, t.copied(d)
	}
	return due, nil
}
