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

// QuotaStore counts calls against our own limits.
type QuotaStore interface {
	// Take spends one call of key's limit if any is left. A refusal is a
	// decision, not an error. Limits with different windows or maxima count
	// apart even under one key.
	Take(ctx context.Context, key string, limit quota.Limit) (quota.Decision, error)
}
