package xhttp

import (
	"net/http"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// probeEvery is how often one call goes through to see, while X refuses them for
// long: so each replica finds out by itself that people have put it right.
const probeEvery = time.Minute

// stops remember where X has a trouble with an X App, until it answers well
// again. Those that refuse let one call through now and then.
type stops struct {
	trouble  xapi.Trouble
	verb     string // of the events that tell of it
	refuse   bool
	observer ports.Observer

	mu sync.Mutex
	of map[spot]*stop
}

type stop struct {
	began   onset
	until   time.Time // as far as X says
	next    time.Time // when a call goes through to see
	probing bool
}

func newStops(t xapi.Trouble, verb string, refuse bool, o ports.Observer) *stops {
	return &stops{trouble: t, verb: verb, refuse: refuse, observer: o, of: map[spot]*stop{}}
}

// renew begins the wait anew.
func (s *stop) renew(wait time.Duration) {
	now := time.Now()
	s.until, s.next = now.Add(wait), now.Add(min(wait, probeEvery))
}

// enter refuses a call that X would refuse, or returns who is to be told of its
// outcome.
func (s *stops) enter(at spot) (func(outcome), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[at]
	if one == nil || !s.refuse {
		return func(o outcome) { s.told(at, o) }, nil
	}
	if now := time.Now(); one.probing || now.Before(one.next) {
		f := s.trouble.Fault(nil).After(max(one.until.Sub(now), time.Second))
		f.Say += ". Perch has not asked X. It lets one call a minute through to see, so X may answer before the time " +
			"in Retry-After"
		return nil, f.Because(ports.ErrUnsent)
	}
	one.probing = true
	until := one.until
	return func(o outcome) { s.probed(at, until, o) }, nil
}

// told learns of the outcome of a call that was let through freely. Where calls
// are refused it ends no trouble: it may have begun before that did.
func (s *stops) told(at spot, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[at]
	switch {
	case o.trouble == s.trouble && one == nil:
		one = &stop{began: alert(s.observer, s.verb, at, s.why(o), answered(o.reply))}
		one.renew(o.wait)
		s.of[at] = one
	case o.trouble == s.trouble:
		one.renew(o.wait)
	case one != nil && !s.refuse && o.failure == nil && !time.Now().Before(one.until):
		s.end(at)
	}
}

// why is the trouble in words for operators, who have no Retry-After.
func (s *stops) why(o outcome) *fault.Error {
	why := s.trouble.Fault(o.reply.Whole).After(o.wait)
	if !s.refuse {
		why.Say = "X answered 429 to " + o.action + ": it limits how often that may be called. At most calls of " +
			"windows that X has closed are held back, and their clients are told for how long; " +
			"there is nothing to do but to call less often"
	}
	return why
}

// probed learns of the outcome of a probe that went out while the trouble was to
// last until then. Before that time only success ends it: a refusal for another
// reason says nothing.
func (s *stops) probed(at spot, until time.Time, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, now := s.of[at], time.Now()
	one.probing = false
	switch {
	case o.trouble == s.trouble:
		one.renew(o.wait)
	case o.failure != nil || one.until != until: // the next call is as good, or another one was refused since
	case o.reply.Status < http.StatusBadRequest || !now.Before(until):
		s.end(at)
	default:
		one.next = now.Add(probeEvery)
	}
}

func (s *stops) end(at spot) {
	delete(s.of, at)
	over(s.observer, at, s.verb)
}
