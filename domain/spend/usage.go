package spend

import (
	"cmp"

	"perch/domain/client"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/xapp"
)

// A Line is what calls of one kind came to on one day.
type Line struct {
	Day    Day
	App    client.AppID
	Grant  oauth.GrantID // empty: the X App acted itself, or nobody
	Action string        // X's operationId
	Amount
}

// An Amount is what calls came to.
type Amount struct {
	Calls     int64        // that X performed, or may have
	Resources int64        // in the data of replies, those that were free among them
	Cost      money.Micros // what X bills by its price list
	Unsure    money.Micros // the part of Cost that X may not have billed: its answer did not come, or not whole
	Includes  money.Micros // what the included resources would cost besides, if X billed them; it does not say
	Hits      int64        // calls that were answered from the cache; not among Calls
	Saved     money.Micros // what the hits would have cost at most, without what X gives for free
}

// Plus returns the sum of both.
func (a Amount) Plus(b Amount) Amount {
	return Amount{
		a.Calls + b.Calls, a.Resources + b.Resources, a.Cost + b.Cost, a.Unsure + b.Unsure, a.Includes + b.Includes,
		a.Hits + b.Hits, a.Saved + b.Saved,
	}
}

// Max returns the greater of both in each part.
func (a Amount) Max(b Amount) Amount {
	return Amount{
		max(a.Calls, b.Calls), max(a.Resources, b.Resources), max(a.Cost, b.Cost), max(a.Unsure, b.Unsure),
		max(a.Includes, b.Includes), max(a.Hits, b.Hits), max(a.Saved, b.Saved),
	}
}

// A Query asks for lines, added up by what it names.
type Query struct {
	From, To Day           // the first and the last
	App      client.AppID  // empty: of all
	Grant    oauth.GrantID // empty: of all
	Action   string        // empty: of all
	By       By            // what to tell apart; the rest is added up
	Most     int           // how many lines at most, the first ones; less than one is none
}

// By is what lines are told apart by.
type By struct{ Day, App, Grant, Action bool }

// Of returns the line with nothing but what it is told apart by, and its amount.
func (by By) Of(l Line) Line {
	if !by.Day {
		l.Day = 0
	}
	if !by.App {
		l.App = ""
	}
	if !by.Grant {
		l.Grant = ""
	}
	if !by.Action {
		l.Action = ""
	}
	return l
}

// Order puts lines into their order: by day, application, grant and action.
func Order(a, b Line) int {
	return cmp.Or(
		cmp.Compare(a.Day, b.Day), cmp.Compare(a.App, b.App), cmp.Compare(a.Grant, b.Grant), cmp.Compare(a.Action, b.Action),
	)
}

// A Mark says that a call had a resource on a day. X bills it once.
type Mark struct {
	Resource
	By string // the call
}

// A Resource is something X bills at most once on a UTC day to an X App.
type Resource struct {
	XApp xapp.ID
	Day  Day
	Kind string // the line of the price list
	ID   string
}

// OrderMarks puts marks into one order, the same for everybody.
func OrderMarks(a, b Mark) int {
	return cmp.Or(
		cmp.Compare(a.XApp, b.XApp), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID),
	)
}
