package xhttp

import (
	"net/http"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapp"
	"perch/ports"
)

// So many different fresh tokens that X refuses, and hears none in between, are
// an outage. While one lasts, so many tokens at most are tried in a row.
const (
	freshToOpen = 5
	mostTried   = 20
)

const stormVerb = "x.auth_outage"

// storms are the outages in which X refuses everybody's access tokens, by X App.
// A token may end any time, and is then replaced: only the refusal of one that X
// gave just now says that the fault is X's.
type storms struct {
	rest     time.Duration
	observer ports.Observer

	mu sync.Mutex
	of map[xapp.ID]*storm
}

// A storm is what is known of one X App.
type storm struct {
	on      bool
	began   onset
	turn    int                  // how often it began, went on or ended
	until   time.Time            // X is left alone; then one token after the other is tried
	tried   map[string]time.Time // tokens that X refused in this turn, by digest
	fresh   map[string]time.Time // those of them that were fresh
	probing bool
}

func newStorms(rest time.Duration, o ports.Observer) *storms {
	return &storms{rest: rest, observer: o, of: map[xapp.ID]*storm{}}
}

// enter lets a call through unless there is an outage. The repetition of a call
// that was let in always passes.
func (s *storms) enter(c ports.Call) (settle func(outcome), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.of[c.XApp]
	if !ok {
		one = &storm{tried: map[string]time.Time{}, fresh: map[string]time.Time{}}
		s.of[c.XApp] = one
	}
	mark, probe := oauth.Digest(c.Token.Reveal()), one.on && !c.Fresh
	if probe && !one.mayTry(mark, s.rest) {
		return nil, s.outage(one).Because(ports.ErrUnsent)
	}
	one.probing = one.probing || probe
	turn := one.turn
	return func(o outcome) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if turn != one.turn {
			return // it says nothing of what is now
		}
		one.probing = one.probing && !probe
		switch {
		case o.failure != nil:
		case o.reply.Status == http.StatusUnauthorized:
			s.refused(c, one, mark, o.reply)
		default:
			s.heard(c, one)
		}
	}, nil
}

// mayTry reports whether the token may be tried in an outage: one at a time, and
// each once.
func (o *storm) mayTry(mark string, rest time.Duration) bool {
	now := time.Now()
	switch {
	case now.Before(o.until):
		return false
	case now.Sub(o.until) >= rest: // few tokens are there, so the turn has not come to an end
		o.until = now
		o.clear()
	}
	_, again := o.tried[mark]
	return !o.probing && !again
}

func (o *storm) clear() {
	clear(o.tried)
	clear(o.fresh)
}

// refused notes a refusal. An outage begins, or goes on, if there are enough.
func (s *storms) refused(c ports.Call, one *storm, mark string, r ports.Reply) {
	now := time.Now()
	if now.Before(one.until) {
		return
	}
	if one.on {
		one.tried[mark] = now
	}
	if c.Fresh {
		one.fresh[mark] = now
	}
	for m, at := range one.fresh {
		if !one.on && now.Sub(at) >= failuresWithin {
			delete(one.fresh, m)
		}
	}
	if len(one.fresh) < freshToOpen && len(one.tried) < mostTried {
		return
	}
	if !one.on {
		one.began = alert(s.observer, stormVerb, spot{x: c.XApp}, fault.New(fault.Unavailable,
			"X refuses the access tokens of many users at once, fresh ones too; X is left alone with that, and tried "+
				"again every %v", s.rest), answered(r))
	}
	one.on, one.until = true, now.Add(s.rest)
	one.turns()
}

// heard notes that X takes tokens.
func (s *storms) heard(c ports.Call, one *storm) {
	if one.on {
		one.on, one.until = false, time.Time{}
		over(s.observer, spot{x: c.XApp}, stormVerb)
		one.turns()
	}
	one.clear()
}

// turns begins a turn: what comes of calls from before counts no more.
func (o *storm) turns() {
	o.turn++
	o.probing = false
	o.clear()
}

// during is what a call is told that X refused though its token is fresh, if
// that is an outage.
func (s *storms) during(x xapp.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.of[x]; one != nil && one.on {
		return s.outage(one).Because(ports.ErrRejected)
	}
	return nil
}

func (s *storms) outage(one *storm) *fault.Error {
	return fault.New(fault.Unavailable, "X refuses the access tokens of many users at once, so the fault is X's, and "+
		"Perch leaves it alone for a while. Nothing is lost, and nobody has to connect again; try again later").
		Named("x-auth-outage").After(max(time.Until(one.until), time.Second))
}
