package memory

import (
	"context"
	"sync"
	"time"

	"perch/domain/operator"
	"perch/ports"
)

// Operators is a ports.Operators.
type Operators struct {
	rows table[operator.ID, operator.Operator]
}

var _ ports.Operators = (*Operators)(nil)

// NewOperators returns an empty store of operators.
func NewOperators() *Operators {
	return &Operators{rows: table[operator.ID, operator.Operator]{
		noun:    "operator",
		id:      func(o *operator.Operator) *operator.ID { return &o.ID },
		version: func(o *operator.Operator) *int64 { return &o.Version },
		alias:   func(o operator.Operator) any { return o.Digest },
		copied: func(o operator.Operator) operator.Operator {
			o.Created, o.Expires, o.Revoked = moment(o.Created), moment(o.Expires), moment(o.Revoked)
			return o
		},
		fixed: func(was operator.Operator, next *operator.Operator) { next.Digest = was.Digest },
	}}
}

func (s *Operators) Create(ctx context.Context, o operator.Operator) (operator.Operator, error) {
	return s.rows.create(ctx, o)
}

func (s *Operators) Get(ctx context.Context, id operator.ID) (operator.Operator, error) {
	return s.rows.get(ctx, id)
}

func (s *Operators) ByDigest(ctx context.Context, digests []string) (operator.Operator, error) {
	aliases := make([]any, len(digests))
	for i, d := range digests {
		aliases[i] = d
	}
	return s.rows.find(ctx, aliases...)
}

func (s *Operators) Swap(ctx context.Context, old, next operator.Operator) (operator.Operator, error) {
	return s.rows.swap(ctx, old, next)
}

func (s *Operators) List(ctx context.Context, after operator.ID, n int) ([]operator.Operator, error) {
	return s.rows.list(ctx, after, n, every)
}

// Uses is a ports.Uses.
type Uses struct {
	mu   sync.Mutex
	last map[string]time.Time
}

var _ ports.Uses = (*Uses)(nil)

// NewUses returns an empty store of uses.
func NewUses() *Uses { return &Uses{last: map[string]time.Time{}} }

func (s *Uses) Note(ctx context.Context, used map[string]time.Time) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range used {
		if s.last[id].Before(at) {
			s.last[id] = moment(at)
		}
	}
	return nil
}

func (s *Uses) Last(ctx context.Context, ids []string) (map[string]time.Time, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]time.Time{}
	for _, id := range ids {
		if at, ok := s.last[id]; ok {
			found[id] = at
		}
	}
	return found, nil
}
