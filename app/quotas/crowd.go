package quotas

import (
	"context"
	"fmt"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/quota"
	"perch/domain/xapi"
)

// Replicas learn of each other's applications from the store, where one that asks
// is counted once in each stretch of time as long as the window, and in the next.
// A replica looks again after a hundredth of that, or after lookAgain.
const lookAgain = 10 * time.Second

// A crowd knows which client applications use the windows that X Apps have in
// common: those that this replica has seen, and how many the store has counted.
type crowd struct {
	mu  sync.Mutex
	all map[string]*common
}

type common struct {
	seen  map[client.AppID]sight
	size  int64
	reset time.Time

	counted int64     // in the store
	looked  time.Time // when
}

// A sight is when an application was last seen, and in which stretch it was told
// to the store.
type sight struct {
	last time.Time
	told int64
}

// common reports whether the window is one that client applications have in
// common, and long enough for somebody to be starved in it.
func (w window) common() bool { return w.per == xapi.PerApp && w.length >= time.Minute }

// meet tells the store of the application, and learns from it how many there are.
// What the store does not say is asked again with the next call.
func (s *Service) meet(ctx context.Context, w window, app client.AppID, at time.Time) {
	stretch := at.Unix() / int64(w.length/time.Second)
	known, due := s.crowd.due(w, app, at, stretch)
	if !due {
		return
	}
	v, err := s.store.Spend(ctx, at, presence(w, app, stretch))
	if err == nil && !known {
		_, err = s.store.Spend(ctx, at, presence(w, app, stretch+1))
	}
	if err != nil {
		s.crowd.untold(w, app, at)
		return
	}
	s.crowd.told(w, v.Grips[1].Limit-v.Grips[1].Remaining)
}

// presence counts the application in the stretch, unless it was counted there.
func presence(w window, app client.AppID, stretch int64) []quota.Charge {
	key := fmt.Sprintf("%s:crowd:%d", w.key, stretch)
	return []quota.Charge{
		{Key: key + ":" + string(app), Max: 1, Window: 2 * w.length}, {Key: key, Max: unknownMax, Window: 2 * w.length},
	}
}

// of returns what is known of the window, and locks it.
func (c *crowd) of(w window) *common {
	c.mu.Lock()
	if c.all == nil {
		c.all = map[string]*common{}
	}
	one, ok := c.all[w.key]
	if !ok {
		one = &common{seen: map[client.AppID]sight{}, size: w.max}
		c.all[w.key] = one
	}
	return one
}

// due takes down that the application asks, and reports whether the store knows of
// it, and whether the caller is to ask the store.
func (c *crowd) due(w window, app client.AppID, at time.Time, stretch int64) (known, due bool) {
	one := c.of(w)
	defer c.mu.Unlock()
	for id, s := range one.seen {
		if at.Sub(s.last) > w.length {
			delete(one.seen, id)
		}
	}
	known = one.seen[app].told == stretch
	one.seen[app] = sight{at, stretch}
	if due = !known || at.Sub(one.looked) >= min(w.length/100, lookAgain); due {
		one.looked = at
	}
	return known, due
}

// told takes down what the store said.
func (c *crowd) told(w window, counted int64) {
	one := c.of(w)
	defer c.mu.Unlock()
	one.counted = counted
}

// untold has the next call ask the store.
func (c *crowd) untold(w window, app client.AppID, at time.Time) {
	one := c.of(w)
	defer c.mu.Unlock()
	one.seen[app] = sight{last: at}
}

// part returns the part of the application in the window, false where it needs
// none, as it is alone. In a day's window one share more is kept, for an
// application that comes late; the passing day frees it.
func (c *crowd) part(w window, at time.Time) (part, bool) {
	one := c.of(w)
	defer c.mu.Unlock()
	p := part{window: w, size: float64(one.size), left: w.length + grace}
	if one.reset.After(at) {
		p.left = one.reset.Sub(at)
		p.passed = min(max(1-p.left.Seconds()/w.length.Seconds(), 0), 1)
	}
	n := float64(max(int64(len(one.seen)), one.counted))
	p.own, p.full, p.lone = p.size/n, p.size/n, n == 1
	if w.length >= day {
		p.own = p.size / (n + 1)
	}
	return p, n > 1 || w.length >= day
}

// sees takes down how the window stands, if that is known.
func (c *crowd) sees(w window, d quota.Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, ok := c.all[w.key]; ok && !d.Reset.IsZero() {
		one.size, one.reset = d.Limit, d.Reset
	}
}
