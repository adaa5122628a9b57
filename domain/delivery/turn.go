package delivery

import (
	"time"

	"perch/domain/fault"
	"perch/domain/xapi"
)

// How long is waited between attempts, and for an answer to whether X has
// performed one: no longer than what is known of a call with a key is kept.
const (
	firstWait   = 2 * time.Second
	longestWait = 5 * time.Minute
	longestHint = 15 * time.Minute // of those who say when to come back
	longestTalk = 12 * time.Hour
)

// Usual and Longest are how long a delivery may wait to be sent, unless the
// client says otherwise, and whatever it says.
const (
	Usual   = 24 * time.Hour
	Longest = 7 * 24 * time.Hour
)

// TooLate names the refusal of a call, or the end of a delivery, whose time is
// over.
const TooLate = "delivery-expired"

// End returns the delivery as it is for good.
func (d Delivery) End(s State, o Outcome, now time.Time) Delivery {
	d.State, d.Outcome, d.Ended, d.Lease = s, o, now, Lease{}
	if s != Unknown {
		d.Doubt = time.Time{}
	}
	return d
}

// Over reports whether it must not be tried any more at now: its time is over, or
// it is in doubt for so long that another attempt might not notice an earlier one,
// which matters where that could do harm. What is in doubt when its time is over
// is still looked for at X.
func (d Delivery) Over(now time.Time) bool {
	return d.Lapsed(now) || !d.Doubt.IsZero() && now.Sub(d.Doubt) >= longestTalk && (d.Late(now) || !d.Harmless())
}

// Harmless reports whether X may perform the call twice.
func (d Delivery) Harmless() bool {
	act, ok := xapi.ByID(d.Action)
	return ok && act.Idempotent
}

// Settle ends a delivery that is over. One of which nobody knows whether X has
// performed it stays unknown.
func (d Delivery) Settle(now time.Time) Delivery {
	if !d.Doubt.IsZero() {
		return d.GiveUp(now)
	}
	o := d.Outcome
	if o.Problem == "" {
		o.Problem, o.Detail = TooLate, "it could not be sent in its time; the one in front of it took longer"
	}
	return d.End(Expired, o, now)
}

// GiveUp ends a delivery of which nobody can find out whether X has performed it.
func (d Delivery) GiveUp(now time.Time) Delivery {
	return d.End(Unknown, Outcome{
		Status: d.Outcome.Status, Problem: "idempotency-unknown",
		Detail: "X was asked, its answer was lost, and Perch could not find out whether it was done; " +
			"look at X before you send it again",
	}, now)
}

// Deny returns a delivery that was given up as one that X has not performed, which
// somebody has found out since.
func (d Delivery) Deny() Delivery {
	return d.End(Failed, Outcome{
		Status: d.Outcome.Status, Problem: "idempotency-unknown",
		Detail: "X was asked and its answer was lost; whoever looked since says that X has not done it, " +
			"and the key may be used again",
	}, d.Ended)
}

// Postpone puts the delivery back in its place until it is worth trying again:
// after wait, if somebody knows, else after longer and longer. unsure says that X
// may have performed the call. spread from 0 to 1 keeps those that failed
// together from coming back together.
func (d Delivery) Postpone(o Outcome, wait time.Duration, unsure bool, spread float64, now time.Time) Delivery {
	switch {
	case !unsure:
		d.Doubt = time.Time{}
	case d.Doubt.IsZero():
		d.Doubt = now
	}
	if wait <= 0 {
		wait = min(firstWait<<min(max(d.Attempts-1, 0), 10), longestWait)
		wait = wait/2 + time.Duration(spread*float64(wait)/2)
	} else {
		wait = min(wait, longestHint) + time.Duration(spread*float64(time.Second))
	}
	d.State, d.Outcome, d.Lease = Queued, o, Lease{}
	if d.Next = now.Add(wait); d.Doubt.IsZero() && d.Next.After(d.Until) {
		d.Next = d.Until
	}
	return d
}

// Cancel returns the delivery as never sent, or says why that is too late.
func (d Delivery) Cancel(now time.Time) (Delivery, error) {
	switch {
	case !d.Ended.IsZero():
		return d, fault.New(fault.Conflict, "the delivery has ended; its state is %s", d.State).Named("delivery-ended")
	case d.State != Queued || !d.Doubt.IsZero():
		return d, fault.New(fault.Conflict, "the delivery is being sent, and X may have it; look again in a minute").
			Named("delivery-sending").After(time.Minute)
	}
	return d.End(Cancelled, Outcome{}, now), nil
}

// Return puts back what was claimed and not tried.
func (d Delivery) Return() Delivery {
	d.State, d.Lease = Queued, Lease{}
	d.Attempts--
	return d
}
