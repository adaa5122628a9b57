package xhttp

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"perch/domain/fault"
	"perch/domain/xapp"
	"perch/ports"
)

// A breaker opens at this many failures within failuresWithin, if at least every
// other call failed. A single grant that X refuses comes back too seldom for that.
const (
	failuresToOpen = 5
	failuresWithin = 30 * time.Second
)

// A spot is what a breaker stands before: an X App, because X answers each as its
// own client, and a group of its actions or all of them.
type spot struct {
	x     xapp.ID
	group string // empty: all
}

// circuits are breakers of one kind, one for each spot. An open one lets one
// call through after each rest.
type circuits struct {
	verb     string // of the events that tell of it
	what     string // is happening when one is open
	rest     time.Duration
	observer ports.Observer

	mu sync.Mutex
	of map[spot]*circuit
}

type circuit struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	changed atomic.Pointer[time.Time] // its state, last
	why     atomic.Pointer[error]     // the last failure
	began   atomic.Pointer[onset]     // when it opened
}

// told lets the breaker know what came of a call: X's failure, nil, or errUntried.
func (c *circuit) told(done func(error), failure error) {
	if failure != nil && !errors.Is(failure, errUntried) {
		c.why.Store(&failure)
	}
	done(failure)
}

func newCircuits(verb, what string, rest time.Duration, o ports.Observer) *circuits {
	return &circuits{verb: verb, what: what, rest: rest, observer: o, of: map[spot]*circuit{}}
}

// oftenEnough is the rule: single failures mean little.
func oftenEnough(n gobreaker.Counts) bool {
	return n.TotalFailures >= failuresToOpen && n.TotalFailures >= n.TotalSuccesses
}

func (c *circuits) at(s spot) *circuit {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, ok := c.of[s]
	if !ok {
		one = &circuit{}
		one.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Interval:     failuresWithin,
			BucketPeriod: failuresWithin / 6,
			Timeout:      c.rest,
			ReadyToTrip:  oftenEnough,
			IsExcluded:   func(err error) bool { return errors.Is(err, errUntried) },
			OnStateChange: func(_ string, from, to gobreaker.State) {
				now := time.Now()
				one.changed.Store(&now)
				c.tell(s, one, from, to)
			},
		})
		c.of[s] = one
	}
	return one
}

// errUntried says of a call that it tells nothing of X.
var errUntried = errors.New("the endpoint was not tried")

// wait is how long an open one stays so, at least.
func (c *circuits) wait(one *circuit) time.Duration {
	if at := one.changed.Load(); at != nil {
		return max(c.rest-time.Since(*at), time.Second)
	}
	return c.rest
}

// tell writes down that a breaker has opened, or closed again. A try that failed
// is no news.
func (c *circuits) tell(s spot, one *circuit, from, to gobreaker.State) {
	switch {
	case to == gobreaker.StateClosed:
		over(c.observer, s, c.verb)
	case from == gobreaker.StateClosed:
		began := alert(c.observer, c.verb, s, fault.New(fault.Unavailable,
			"%s; X is left alone with that, and tried again every %v", c.what, c.rest), *one.why.Load())
		one.began.Store(&began)
	}
}

// Breakers is a ports.Breaker: one for each X App.
type Breakers struct{ *circuits }

var _ ports.Breaker = (*Breakers)(nil)

// NewBreakers returns breakers that are closed. An open one lets one call
// through after each rest. The observer is told of each that opens and closes.
func NewBreakers(rest time.Duration, o ports.Observer) *Breakers {
	return &Breakers{newCircuits("x.token_endpoint", "X's token endpoint fails for many grants at once", rest, o)}
}

// Allow lets a call through, or refuses it while the endpoint is failing.
func (b *Breakers) Allow(x xapp.ID) (func(ports.Trial, error), error) {
	one := b.at(spot{x: x})
	done, err := one.Allow()
	if err != nil {
		return nil, fault.New(fault.Unavailable, "X's token endpoint is failing for many grants at once, so Perch leaves it "+
			"alone for a while. Nothing is lost, and nobody has to connect again; try again later").
			Named("x-token-outage").After(b.wait(one)).Because(err)
	}
	return func(t ports.Trial, why error) {
		switch t {
		case ports.Worked:
			one.told(done, nil)
		case ports.Failed:
			one.told(done, cmp.Or(why, ports.ErrRejected))
		case ports.Untried:
			one.told(done, errUntried)
		}
	}, nil
}
