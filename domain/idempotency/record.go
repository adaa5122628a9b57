package idempotency

import (
	"encoding/json"
	"time"

	"perch/domain/secret"
)

// A State is how far a call has come.
type State string

// A reserved call has not been sent: if whoever holds it dies, X was not asked.
// Before X is asked the call is sent, and then done when X's answer is known. If
// that does not come, it is unknown whether X did what was asked.
const (
	Reserved State = "reserved"
	Sent     State = "sent"
	Done     State = "done"
	Unknown  State = "unknown"
)

const (
	// Preparing is how long a reserved call belongs to whoever reserved it.
	Preparing = 30 * time.Second

	// Grace is how long after a call had to end its holder may still write so.
	Grace = 30 * time.Second

	// Late is how long after it was sent X may still perform a call: until then,
	// that nothing is to be seen of it means nothing.
	Late = 5 * time.Minute

	// MostKept is how many bytes of a call's body, and of its answer, are kept:
	// of the answer with its headers, as JSON in which the body is base64. Both
	// must fit into one statement of any store.
	MostKept = 48 << 10
)

// A Record is what is known of the call with a key.
type Record struct {
	Scope       string // of the key
	Attempt     string // who holds it: another one each time it is reserved
	Fingerprint string
	Action      string // of X's catalogue
	State       State
	Status      int        // of X's answer, once it is known; 0: there was none
	Request     secret.Box // the call's body, while it may be needed
	Reply       secret.Box // X's answer; empty where it was too long to keep
	Created     time.Time
	Sent        time.Time
	Lease       time.Time // until then whoever holds it may still be at work
	Until       time.Time // it is kept until then
}

// Reserve is a key that is claimed at now.
func Reserve(scope, attempt, fingerprint, action string, now time.Time) Record {
	return Record{
		Scope: scope, Attempt: attempt, Fingerprint: fingerprint, Action: action, State: Reserved,
		Created: now, Lease: now.Add(Preparing), Until: now.Add(Window * time.Hour),
	}
}

// Standing is the state at now. A sent call whose holder is gone is unknown.
func (r Record) Standing(now time.Time) State {
	if r.State == Sent && !now.Before(r.Lease) {
		return Unknown
	}
	return r.State
}

// Began is when X was asked, or before that when the key was reserved.
func (r Record) Began() time.Time {
	if r.Sent.IsZero() {
		return r.Created
	}
	return r.Sent
}

// Free reports whether the key may be claimed by another call at now: it has
// expired, or X was not asked, or what was asked may be repeated without harm.
func (r Record) Free(now time.Time, harmless bool) bool {
	switch {
	case !now.Before(r.Until):
		return true
	case r.State == Reserved:
		return !now.Before(r.Lease)
	}
	return harmless && r.Standing(now) == Unknown
}

// Send is the call when X is asked at now, for at most as long as limit.
func (r Record) Send(request secret.Box, now time.Time, limit time.Duration) Record {
	r.State, r.Request, r.Sent = Sent, request, now
	r.Lease, r.Until = now.Add(limit+Grace), now.Add(Window*time.Hour)
	return r
}

// Settle is the call when X's answer is known at now.
func (r Record) Settle(status int, reply secret.Box, now time.Time) Record {
	r.State, r.Status, r.Reply, r.Request = Done, status, reply, ""
	r.Lease, r.Until = time.Time{}, now.Add(Window*time.Hour)
	return r
}

// Lose is the call when X gave no answer that says what it did. status is what
// X said all the same, if anything.
func (r Record) Lose(status int, now time.Time) Record {
	r.State, r.Status = Unknown, status
	r.Lease, r.Until = time.Time{}, now.Add(Window*time.Hour)
	return r
}

// Ripe is when a call of which nothing is to be seen was not performed.
func (r Record) Ripe() time.Time {
	if ripe := r.Sent.Add(Late); ripe.After(r.Lease) {
		return ripe
	}
	return r.Lease
}

// An Outcome is what an answer of X says of the call.
type Outcome int

// An answer may leave open whether X performed the call, say that it did what it
// will ever do, or that it has not looked at it.
const (
	Open Outcome = iota
	Final
	Untried
)

// OutcomeOf is what X's status says; whole: its answer came to its end.
func OutcomeOf(status int, whole bool) Outcome {
	switch {
	case status == 401, status == 402, status == 425, status == 429:
		return Untried // it wants another credential, money, or another time
	case whole && (status/100 == 2 || status/100 == 4) && status != 408: // whose time was up says nothing of what was done
		return Final
	}
	return Open
}

// Legible reports whether X's answer is one. X's answers are JSON; of a success
// that is not, some is missing, or it is not X's.
func Legible(status int, body []byte) bool {
	return status >= 400 || len(body) == 0 || json.Valid(body)
}
