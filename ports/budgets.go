package ports

import (
	"context"
	"time"

	"perch/domain/money"
	"perch/domain/spend"
)

// Budgets keeps what was spent of each budget, and what is set aside.
type Budgets interface {
	// Reserve sets the reservation's cost aside in all its accounts, if each of
	// its limits admits it (spend.Standing.Admits), and returns true; or it
	// leaves everything as it is and returns false. An ID that is taken is
	// fault.Conflict. An account that nothing was counted in before begins with
	// the cost of its period that Usage has by then.
	Reserve(ctx context.Context, r spend.Reservation) (bool, error)

	// Settle puts what the call has cost in place of what was set aside. A
	// reservation is settled once: what is said later, or of one that is not
	// there, changes nothing. One that has expired may still be settled.
	Settle(ctx context.Context, id string, cost money.Micros) error

	// Expire counts reservations that have expired at now as spent at what they
	// were set aside for, and returns how many. It forgets those that ended
	// more than a day ago, and accounts whose period ended long ago.
	Expire(ctx context.Context, now time.Time) (int, error)

	// Standing returns how the accounts stand, in their order. One that nothing
	// was counted in stands as it would begin.
	Standing(ctx context.Context, accounts []spend.Account) ([]spend.Standing, error)

	// Tell notes that an alert at so many percent of the limit is given, and
	// returns true to the first who says so: nobody has noted it, or a higher
	// one, or only for a smaller limit. In an account that nothing was counted
	// in there is nothing to tell.
	Tell(ctx context.Context, l spend.Limit, percent int64) (bool, error)
}
