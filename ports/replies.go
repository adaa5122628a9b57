package ports

import (
	"context"
	"time"

	"perch/domain/idempotency"
)

// Replies keeps what is known of calls with an idempotency key. A record is the
// one it was while its attempt and its state are: each attempt has a name of its
// own, and states only go on. A store that has little room may let go of the
// replies of done calls, the oldest first, and then refuse with fault.Unavailable
// what is reserved or sent; it never lets go of a record.
type Replies interface {
	// Create stores a record, or returns fault.Conflict if the scope is taken.
	Create(ctx context.Context, r idempotency.Record) error

	// Get returns the record of the scope, or fault.NotFound.
	Get(ctx context.Context, scope string) (idempotency.Record, error)

	// Swap replaces old by next in one step if what is stored still has old's
	// attempt and state. Otherwise it is fault.Conflict, or fault.NotFound if
	// there is no such record, and nothing is stored. The scope of next is ignored.
	Swap(ctx context.Context, old, next idempotency.Record) error

	// Remove removes old under the same condition.
	Remove(ctx context.Context, old idempotency.Record) error

	// Sweep removes what is kept until the given time or before, and returns how
	// many.
	Sweep(ctx context.Context, now time.Time) (int, error)
}
