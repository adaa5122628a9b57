// Package delivery describes calls that are accepted now and performed later:
// once, in order, and within their time.
package delivery

import (
	"fmt"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// ID names a delivery.
type ID string

// NewID returns an ID for a delivery accepted at now, from random text. IDs begin
// with the time.
func NewID(now time.Time, random string) ID {
	return ID(fmt.Sprintf("dlv_%011x%s", now.UnixMilli(), strings.ToLower(random)))
}

// State says how far a delivery has come.
type State string

// A queued delivery waits for its turn. While one is being sent, X may have been
// asked. The others have ended: X has performed the call, or refused it, or it
// was never sent; whether X has performed an unknown one cannot be found out.
const (
	Queued    State = "queued"
	Sending   State = "sending"
	Done      State = "done"
	Failed    State = "failed"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Unknown   State = "unknown"
)

// States lists the states.
func States() []State { return []State{Queued, Sending, Done, Failed, Expired, Cancelled, Unknown} }

// Kinds of boxes that belong to a delivery.
const (
	CallLabel  = "delivery.call"
	ReplyLabel = "delivery.reply"
)

// A Delivery is one call that is performed later. Those of one grant are in line:
// none is begun before the one in front of it has ended.
type Delivery struct {
	ID      ID
	App     client.AppID
	Grant   oauth.GrantID // empty: the X App acts itself
	Seq     int64         // place in line, set by the store
	Actor   string        // key or session that asked
	Action  string        // X's operationId
	Key     string        // idempotency key: the client's, or the ID
	Call    secret.Box    // what is asked, sealed
	Created time.Time
	Until   time.Time // it is not sent later than that

	State    State
	Attempts int
	Next     time.Time // not tried before
	Doubt    time.Time // since when nobody knows whether X has performed it; zero: it has not
	Outcome  Outcome   // of the last attempt
	Ended    time.Time // zero: not yet
	Lease    Lease
	Version  int64 // set by the store
}

// A Lease is somebody's turn to send a delivery.
type Lease struct {
	Holder string
	Until  time.Time
}

// An Outcome is how an attempt ended.
type Outcome struct {
	Status  int        // X's; 0 if it was not asked or did not answer
	Problem string     // last segment of the problem type; empty if there is none
	Detail  string     // what happened and what to do
	Type    string     // of X's reply
	Reply   secret.Box // X's reply, sealed; empty if there is none, or too much of it
}

// A Call is what the client asked, and what it may do. It is sealed whole.
type Call struct {
	Request string            `json:"request"` // ID of the request
	Params  map[string]string `json:"params,omitempty"`
	Query   string            `json:"query,omitempty"`
	Type    string            `json:"type,omitempty"`
	Body    string            `json:"body,omitempty"`
	Session string            `json:"session,omitempty"` // of the caller; empty for a server
	Scopes  oauth.Scopes      `json:"scopes,omitempty"`  // narrower than the grant's; empty: no narrowing
	Actions []string          `json:"actions,omitempty"` // narrower than the application's; empty: no narrowing
	AppOnly bool              `json:"app_only,omitempty"`
}

// Same reports whether both ask for the same.
func (c Call) Same(d Call) bool {
	if c.Query != d.Query || c.Body != d.Body || len(c.Params) != len(d.Params) {
		return false
	}
	for name, value := range c.Params {
		if other, ok := d.Params[name]; !ok || other != value {
			return false
		}
	}
	return true
}

// A Filter chooses deliveries. What is empty chooses all.
type Filter struct {
	App    client.AppID
	Grants []oauth.GrantID
	State  State
	Key    string // idempotency key, of each of the grants
}

// Lines are those of the filter's grants.
func (f Filter) Lines() (lines []string) {
	for _, grant := range f.Grants {
		lines = append(lines, Delivery{App: f.App, Grant: grant}.Line())
	}
	return lines
}

// Room is how many deliveries may wait at once: in one line, and for one client
// application.
type Room struct{ Line, App int }

// Line is what deliveries stand in line for: their grant, or the application's
// own doing.
func (d Delivery) Line() string {
	if d.Grant == "" {
		return "app " + string(d.App)
	}
	return string(d.Grant)
}

// Label is what a box of the kind is sealed under.
func (d Delivery) Label(kind string) string {
	return secret.Label(kind, string(d.ID), string(d.App), string(d.Grant))
}

// Due reports whether it may be worked on at now, if it is the first in its line.
// One that has no time left needs no turn, unless it is in doubt.
func (d Delivery) Due(now time.Time) bool {
	return d.Waits() && !now.Before(d.Lease.Until) && (!now.Before(d.Next) || d.Lapsed(now))
}

// Lapsed reports whether its time is over at now, and X has not performed it.
func (d Delivery) Lapsed(now time.Time) bool { return d.Doubt.IsZero() && d.Late(now) }

// Late reports whether its time is over at now.
func (d Delivery) Late(now time.Time) bool { return !now.Before(d.Until) }

// apart is how far at most the clocks of replicas may be.
const apart = 10 * time.Second

// Limit is until when X may be asked: as long as it is to be sent, by whoever has
// the turn. After that somebody else may have it, who learns that X was not asked,
// so it is by everybody's clock.
func (d Delivery) Limit() time.Time {
	if d.Lease.Until.IsZero() {
		return d.Until
	}
	if turn := d.Lease.Until.Add(-apart); turn.Before(d.Until) {
		return turn
	}
	return d.Until
}

// Claim gives the lease's holder the turn. Whether an earlier holder, who did
// not come back, had asked X, nobody knows.
func (d Delivery) Claim(l Lease) Delivery {
	if d.State == Sending && d.Doubt.IsZero() {
		d.Doubt = d.Lease.Until
	}
	d.State, d.Lease = Sending, l
	d.Attempts++
	return d
}

// With returns the delivery with what of next may change once it is accepted. Of
// what was asked that is the box alone, which may come to be sealed by another key.
func (d Delivery) With(next Delivery) Delivery {
	next.ID, next.App, next.Grant, next.Seq, next.Actor = d.ID, d.App, d.Grant, d.Seq, d.Actor
	next.Action, next.Key, next.Created, next.Until = d.Action, d.Key, d.Created, d.Until
	return next
}

// Waits reports whether it has not ended.
func (d Delivery) Waits() bool { return d.Ended.IsZero() }
