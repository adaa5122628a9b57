package memory

import (
	"context"
	"maps"
	"sync"
	"time"

	"perch/domain/idempotency"
	"perch/ports"
)

// Replies is a ports.Replies.
type Replies struct {
	mu   sync.Mutex
	rows map[string]idempotency.Record
}

var _ ports.Replies = (*Replies)(nil)

// NewReplies returns an empty store of calls with idempotency keys.
func NewReplies() *Replies { return &Replies{rows: map[string]idempotency.Record{}} }

func (s *Replies) Create(ctx context.Context, r idempotency.Record) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.rows[r.Scope]; ok {
		return taken("call")
	}
	s.rows[r.Scope] = kept(r)
	return nil
}

func (s *Replies) Get(ctx context.Context, scope string) (idempotency.Record, error) {
	if err := ended(ctx); err != nil {
		return idempotency.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.rows[scope]
	if !ok {
		return idempotency.Record{}, missing("call")
	}
	return r, nil
}

func (s *Replies) Swap(ctx context.Context, old, next idempotency.Record) error {
	next.Scope = old.Scope
	return s.as(ctx, old, func() { s.rows[old.Scope] = kept(next) })
}

func (s *Replies) Remove(ctx context.Context, old idempotency.Record) error {
	return s.as(ctx, old, func() { delete(s.rows, old.Scope) })
}

func (s *Replies) Sweep(ctx context.Context, now time.Time) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	had := len(s.rows)
	maps.DeleteFunc(s.rows, func(_ string, r idempotency.Record) bool { return !r.Until.After(moment(now)) })
	return had - len(s.rows), nil
}

// as does what is to be done if the record is still old.
func (s *Replies) as(ctx context.Context, old idempotency.Record, do func()) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r, ok := s.rows[old.Scope]; {
	case !ok:
		return missing("call")
	case r.Attempt != old.Attempt || r.State != old.State:
		return overtaken("call")
	}
	do()
	return nil
}

func kept(r idempotency.Record) idempotency.Record {
	r.Created, r.Sent, r.Lease, r.Until = moment(r.Created), moment(r.Sent), moment(r.Lease), moment(r.Until)
	return r
}
