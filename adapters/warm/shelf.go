package warm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"perch/domain/fault"
	"perch/ports"
)

// room is how many things of one kind are kept at most.
const room = 20_000

// A shelf keeps things of one kind that were read. What was put on it in an
// earlier turn is as good as gone.
type shelf[K comparable, V any] struct {
	watch  *Watch
	count  func(ports.Counts) int64
	good   func(v V, now time.Time) bool // whether v lets anybody in
	copied func(V) V                     // shares no memory; nil: V never does

	turn   atomic.Uint64
	kept   *otter.Cache[K, kept[V]]
	looked bool // a look has been made; only the watch knows
	last   int64

	mu      sync.Mutex
	flights map[K]*flight[V]
}

type kept[V any] struct {
	value V
	turn  uint64
	read  time.Duration
}

// A flight is a read under way.
type flight[V any] struct {
	turn   uint64 // when it began
	began  time.Duration
	landed chan struct{}

	// Set before it has landed:
	value V
	err   error
	left  bool // whoever began it has left before there was an answer
}

// newShelf returns an empty shelf under the watch.
func newShelf[K comparable, V any](
	w *Watch, count func(ports.Counts) int64, good func(V, time.Time) bool, copied func(V) V,
) *shelf[K, V] {
	if copied == nil {
		copied = func(v V) V { return v }
	}
	s := &shelf[K, V]{
		watch: w, count: count, good: good, copied: copied, flights: map[K]*flight[V]{},
		kept: otter.Must(&otter.Options[K, kept[V]]{MaximumSize: room}),
	}
	w.shelves = append(w.shelves, s)
	return s
}

// compare ends the turn if there was a change since the last look, or if there
// was none to compare with.
func (s *shelf[K, V]) compare(counts ports.Counts) {
	n := s.count(counts)
	if !s.looked || n != s.last {
		s.turn.Add(1)
	}
	s.looked, s.last = true, n
}

// get returns what is kept under the key, or else what read returns. Of many who
// want the same, one reads.
func (s *shelf[K, V]) get(ctx context.Context, key K, read func(context.Context) (V, error)) (V, error) {
	if ctx.Err() == nil {
		if v, ok := s.find(key); ok {
			return s.copied(v), nil
		}
	}
	for ctx.Err() == nil {
		f, first := s.join(key)
		if first {
			return s.fly(ctx, key, f, read)
		}
		select {
		case <-f.landed:
			if !f.left {
				return s.copied(f.value), f.err
			}
		case <-ctx.Done():
		}
	}
	var none V
	return none, fault.New(fault.Unavailable, "the request ended before it was served").Because(ctx.Err())
}

// find asks for trust first: the look that gave it has ended the turn of what no
// longer holds.
func (s *shelf[K, V]) find(key K) (v V, ok bool) {
	if !s.watch.trusts() {
		return v, false
	}
	k, ok := s.kept.GetIfPresent(key)
	if !ok || k.turn != s.turn.Load() || s.watch.now()-k.read >= oldest || !s.good(k.value, time.Now()) {
		return v, false
	}
	return k.value, true
}

// join returns the flight for the key and whether the caller has to fly it.
// Nobody joins one that may have seen what is past by now.
func (s *shelf[K, V]) join(key K) (f *flight[V], first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	turn, now := s.turn.Load(), s.watch.now()
	f = s.flights[key]
	if f != nil && f.turn == turn && now-f.began < trust {
		return f, false
	}
	f = &flight[V]{turn: turn, began: now, landed: make(chan struct{})}
	s.flights[key] = f
	return f, true
}

func (s *shelf[K, V]) fly(
	ctx context.Context, key K, f *flight[V], read func(context.Context) (V, error),
) (V, error) {
	defer s.land(key, f)
	f.left = true // unless it comes back
	limited, cancel := s.watch.limited(ctx)
	defer cancel()
	f.value, f.err = read(limited)
	f.left = f.err != nil && ctx.Err() != nil
	return s.copied(f.value), f.err
}

// land keeps what was read, unless the turn has ended or the thing was changed
// here meanwhile: then it may be from before.
func (s *shelf[K, V]) land(key K, f *flight[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.landed)
	if s.flights[key] != f {
		return
	}
	delete(s.flights, key)
	if f.left || f.err != nil || !s.good(f.value, time.Now()) {
		return
	}
	s.kept.Set(key, kept[V]{f.value, f.turn, f.began})
}

// drop takes away what is kept under the key, and what is being read. It is
// called when the store was written to, however that ended.
func (s *shelf[K, V]) drop(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, key)
	s.kept.Invalidate(key)
}

// clear takes everything away.
func (s *shelf[K, V]) clear() { s.turn.Add(1) }
