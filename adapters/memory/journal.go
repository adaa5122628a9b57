package memory

import (
	"context"
	"slices"
	"sync"

	"perch/ports"
)

// Journal is a ports.Journal. What it keeps ends with the process: a store that
// is away for a while is bridged, a crash is not.
type Journal struct {
	mu   sync.Mutex
	kept map[string]ports.Renewal // by attempt
}

var _ ports.Journal = (*Journal)(nil)

// NewJournal returns an empty journal.
func NewJournal() *Journal { return &Journal{kept: map[string]ports.Renewal{}} }

func (j *Journal) Reserve(ctx context.Context, _ string) error { return ended(ctx) }

func (j *Journal) Keep(ctx context.Context, r ports.Renewal) error {
	if err := ended(ctx); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r.At, r.Pair.Expires = moment(r.At), moment(r.Pair.Expires)
	j.kept[r.Attempt] = r
	return nil
}

func (j *Journal) Drop(ctx context.Context, attempt string) error {
	if err := ended(ctx); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.kept, attempt)
	return nil
}

func (j *Journal) Pending(ctx context.Context) ([]ports.Renewal, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]ports.Renewal, 0, len(j.kept))
	for _, r := range j.kept {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b ports.Renewal) int { return a.At.Compare(b.At) })
	return all, nil
}
