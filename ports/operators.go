package ports

import (
	"context"
	"time"

	"perch/domain/operator"
)

// Operators keeps what is known of operators; never a token.
type Operators interface {
	// Create stores a new operator with its first version, or returns
	// fault.Conflict if the ID or the digest is taken.
	Create(ctx context.Context, o operator.Operator) (operator.Operator, error)

	// Get returns the operator, or fault.NotFound.
	Get(ctx context.Context, id operator.ID) (operator.Operator, error)

	// ByDigest returns the operator with one of the digests, or fault.NotFound.
	ByDigest(ctx context.Context, digests []string) (operator.Operator, error)

	// Swap replaces old by next; fault.Conflict if another writer came first,
	// fault.NotFound if there is no such operator.
	Swap(ctx context.Context, old, next operator.Operator) (operator.Operator, error)

	// List returns up to n operators with IDs greater than after, in order.
	List(ctx context.Context, after operator.ID, n int) ([]operator.Operator, error)
}

// Uses keeps when credentials were last used, by their IDs. It is apart from
// what is known of them, so that noting a use changes nothing that others read.
type Uses interface {
	// Note stores the times, each unless a later one is stored.
	Note(ctx context.Context, used map[string]time.Time) error

	// Last returns the times of those of the IDs that were ever used.
	Last(ctx context.Context, ids []string) (map[string]time.Time, error)
}
