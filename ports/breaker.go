package ports

import "perch/domain/xapp"

// A Trial is what came of a call that a breaker had allowed.
type Trial int

// Untried says nothing of the endpoint: there was no call, or it failed for
// reasons of its own.
const (
	Untried Trial = iota
	Worked
	Failed
)

// Breaker keeps calls away from X's token endpoint while it fails for many
// grants of an X App at once, so that none of them is held to have ended.
type Breaker interface {
	// Allow lets a call through and returns how to tell, once, what came of it, and
	// of a failure what it was.
	// While the endpoint is failing it returns fault.Unavailable, with the time
	// after which it is worth trying again.
	Allow(x xapp.ID) (tell func(Trial, error), err error)
}
