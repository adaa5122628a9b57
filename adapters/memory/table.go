package memory

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// A table keeps values by ID, and by an alias where there is one. The alias of
// a value must never change.
type table[K ~string, V any] struct {
	noun    string
	id      func(v *V) *K
	version func(v *V) *int64
	alias   func(v V) any          // nil: there is none
	copied  func(v V) V            // shares no memory, times as every store keeps them
	fixed   func(was V, next *V)   // puts back what a swap must not change; nil: nothing but the ID
	alters  func(was, next V) bool // whether a swap counts as a change; nil: each does, and each removal

	changes atomic.Int64

	mu      sync.Mutex
	rows    map[K]V
	aliases map[any]K
}

func (t *table[K, V]) create(ctx context.Context, v V) (V, error) {
	var none V
	if err := ended(ctx); err != nil {
		return none, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id := *t.id(&v)
	if _, ok := t.rows[id]; ok {
		return none, taken(t.noun)
	}
	if t.rows == nil {
		t.rows, t.aliases = map[K]V{}, map[any]K{}
	}
	if t.alias != nil {
		if _, ok := t.aliases[t.alias(v)]; ok {
			return none, taken(t.noun)
		}
		t.aliases[t.alias(v)] = id
	}
	v = t.copied(v)
	*t.version(&v) = 1
	t.rows[id] = v
	return t.copied(v), nil
}

func (t *table[K, V]) get(ctx context.Context, id K) (V, error) {
	var none V
	if err := ended(ctx); err != nil {
		return none, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.rows[id]
	if !ok {
		return none, missing(t.noun)
	}
	return t.copied(v), nil
}

// find returns the value with the first of the aliases that is known.
func (t *table[K, V]) find(ctx context.Context, aliases ...any) (V, error) {
	var none V
	if err := ended(ctx); err != nil {
		return none, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range aliases {
		if id, ok := t.aliases[a]; ok {
			return t.copied(t.rows[id]), nil
		}
	}
	return none, missing(t.noun)
}

func (t *table[K, V]) swap(ctx context.Context, old, next V) (V, error) {
	var none V
	if err := ended(ctx); err != nil {
		return none, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id := *t.id(&old)
	was, ok := t.rows[id]
	switch {
	case !ok:
		return none, missing(t.noun)
	case *t.version(&was) != *t.version(&old):
		return none, overtaken(t.noun)
	}
	next = t.copied(next)
	*t.id(&next), *t.version(&next) = id, *t.version(&was)+1
	if t.fixed != nil {
		t.fixed(was, &next)
	}
	t.rows[id] = next
	if t.alters == nil || t.alters(was, next) {
		t.changes.Add(1) // before anybody can read it
	}
	return t.copied(next), nil
}

// list returns up to n values with IDs greater than after that are wanted.
func (t *table[K, V]) list(ctx context.Context, after K, n int, wanted func(V) bool) ([]V, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []V
	for _, id := range slices.Sorted(maps.Keys(t.rows)) {
		if len(out) >= n {
			break
		}
		if v := t.rows[id]; id > after && wanted(v) {
			out = append(out, t.copied(v))
		}
	}
	return out, nil
}

// remove deletes the values that are unwanted and returns how many.
func (t *table[K, V]) remove(ctx context.Context, unwanted func(V) bool) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.rows)
	maps.DeleteFunc(t.rows, func(_ K, v V) bool {
		if !unwanted(v) {
			return false
		}
		if t.alias != nil {
			delete(t.aliases, t.alias(v))
		}
		return true
	})
	gone := before - len(t.rows)
	if t.alters == nil && gone > 0 {
		t.changes.Add(1)
	}
	return gone, nil
}

func every[V any](V) bool { return true }
