package ports

import "context"

// A Head is the newest version of a record.
type Head struct {
	ID      string
	Version int64  // 1 at least
	Body    string // the record, sealed as it is at home; empty: it was removed
}

// Heads keeps the newest version of every record whose home has no
// compare-and-swap and may be late to show what was written to it, as Workers KV.
// Where there is a head it is the record; its home follows.
//
// Heads are of about a kilobyte, and none is ever deleted: a record that is
// removed leaves a head with an empty body, so that what its home still shows is
// not taken for it.
type Heads interface {
	// Get returns the head, or fault.NotFound if there never was one.
	Get(ctx context.Context, id string) (Head, error)

	// Advance stores next if the stored head has the version, or if there is
	// none and version is 0. Otherwise it returns fault.Conflict and stores
	// nothing. The version of next must be greater than that; it need not be the
	// one after it, so that records which have a history can get their first
	// head. The head is unsettled then.
	Advance(ctx context.Context, version int64, next Head) error

	// Settle notes that the record's home was given the version. If the head has
	// another one by now, or is not there, it returns fault.Conflict.
	Settle(ctx context.Context, id string, version int64) error

	// Unsettled returns up to n heads whose IDs begin with prefix and are greater
	// than after, in order, and whose home was not given their version yet, as
	// far as is known.
	Unsettled(ctx context.Context, prefix, after string, n int) ([]Head, error)

	// List returns up to n heads whose IDs begin with prefix and are greater than
	// after, in order.
	List(ctx context.Context, prefix, after string, n int) ([]Head, error)
}
