package ports

import "context"

// Counts are how many changes of each kind a store has seen that take something
// away or say anew who may do what. Only whether two counts differ matters.
type Counts struct {
	Grants       int64 // see oauth.Grant.Alters
	Applications int64 // any change of one
	Keys         int64 // any change of one
	XApps        int64 // any change of one, and its removal
	Sessions     int64 // see session.Session.Alters
}

// Changes tells replicas whether they may go by what they have read before. It
// belongs to the stores whose changes it counts.
type Changes interface {
	// Count returns the counts. A change is counted in the step that stores it:
	// whoever can read what it left finds it counted, and whoever finds it
	// counted can no longer read what was before.
	Count(ctx context.Context) (Counts, error)

	// Wait returns nil when there may have been a change since it was last
	// called. It may miss changes, or return for nothing. A store that cannot
	// tell waits until the context ends.
	Wait(ctx context.Context) error
}
