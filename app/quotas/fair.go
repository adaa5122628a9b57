package quotas

import (
	"fmt"
	"math"
	"time"

	"perch/domain/client"
	"perch/domain/quota"
)

// A part is what one client application may use of a window that the X App has
// in common: its equal share at any time, and beyond it what time has freed.
type part struct {
	shared int // index of the window's charge
	charge int // index of the part's own charge
	window window
	size   float64 // calls in the window
	own    float64 // the equal share, which grows to the next
	full   float64
	passed float64 // of the window's time, from 0 to 1
	left   time.Duration
	lone   bool // no other application has asked
}

// undivided is the part of an application beside which there can be no other. It
// is still counted, for when there is one.
func (p part) undivided() part {
	p.own, p.full = p.size, p.size
	return p
}

// share is what the application may use whatever the others do.
func (p part) share() int64 { return int64(math.Ceil(p.own + (p.full-p.own)*p.passed)) }

// ask asks the part's bucket for a call. Each of X's windows has a bucket of its
// own, also one of which X has said only later when it ends: ends are at least the
// length of the window apart.
func (p part) ask(app client.AppID, at time.Time) quota.Charge {
	end := at.Add(p.left).Unix() / int64(p.window.length/time.Second)
	return quota.Charge{
		Key: fmt.Sprintf("%s:part:%d:%s", p.window.key, end, app), Max: p.share(), Window: max(p.left, time.Second),
		Theirs: true,
	}
}

// pace is the percentage of the window that may be used up by now where an
// application goes beyond its share.
func (p part) pace() int64 {
	return max(int64(100*(p.own+(p.size-p.own)*p.passed)/max(p.size, 1)), 1)
}

// wait is how long it takes until time has freed a call, where so many are used
// of the window and of the part.
func (p part) wait(used, ours int64) time.Duration {
	percent := math.Ceil(100 * float64(used+1) / max(p.size, 1))
	at := (percent*p.size/100 - p.own) / max(p.size-p.own, 1)
	if grown := (float64(ours) - p.own) / max(p.full-p.own, 1e-9); p.full > p.own && grown < 1 {
		at = min(at, grown)
	}
	wait := time.Duration((at - p.passed) * float64(p.window.length))
	return min(max(wait, time.Second), p.left)
}
