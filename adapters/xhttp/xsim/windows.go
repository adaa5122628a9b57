package xsim

import (
	"net/http"
	"strconv"
	"time"

	"perch/domain/xapi"
)

const day = 24 * time.Hour

// A windowKey names what is counted: an action of an app, and perhaps of one user.
type windowKey struct {
	app, user, action string
	per               xapi.Per
	length            time.Duration
}

// A window counts the calls since it was opened by the first of them.
type window struct {
	opened time.Time
	used   int
}

// A tally is a limit and how much of its window is used.
type tally struct {
	limit xapi.Limit
	used  int
	reset time.Time
}

func (t tally) left() int { return max(0, t.limit.N-t.used) }

// spend counts a call in each window that concerns it, or in none: then it
// returns the window that is full.
func (s *Sim) spend(c *call) (tally, bool) {
	if !s.settings.windows {
		return tally{}, true
	}
	now := s.now()
	var counts []*window
	full := -1
	for _, l := range c.act.Limits {
		if !concerns(l, c) {
			continue
		}
		w := s.window(c, l, now)
		if w.used >= l.N {
			full = len(c.limits)
		}
		counts = append(counts, w)
		c.limits = append(c.limits, tally{limit: l, used: w.used, reset: w.opened.Add(l.Window)})
	}
	if full >= 0 {
		return c.limits[full], false
	}
	for i, w := range counts {
		w.used++
		c.limits[i].used++
	}
	return tally{}, true
}

// concerns tells whose calls a limit counts: per user those of users, per app
// those of the app's own bearer and, for writes, everybody's.
func concerns(l xapi.Limit, c *call) bool {
	if l.Per == xapi.PerUser {
		return c.cred.kind == byUser
	}
	return c.cred.kind == byApp || c.act.Method != http.MethodGet
}

// window returns the current window of a limit; an old one is replaced.
func (s *Sim) window(c *call, l xapi.Limit, now time.Time) *window {
	key := windowKey{app: c.cred.app, action: c.act.ID, per: l.Per, length: l.Window}
	if l.Per == xapi.PerUser {
		key.user = c.user()
	}
	w, ok := s.windows[key]
	if !ok || !now.Before(w.opened.Add(l.Window)) || now.Before(w.opened) {
		w = &window{opened: now.Truncate(time.Second)}
		s.windows[key] = w
	}
	return w
}

// limitHeaders tells the caller how much is left. Actions without a published
// limit say nothing.
func (s *Sim) limitHeaders(h http.Header, c *call) {
	short := -1
	for i, t := range c.limits {
		if t.limit.Window >= day {
			name := "User"
			if t.limit.Per == xapi.PerApp {
				name = "App"
			}
			setLimit(h, "X-"+name+"-Limit-24hour", t)
			continue
		}
		if short < 0 || t.left() < c.limits[short].left() && t.limit.Window >= c.limits[short].limit.Window || t.left() == 0 {
			short = i
		}
	}
	if short >= 0 {
		setLimit(h, "X-Rate-Limit", c.limits[short])
	}
}

func setLimit(h http.Header, prefix string, t tally) {
	h.Set(prefix+"-Limit", strconv.Itoa(t.limit.N))
	h.Set(prefix+"-Remaining", strconv.Itoa(t.left()))
	h.Set(prefix+"-Reset", strconv.FormatInt(t.reset.Unix(), 10))
}

// tooMany is the reply when a window is full: the documented one, or for a
// day's window the one seen live.
func tooMany(full tally) reply {
	if full.limit.Window >= day {
		return blank(http.StatusTooManyRequests, "Too Many Requests")
	}
	return legacy(http.StatusTooManyRequests, 88, "Rate limit exceeded")
}
