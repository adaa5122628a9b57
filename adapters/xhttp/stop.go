package xhttp

import (
	"sync"
	"time"

	"perch/domain/xapi"
	"perch/ports"
)

// stops remember where X has a trouble with an X App, until it answers well
// again. Those that refuse let one call through when the time to wait is over.
type stops struct {
	trouble  xapi.Trouble
	verb     string // of the events that tell of it
	refuse   bool
	observer ports.Observer

	mu sync.Mutex
	of map[spot]*stop
}

type stop struct {
	until   time.Time
	probing bool
}

func newStops(t xapi.Trouble, verb string, refuse bool, o ports.Observer) *stops {
	return &stops{trouble: t, verb: verb, refuse: refuse, observer: o, of: map[spot]*stop{}}
}

// enter refuses a call that X would refuse, or returns who is to be told of its
// outcome.
func (s *stops) enter(at spot) (func(outcome), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[at]
	if one == nil || !s.refuse {
		return func(o outcome) { s.told(at, o, !s.refuse) }, nil
	}
	if left := time.Until(one.until); left > 0 || one.probing {
		return nil, s.trouble.Fault(nil).After(max(left, time.Second)).Because(ports.ErrUnsent)
	}
	one.probing = true
	return func(o outcome) { s.told(at, o, true) }, nil
}

// told learns of an outcome. Only that of a probe ends the trouble; others may
// have begun before it did.
func (s *stops) told(at spot, o outcome, probe bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, now := s.of[at], time.Now()
	if one != nil && probe {
		one.probing = false
	}
	switch {
	case o.trouble == s.trouble && one == nil:
		s.of[at] = &stop{until: now.Add(o.wait)}
		alert(s.observer, at, s.verb, s.trouble.Fault(o.reply.Whole).After(o.wait).Because(answered(o.reply)))
	case o.trouble == s.trouble:
		one.until = now.Add(o.wait)
	case one != nil && probe && o.failure == nil && !now.Before(one.until):
		delete(s.of, at)
		over(s.observer, at, s.verb)
	}
}
