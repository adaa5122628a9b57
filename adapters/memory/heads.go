package memory

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"perch/domain/fault"
	"perch/ports"
)

// Heads is a ports.Heads.
type Heads struct {
	mu        sync.Mutex
	heads     map[string]ports.Head
	unsettled map[string]bool
}

var _ ports.Heads = (*Heads)(nil)

// NewHeads returns an empty store of heads.
func NewHeads() *Heads {
	return &Heads{heads: map[string]ports.Head{}, unsettled: map[string]bool{}}
}

func (s *Heads) Get(ctx context.Context, id string) (ports.Head, error) {
	if err := ended(ctx); err != nil {
		return ports.Head{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.heads[id]
	if !ok {
		return ports.Head{}, missing("head")
	}
	return h, nil
}

func (s *Heads) Advance(ctx context.Context, version int64, next ports.Head) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if next.Version <= version {
		return fault.New(fault.Invalid, "version %d does not follow version %d", next.Version, version)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heads[next.ID].Version != version {
		return overtaken("record")
	}
	s.heads[next.ID], s.unsettled[next.ID] = next, true
	return nil
}

func (s *Heads) Settle(ctx context.Context, id string, version int64) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.heads[id]; !ok || h.Version != version {
		return overtaken("record")
	}
	delete(s.unsettled, id)
	return nil
}

func (s *Heads) Unsettled(ctx context.Context, prefix, after string, n int) ([]ports.Head, error) {
	return s.list(ctx, n, func(id string) bool {
		return s.unsettled[id] && strings.HasPrefix(id, prefix) && id > after
	})
}

func (s *Heads) List(ctx context.Context, prefix, after string, n int) ([]ports.Head, error) {
	return s.list(ctx, n, func(id string) bool { return strings.HasPrefix(id, prefix) && id > after })
}

func (s *Heads) list(ctx context.Context, n int, wanted func(id string) bool) ([]ports.Head, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []ports.Head
	for _, id := range slices.Sorted(maps.Keys(s.heads)) {
		if len(out) >= n {
			break
		}
		if wanted(id) {
			out = append(out, s.heads[id])
		}
	}
	return out, nil
}
