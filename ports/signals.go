package ports

import (
	"context"
	"time"

	"perch/domain/audit"
	"perch/domain/quota"
)

// Observer is told of operations that have ended. It must be quick.
type Observer interface {
	Observe(ctx context.Context, e audit.Event)
}

// Pinger is a part whose health can be asked for.
type Pinger interface {
	// Ping returns nil if the part works, else what is wrong with it.
	Ping(ctx context.Context) error
}

// Clock is the clock of a store. Replicas whose own clocks disagree go by it.
type Clock interface {
	// Now returns the store's time, exact to the microsecond, or
	// fault.Unavailable.
	Now(ctx context.Context) (time.Time, error)
}

// QuotaStore counts calls: against our own limits by the store's clock, and along
// with X in its windows by the clock that all callers have in common.
type QuotaStore interface {
	// Spend charges all buckets, or none if one cannot give the least that will
	// do. A refusal is a verdict, not an error, and changes nothing. at is what
	// X's windows are judged by. No bucket may be charged twice in one call:
	// fault.Invalid. No error but fault.Unavailable leaves it open whether
	// something was spent.
	Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error)
	// Refund gives back what windows gave that have not ended or been replaced
	// meanwhile. A bucket never holds more than its maximum.
	Refund(ctx context.Context, returns []quota.Return) error
	// Note corrects X's buckets, each once, by what X said. What comes late
	// changes nothing, nor does what cannot be true.
	Note(ctx context.Context, at time.Time, notes []quota.Note) error
}
