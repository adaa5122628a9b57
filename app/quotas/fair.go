package quotas

import (
	"math"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/quota"
	"perch/domain/xapi"
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
}

// A crowd knows which client applications use the windows that X Apps have in
// common. Each replica sees that for itself; what each has used is in the store.
type crowd struct {
	mu  sync.Mutex
	all map[string]*common
}

type common struct {
	seen  map[client.AppID]time.Time
	size  int64
	reset time.Time
}

// part returns the part of the application in the window, false where it needs
// none: it is alone, or the window is too short for anybody to be starved in it.
// In a day's window one share more is kept, for an application that comes late;
// the passing day frees it.
func (c *crowd) part(w window, app client.AppID, at time.Time) (part, bool) {
	if w.per != xapi.PerApp || w.length < time.Minute {
		return part{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]*common{}
	}
	one, ok := c.all[w.key]
	if !ok {
		one = &common{seen: map[client.AppID]time.Time{}, size: w.max}
		c.all[w.key] = one
	}
	one.seen[app] = at
	for id, last := range one.seen {
		if at.Sub(last) > w.length {
			delete(one.seen, id)
		}
	}
	p := part{window: w, size: float64(one.size), left: w.length + grace}
	if one.reset.After(at) {
		p.left = one.reset.Sub(at)
		p.passed = min(max(1-p.left.Seconds()/w.length.Seconds(), 0), 1)
	}
	n := float64(len(one.seen))
	p.own, p.full = p.size/n, p.size/n
	if w.length >= day {
		p.own = p.size / (n + 1)
	}
	return p, n > 1 || w.length >= day
}

// sees takes down how the window stands.
func (c *crowd) sees(w window, d quota.Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, ok := c.all[w.key]; ok {
		one.size, one.reset = d.Limit, d.Reset
	}
}

// share is what the application may use whatever the others do.
func (p part) share() int64 { return int64(math.Ceil(p.own + (p.full-p.own)*p.passed)) }

// ask asks the part's bucket for a call. It ends with the window.
func (p part) ask(app client.AppID) quota.Charge {
	return quota.Charge{
		Key: p.window.key + ":part:" + string(app), Max: p.share(), Window: max(p.left, time.Second), Theirs: true,
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
