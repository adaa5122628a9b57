package operators

import (
	"context"
	"sync"
	"time"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/ports"
)

var _ ports.Observer = (*Service)(nil)

// Of calls without a good token, the first few of each span are told one by one
// and the rest as a number, so that a flood of them drowns nothing.
const (
	toldSingly = 20
	span       = time.Minute
)

// Observe writes down a call of the operators' interface that has ended,
// whether it was let in or not. Calls without an actor are told one by one up to
// a bound, and then counted.
func (s *Service) Observe(ctx context.Context, e audit.Event) {
	if e.Actor == "" && !s.strangers.singly(s.tellStrangers) {
		return
	}
	s.observer.Observe(ctx, e)
}

// Close tells what is still held back.
func (s *Service) Close() { s.strangers.flush(s.tellStrangers) }

func (s *Service) tellStrangers(n int) {
	s.observer.Observe(context.Background(), audit.Event{
		At: time.Now(), Verb: "admin.strangers", Outcome: audit.Refused,
		Err: fault.New(fault.Unauthenticated, "%d more calls of nobody who is known came within a minute", n),
	})
}

// strangers counts calls of which nobody knows whose they are.
type strangers struct {
	mu    sync.Mutex
	told  int         // in this span
	held  int         // in this span, not told
	ended *time.Timer // ends the span; nil where there is none
}

// singly reports whether a call is to be told by itself. What is not is told at
// the end of the span.
func (s *strangers) singly(tell func(int)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = time.AfterFunc(span, func() { s.flush(tell) })
	}
	if s.told < toldSingly {
		s.told++
		return true
	}
	s.held++
	return false
}

// flush ends the span.
func (s *strangers) flush(tell func(int)) {
	s.mu.Lock()
	held := s.held
	if s.ended != nil {
		s.ended.Stop()
	}
	s.told, s.held, s.ended = 0, 0, nil
	s.mu.Unlock()
	if held > 0 {
		tell(held)
	}
}
