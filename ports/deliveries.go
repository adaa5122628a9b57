package ports

import (
	"context"
	"time"

	"perch/domain/delivery"
)

// Deliveries keeps calls that are performed later.
type Deliveries interface {
	// Put stores a new delivery with its first version, last in its line. If the
	// line has one with the same key, that one is returned with fault.Conflict;
	// so is a taken ID, with nothing. If as many as room allows are waiting
	// already it returns fault.Limited. Many who put at once into different
	// lines of one application may together exceed its room by their number.
	Put(ctx context.Context, d delivery.Delivery, room delivery.Room) (delivery.Delivery, error)

	// Get returns the delivery, or fault.NotFound.
	Get(ctx context.Context, id delivery.ID) (delivery.Delivery, error)

	// Swap replaces old by next; fault.Conflict if another writer came first,
	// fault.NotFound if there is no such delivery. What Delivery.With keeps stays.
	Swap(ctx context.Context, old, next delivery.Delivery) (delivery.Delivery, error)

	// List returns up to n deliveries that the filter chooses, with IDs greater
	// than after, in order.
	List(ctx context.Context, f delivery.Filter, after delivery.ID, n int) ([]delivery.Delivery, error)

	// Sweep removes deliveries that ended before the given time and returns how
	// many.
	Sweep(ctx context.Context, before time.Time) (int, error)
}

// DeliveryQueue hands out deliveries to those who send them.
type DeliveryQueue interface {
	// Claim gives the lease's holder up to n deliveries that are due at now, as
	// Delivery.Claim does: the first of their lines, and those that have no time
	// left and are not in doubt. Of many claimers one gets each, until its lease has run out.
	Claim(ctx context.Context, now time.Time, l delivery.Lease, n int) ([]delivery.Delivery, error)
}
