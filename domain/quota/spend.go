package quota

import (
	"slices"
	"time"
)

// Spend charges the buckets: all of them, or none if one cannot give the least
// that will do. It returns the buckets as they are to be kept, and changes none
// if it refuses. The charges must be complete. now holds, for each charge, the time on
// the clock that its window goes by.
func Spend(charges []Charge, buckets []Bucket, now []time.Time) ([]Bucket, Verdict) {
	v := Verdict{Allowed: true, Grips: make([]Grip, len(charges))}
	after := make([]Bucket, len(charges))
	for i, c := range charges {
		b := buckets[i].current(c, now[i])
		given := min(c.Cost, shareOf(b.most(c), c.Share)-b.Used)
		fits := given >= c.Least
		if !fits && v.Allowed {
			v.Allowed, v.Full = false, i
		}
		v.Grips[i] = Grip{Given: given, Decision: Decision{Allowed: fits, Limit: b.most(c), Reset: b.Reset}}
		after[i] = b
	}
	for i := range charges {
		g := &v.Grips[i]
		if !v.Allowed {
			g.Given = 0
		}
		after[i].Used += g.Given
		g.Remaining = max(g.Limit-after[i].Used, 0)
	}
	if !v.Allowed {
		return buckets, v
	}
	return after, v
}

// current returns the bucket with a new window if the old one has ended.
func (b Bucket) current(c Charge, now time.Time) Bucket {
	if now.Before(b.Reset) {
		return b
	}
	b.Used, b.Reset, b.Guessed = 0, now.Add(c.Window), c.Theirs
	return b
}

// most is the bucket's maximum: that of the charge, unless X has said another.
func (b Bucket) most(c Charge) int64 {
	if c.Theirs && b.Told {
		return b.Max
	}
	return c.Max
}

// shareOf is percent of n, rounded down, without going through n * percent.
func shareOf(n, percent int64) int64 { return n/100*percent + n%100*percent/100 }

// Slack is by how much two ends of one window may differ: X tells whole seconds.
const Slack = time.Second

// Noted returns the bucket after what X said at the time. Of a window that is over
// already X's word comes too late. An end that is farther behind the one we guess
// than that is ahead of us is the next window's.
func (b Bucket) Noted(n Note, at time.Time) Bucket {
	running := at.Before(b.Reset)
	switch {
	case !b.Guessed && n.Reset.Before(b.Reset.Add(-Slack)):
		return b
	case b.Guessed && (!running || n.Reset.Sub(b.Reset) > b.Reset.Sub(at)), // it is the next window
		!b.Guessed && n.Reset.After(b.Reset.Add(Slack)):
		b.Used = n.Used
	default:
		// What we gave, X may not have seen yet.
		b.Used = max(b.Used, n.Used)
	}
	b.Reset, b.Guessed, b.Told, b.Max = n.Reset, false, true, n.Max
	return b
}

// Believable returns the notes that can be true, with bounded numbers. A window
// cannot end later than it would if it began now; what differs by less than the
// window's length is taken for a wrong clock.
func Believable(notes []Note, at time.Time) []Note {
	var out []Note
	for _, n := range notes {
		if n.Max < 0 || n.Used < 0 || n.Reset.IsZero() || (n.Window > 0 && n.Reset.After(at.Add(2*n.Window))) {
			continue
		}
		n.Max, n.Used = bounded(n.Max), bounded(n.Used)
		out = append(out, n)
	}
	return out
}

// Returned returns the bucket after something was given back to it.
func (b Bucket) Returned(r Return) Bucket {
	if b.Reset.Equal(r.Reset) {
		b.Used = max(b.Used-max(r.Given, 0), 0)
	}
	return b
}

// Returns is what gives back everything that the verdict on the charges gave.
func (v Verdict) Returns(charges []Charge) []Return {
	var out []Return
	for i, g := range v.Grips {
		if g.Given > 0 {
			out = append(out, Return{charges[i], g.Given, g.Reset})
		}
	}
	return out
}

// Returned is the verdict with the buckets as they are when everything that it gave
// was given back.
func (v Verdict) Returned() Verdict {
	v.Grips = slices.Clone(v.Grips)
	for i := range v.Grips {
		g := &v.Grips[i]
		g.Remaining, g.Given = min(g.Remaining+g.Given, g.Limit), 0
	}
	return v
}
