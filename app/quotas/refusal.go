package quotas

import (
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/xapi"
)

// refusal says whose limit the call met, and what is left of our own.
func (b *bill) refusal(v quota.Verdict) error {
	return b.standing(b.met(v), v)
}

// standing adds to a refusal what is left of our limits.
func (b *bill) standing(f *fault.Error, v quota.Verdict) error {
	for name, value := range heads(standings(b.rules, v, b.at)) {
		f = f.Heading(name, value)
	}
	return f
}

// met is the limit that the call met: of several the one that refuses longest.
func (b *bill) met(v quota.Verdict) *fault.Error {
	worst, until := -1, time.Time{}
	for i := range len(b.rules) + len(b.windows) {
		if g := v.Grips[i]; !g.Allowed && (worst < 0 || g.Reset.After(until)) && !b.paced(i, g) {
			worst, until = i, g.Reset
		}
	}
	switch {
	case worst < 0:
		return b.crowded(v)
	case worst < len(b.rules):
		return refusedByUs(standings(b.rules, v, b.at), b.session)
	}
	w, g := b.windows[worst-len(b.rules)], v.Grips[worst]
	if g.Remaining > 0 {
		f := fault.New(fault.Limited, "batch keys may use up %d %% of X's window for this action, and have: the rest is "+
			"for callers who wait. Try again when the window has ended", batchShare)
		return theirs(f, w, g.Limit, b.at, until).With("limited", "batch")
	}
	return refusedByX(w, g.Limit, b.at, until)
}

// paced reports whether the window is refused only because the application has
// gone beyond its share.
func (b *bill) paced(i int, g quota.Grip) bool {
	for _, p := range b.parts {
		if p.shared == i && b.borrowing && g.Remaining > 0 {
			return true
		}
	}
	return false
}

// refusedByX refuses a call before X does, in the same words.
func refusedByX(w window, limit int64, at, reset time.Time) *fault.Error {
	of, limited := w.owner()
	f := fault.New(fault.Limited, "X's window for this action is used up: %d calls in %s for %s. Perch has not asked X; "+
		"try again when the window has ended", limit, quota.Length(w.length), of)
	if limit >= unknownMax {
		f = fault.New(fault.Limited, "X has just refused this action for its rate and is left alone; try again later")
	}
	return theirs(f, w, limit, at, reset).With("limited", limited)
}

// turning refuses a call that X might count in this window or in the next.
func turning(w window, limit int64, at, reset time.Time) *fault.Error {
	_, limited := w.owner()
	f := fault.New(fault.Limited, "X's window for this action is just ending, and Perch waits for the next; "+
		"try again in a second or two")
	return theirs(f, w, limit, at, reset).With("limited", limited)
}

// owner says whose calls the window counts, for people and for programs.
func (w window) owner() (people, programs string) {
	if w.per == xapi.PerApp {
		return "the X App", "x-app"
	}
	return "each user", "x-user"
}

// crowded refuses a call of an application that has used its share of a window
// which others want too.
func (b *bill) crowded(v quota.Verdict) *fault.Error {
	for _, p := range b.parts {
		shared, own := v.Grips[p.shared], v.Grips[p.charge]
		if shared.Allowed && own.Allowed {
			continue
		}
		reset := b.at.Add(p.wait(shared.Limit-shared.Remaining, own.Limit-own.Remaining))
		f := fault.New(fault.Limited, "this client application has used its share of X's window for this action, which "+
			"it has in common with others of the X App: %d calls in %s. Perch has not asked X; more becomes free as time "+
			"passes", shared.Limit, quota.Length(p.window.length))
		return theirs(f, p.window, shared.Limit, b.at, reset).With("limited", "share")
	}
	return fault.New(fault.Limited, "a limit is reached; try again later").Named("limit-reached").After(time.Second)
}

func theirs(f *fault.Error, w window, limit int64, at, reset time.Time) *fault.Error {
	f = f.Named("x-rate-limit").After(max(reset.Sub(at), 1)).With("window", quota.Length(w.length))
	for name, value := range xHeads(w, limit, reset) {
		f = f.Heading(name, value)
	}
	return f
}
