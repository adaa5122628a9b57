package keyset

import (
	"context"
	"time"

	"perch/domain/delivery"
	"perch/domain/secret"
	"perch/ports"
)

// deliveries wait for up to a week, and are kept for another.
func deliveries(store ports.Deliveries) shelf {
	var one func(d delivery.Delivery) row
	one = func(d delivery.Delivery) row {
		return row{
			id: string(d.ID),
			boxes: []sealed{
				{d.Call, d.Label(delivery.CallLabel)}, {d.Outcome.Reply, d.Label(delivery.ReplyLabel)},
			},
			busy: d.State == delivery.Sending && d.Lease.Until.After(time.Now().Add(-slack)),
			put: func(ctx context.Context, boxes []secret.Box) error {
				next := d
				next.Call, next.Outcome.Reply = boxes[0], boxes[1]
				_, err := store.Swap(ctx, d, next)
				return err
			},
			again: func(ctx context.Context) (row, error) {
				now, err := store.Get(ctx, d.ID)
				return one(now), err
			},
		}
	}
	return shelf{"deliveries", func(ctx context.Context, after string, n int) ([]row, error) {
		page, err := store.List(ctx, delivery.Filter{}, delivery.ID(after), n)
		return rows(page, err, one)
	}}
}
