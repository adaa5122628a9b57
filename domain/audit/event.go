// Package audit describes operations: who did what, to what, and how it ended.
// Events carry no bodies and no secrets.
package audit

import (
	"net/netip"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
)

// An Event is one operation that has ended.
type Event struct {
	At          time.Time
	Request     string // ID of the request
	Actor       string // key, session or operator that asked; empty where nobody knows
	Address     netip.Addr
	App         client.AppID
	XApp        xapp.ID
	Grant       oauth.GrantID
	User        user.ID
	Target      string // ID of what it was done to, where no other field names it
	Verb        string // X's operationId, or what Perch did, as "grant.refresh"
	Outcome     Outcome
	Status      int    // X's, zero if it was not asked or did not answer; of an operator's call Perch's own
	Transaction string // X's x-transaction-id
	Duration    time.Duration
	Err         error // why, where the outcome is not Done
}

// Outcome is how an operation ended.
type Outcome string

// Refused: we said no. Failed: it went wrong, perhaps after X was asked.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
	Failed  Outcome = "failed"
)
