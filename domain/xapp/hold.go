package xapp

import (
	"cmp"
	"time"
)

// A Hold is a reason for which X is left alone with calls of an X App.
type Hold struct {
	XApp    ID
	Group   string // of actions, as "reads"; empty: all
	Event   string // that tells of it, as "x.breaker"
	Refuses bool   // calls of the group; else only those whose window X has closed
	Say     string // what happened and what to do
	Cause   error  // what happened below; for operators
	Since   time.Time
	NextTry time.Time // from then on one call goes through to see; zero: when its window ends
	Until   time.Time // as far as X said; zero: until X answers
}

// Compare orders holds by X App, group and event.
func (h Hold) Compare(o Hold) int {
	return cmp.Or(cmp.Compare(h.XApp, o.XApp), cmp.Compare(h.Group, o.Group), cmp.Compare(h.Event, o.Event))
}
