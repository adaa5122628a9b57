package xhttp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"perch/domain/audit"
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

// Breakers is a ports.Breaker: one for each X App, because X answers each as its
// own client.
type Breakers struct {
	rest     time.Duration
	observer ports.Observer

	mu sync.Mutex
	of map[xapp.ID]*gobreaker.TwoStepCircuitBreaker[struct{}]
}

var _ ports.Breaker = (*Breakers)(nil)

// NewBreakers returns breakers that are closed. An open one lets one call
// through after each rest. The observer is told of each that opens and closes.
func NewBreakers(rest time.Duration, o ports.Observer) *Breakers {
	return &Breakers{rest: rest, observer: o, of: map[xapp.ID]*gobreaker.TwoStepCircuitBreaker[struct{}]{}}
}

var errUntried = errors.New("the endpoint was not tried")

func (b *Breakers) Allow(x xapp.ID) (func(ports.Trial), error) {
	done, err := b.breaker(x).Allow()
	if err != nil {
		return nil, fault.New(fault.Unavailable, "X's token endpoint is failing for many grants at once, so Perch leaves it "+
			"alone for a while. Nothing is lost, and nobody has to connect again; try again later").
			Named("x-token-outage").After(b.rest).Because(err)
	}
	return func(t ports.Trial) {
		switch t {
		case ports.Worked:
			done(nil)
		case ports.Failed:
			done(ports.ErrRejected)
		case ports.Untried:
			done(errUntried)
		}
	}, nil
}

func (b *Breakers) breaker(x xapp.ID) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	b.mu.Lock()
	defer b.mu.Unlock()
	one, ok := b.of[x]
	if !ok {
		one = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name:         string(x),
			Interval:     failuresWithin,
			BucketPeriod: failuresWithin / 6,
			Timeout:      b.rest,
			ReadyToTrip: func(c gobreaker.Counts) bool {
				return c.TotalFailures >= failuresToOpen && c.TotalFailures >= c.TotalSuccesses
			},
			IsExcluded:    func(err error) bool { return errors.Is(err, errUntried) },
			OnStateChange: b.tell,
		})
		b.of[x] = one
	}
	return one
}

// tell writes down that a breaker has opened, or closed again.
func (b *Breakers) tell(name string, _, to gobreaker.State) {
	e := audit.Event{At: time.Now().UTC(), XApp: xapp.ID(name)}
	switch to {
	case gobreaker.StateHalfOpen:
		return
	case gobreaker.StateClosed:
		e.Verb, e.Outcome = "x.token_endpoint.close", audit.Done
	case gobreaker.StateOpen:
		e.Verb, e.Outcome = "x.token_endpoint.open", audit.Failed
		e.Err = fault.New(fault.Unavailable, "X's token endpoint fails for many grants at once; it is left alone, "+
			"and tried again every %v", b.rest)
	}
	b.observer.Observe(context.Background(), e)
}
