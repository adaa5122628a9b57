package memory

import (
	"context"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

// MostReplies is how many bytes calls with idempotency keys may take for as long
// as they are kept.
const MostReplies = 64 << 20

// rowSize is what a call takes without its boxes: its texts, its times, and its
// place in the map.
const rowSize = 512

// Replies is a ports.Replies. When there is no more room the oldest answers go,
// and no records: what is known of a key is that its call was done. If that is
// not enough no new key is taken.
type Replies struct {
	mu      sync.Mutex
	rows    map[string]idempotency.Record
	most    int
	used    int      // bytes
	answers []answer // that may be let go of, the oldest first
}

// An answer is where one is kept.
type answer struct{ scope, attempt string }

var _ ports.Replies = (*Replies)(nil)

// NewReplies returns an empty store of calls with idempotency keys, which takes
// MostReplies.
func NewReplies() *Replies { return NewRepliesWithin(MostReplies) }

// NewRepliesWithin returns one that takes that many bytes.
func NewRepliesWithin(most int) *Replies {
	return &Replies{rows: map[string]idempotency.Record{}, most: most}
}

func (s *Replies) Create(ctx context.Context, r idempotency.Record) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.rows[r.Scope]; ok {
		return taken("call")
	}
	return s.put(r)
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
	return s.as(ctx, old, func() error { return s.put(next) })
}

func (s *Replies) Remove(ctx context.Context, old idempotency.Record) error {
	return s.as(ctx, old, func() error {
		s.drop(old.Scope)
		return nil
	})
}

func (s *Replies) Sweep(ctx context.Context, now time.Time) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	had := len(s.rows)
	for scope, r := range s.rows {
		if !r.Until.After(moment(now)) {
			s.drop(scope)
		}
	}
	var left []answer
	for _, a := range s.answers {
		if s.holds(a) {
			left = append(left, a)
		}
	}
	s.answers = left
	return had - len(s.rows), nil
}

// as does what is to be done if the record is still old.
func (s *Replies) as(ctx context.Context, old idempotency.Record, do func() error) error {
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
	return do()
}

// put stores the record, in place of the one with its scope, if there is room or
// can be made. What X was asked is stored in any case, if need be without its
// answer.
func (s *Replies) put(r idempotency.Record) error {
	if !s.room(r) {
		if r.State != idempotency.Done && r.State != idempotency.Unknown {
			return full()
		}
		r.Reply = ""
	}
	s.drop(r.Scope)
	s.rows[r.Scope] = kept(r)
	s.used += size(r)
	if r.State == idempotency.Done && !r.Reply.Empty() {
		s.answers = append(s.answers, answer{r.Scope, r.Attempt})
	}
	return nil
}

func full() error {
	return fault.New(fault.Unavailable, "requests with an Idempotency-Key have filled the memory in which they are kept "+
		"for a day, so X was not asked; the operator of this Perch can give them a database (PERCH_STORE)").
		Named("idempotency-store-full").After(time.Minute)
}

// room makes room for the record in place of the one with its scope, and reports
// whether there is enough.
func (s *Replies) room(r idempotency.Record) bool {
	for len(s.answers) > 0 && !s.fits(r) {
		a := s.answers[0]
		s.answers = s.answers[1:]
		if s.holds(a) {
			was := s.rows[a.scope]
			s.used -= len(was.Reply)
			was.Reply = ""
			s.rows[a.scope] = was
		}
	}
	return s.fits(r)
}

func (s *Replies) fits(r idempotency.Record) bool {
	was, ok := s.rows[r.Scope]
	if ok && size(r) <= size(was) {
		return true
	}
	more := size(r)
	if ok {
		more -= size(was)
	}
	return s.used+more <= s.most
}

// holds reports whether the answer is still there.
func (s *Replies) holds(a answer) bool {
	r, ok := s.rows[a.scope]
	return ok && r.Attempt == a.attempt && !r.Reply.Empty()
}

func (s *Replies) drop(scope string) {
	if r, ok := s.rows[scope]; ok {
		s.used -= size(r)
		delete(s.rows, scope)
	}
}

func size(r idempotency.Record) int { return rowSize + len(r.Request) + len(r.Reply) }

func kept(r idempotency.Record) idempotency.Record {
	r.Created, r.Sent, r.Lease, r.Until = moment(r.Created), moment(r.Sent), moment(r.Lease), moment(r.Until)
	return r
}
