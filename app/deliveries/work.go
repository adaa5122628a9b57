package deliveries

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"perch/domain/delivery"
	"perch/domain/fault"
)

const (
	atOnce  = 8                // deliveries that one replica sends at a time
	attempt = time.Minute      // what one attempt may take
	lease   = 2 * time.Minute  // longer than an attempt, and what is written after it
	writing = 20 * time.Second // how long it is tried to write down how one ended
)

// Run performs what is due until ctx ends. What is being sent then is sent to its
// end, and what is not goes to others.
func (s *Service) Run(ctx context.Context) {
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	for {
		due, _ := s.claim(ctx, atOnce-len(slots)) // a store that does not answer is asked again
		for _, d := range due {
			slots <- struct{}{}
			all.Go(func() {
				s.perform(ctx, d)
				<-slots
				s.wake()
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-s.woken:
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// Work performs what is due now, and what is due after that, and returns how many
// attempts that were.
func (s *Service) Work(ctx context.Context) (n int, err error) {
	for {
		due, err := s.claim(ctx, atOnce)
		if err != nil || len(due) == 0 {
			return n, err
		}
		var all sync.WaitGroup
		for _, d := range due {
			all.Go(func() { s.perform(ctx, d) })
		}
		all.Wait()
		n += len(due)
	}
}

func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *Service) claim(ctx context.Context, n int) ([]delivery.Delivery, error) {
	if n < 1 {
		return nil, nil
	}
	now := s.Now()
	return s.Queue.Claim(ctx, now, delivery.Lease{Holder: s.holder, Until: now.Add(lease)}, n)
}

// perform makes one attempt and writes down how it ended. It goes on when ctx
// ends: X may have been asked.
func (s *Service) perform(ctx context.Context, d delivery.Delivery) {
	gone := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	now := s.Now()
	if claimed := d.Lease.Until.Add(-lease); now.Before(claimed) { // the clock was set back: its turn is out of order
		now = claimed
	}
	switch {
	case d.Over(now):
		s.keep(ctx, "", d, d.Settle(now))
		return
	case gone:
		s.keep(ctx, "", d, d.Return())
		return
	}
	asking, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	c, err := s.call(asking, d)
	if err != nil {
		s.keep(ctx, "", d, d.Postpone(outcomeOf(err), 0, !d.Doubt.IsZero(), spread(), now))
		return
	}
	reply, err := s.Actions.Deliver(asking, d, c)
	now = s.Now()
	if err != nil {
		s.keep(ctx, c.Request, d, refused(d, reply.Status, err, now))
		return
	}
	s.keep(ctx, c.Request, d, s.answered(ctx, d, reply, now))
}

func spread() float64 { return rand.Float64() } //nolint:gosec // nobody gains by guessing it

// keep writes down what has become of a delivery. Who cannot, leaves it to
// whoever has the turn when the lease has run out: the key sees to it that
// nothing is sent twice.
func (s *Service) keep(ctx context.Context, request string, d, next delivery.Delivery) {
	ctx, cancel := context.WithTimeout(ctx, writing)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		_, err := s.Store.Swap(ctx, d, next)
		if errors.Is(err, fault.Conflict) { // perhaps it was stored, and the answer lost
			var now delivery.Delivery
			if now, err = s.Store.Get(ctx, d.ID); err == nil && (now.Version != d.Version+1 || now.State != next.State) {
				return
			}
		}
		if err == nil {
			s.ended(ctx, request, next)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// ended tells of a delivery that has ended.
func (s *Service) ended(ctx context.Context, request string, d delivery.Delivery) {
	if d.Waits() {
		return
	}
	var err error
	if d.State != delivery.Done {
		err = fault.New(kindOf(d), "%s", d.Outcome.Detail).Named(d.Outcome.Problem)
	}
	s.told(ctx, string(d.State), By{Actor: d.Actor, Request: request}, d, err)
}

// kindOf says whose fault the end of a delivery is that was not done.
func kindOf(d delivery.Delivery) fault.Kind {
	switch {
	case d.State == delivery.Unknown, d.Outcome.Status != 0:
		return fault.Upstream
	case d.State == delivery.Failed:
		return fault.Forbidden
	case d.Outcome.Problem == delivery.TooLate: // others came first
		return fault.Conflict
	}
	return fault.Unavailable
}
