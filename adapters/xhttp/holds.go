package xhttp

import (
	"context"
	"time"

	"github.com/sony/gobreaker/v2"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/xapp"
	"perch/ports"
)

// An onset is how it began that something goes wrong.
type onset struct {
	verb  string // of the events that tell of it
	at    spot
	since time.Time
	why   *fault.Error
	cause error
}

// alert tells that something goes wrong from now on.
func alert(o ports.Observer, verb string, at spot, why *fault.Error, cause error) onset {
	n := onset{verb, at, time.Now().UTC(), why, cause}
	o.Observe(context.Background(), audit.Event{
		At: n.since, XApp: at.x, Target: at.group, Verb: verb + ".open", Outcome: audit.Failed, Err: why.Because(cause),
	})
	return n
}

// over tells that it is well again.
func over(o ports.Observer, s spot, verb string) {
	o.Observe(context.Background(), audit.Event{
		At: time.Now().UTC(), XApp: s.x, Target: s.group, Verb: verb + ".close", Outcome: audit.Done,
	})
}

func (n onset) hold(next time.Time) xapp.Hold {
	return xapp.Hold{
		XApp: n.at.x, Group: n.at.group, Event: n.verb, Refuses: true, Say: n.why.Say, Cause: n.cause,
		Since: n.since, NextTry: next.UTC(),
	}
}

// Holds lists for what X is left alone now, in no order.
func (g *Gateway) Holds() []xapp.Hold {
	all := append(g.guard.failing.Holds(), g.guard.storms.holds()...)
	for _, s := range g.guard.stops {
		all = append(all, s.holds()...)
	}
	return all
}

// Holds lists the breakers that are open, in no order.
func (c *circuits) Holds() []xapp.Hold {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []xapp.Hold
	for _, one := range c.of {
		state, began, changed := one.State(), one.began.Load(), one.changed.Load()
		switch {
		case began == nil || state == gobreaker.StateClosed:
		case state == gobreaker.StateOpen:
			all = append(all, began.hold(changed.Add(c.rest)))
		default:
			all = append(all, began.hold(*changed))
		}
	}
	return all
}

func (s *storms) holds() []xapp.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []xapp.Hold
	for _, one := range s.of {
		if one.on {
			all = append(all, one.began.hold(one.until))
		}
	}
	return all
}

// holds leaves out what refuses nothing and is over, as far as X said.
func (s *stops) holds() []xapp.Hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []xapp.Hold
	for _, one := range s.of {
		if !s.refuse && !time.Now().Before(one.until) {
			continue
		}
		h := one.began.hold(one.next)
		h.Refuses, h.Until = s.refuse, one.until.UTC()
		if !s.refuse {
			h.NextTry = time.Time{} // a call goes through when its window ends, which others keep
		}
		all = append(all, h)
	}
	return all
}
