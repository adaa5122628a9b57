package keyset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
)

const (
	// hands is how many rows are resealed at once, for stores that are far away.
	hands = 4

	// tries is how often a row is read again that others keep changing.
	tries = 10
)

// waits is how long rows are left alone that are busy, each time: together
// longer than any lease.
func waits() []time.Duration {
	return []time.Duration{2 * time.Second, 8 * time.Second, 20 * time.Second, 30 * time.Second, 40 * time.Second}
}

// An Outcome is how a resealing ended.
type Outcome struct {
	Key    string // that seals
	Moved  int    // rows whose boxes are under it now, and were not before
	Busy   Names  // rows that were being refreshed the whole time
	Shut   Names  // rows that were left alone, because a box does not open
	Before []Census
	After  []Census // counted anew: every box was opened
}

// Left is how many boxes are still under other keys than the one that seals.
func (o Outcome) Left() (n int) {
	for _, c := range o.After {
		n += c.But(o.Key)
	}
	return n
}

// Reseal brings every box under the key that seals, while others use what is
// stored. Whatever is under it already is left as it is, so that a run that was
// ended goes on where it was.
func (s *Service) Reseal(ctx context.Context, tell func(Progress)) (o Outcome, err error) {
	if o.Before, err = s.Count(ctx, tell); err != nil {
		return o, err
	}
	for _, pause := range waits() {
		why, err := s.round(ctx, &o, tell)
		if err != nil || why == "" {
			return o, err
		}
		tell(Progress{Doing: "waiting for " + why})
		if err := wait(ctx, pause); err != nil {
			return o, err
		}
	}
	_, err = s.round(ctx, &o, tell)
	return o, err
}

// round tries every row, checks what came of it, and says what is worth another
// round, if anything.
func (s *Service) round(ctx context.Context, o *Outcome, tell func(Progress)) (why string, err error) {
	o.Busy, o.Shut = Names{}, Names{}
	for i, shelf := range s.shelves {
		if err := s.pass(ctx, shelf, o.Before[i].Rows, o, tell); err != nil {
			return "", fmt.Errorf("resealing %s: %w", shelf.kind, err)
		}
	}
	if o.After, err = s.count(ctx, "checking", o.Before, tell); err != nil {
		return "", err
	}
	o.Key = s.ring.Primary()
	switch {
	case o.Busy.Count > 0:
		return fmt.Sprintf("grants that are being refreshed (%d)", o.Busy.Count), nil
	case o.Left() > 0 && o.Shut.Count == 0:
		return fmt.Sprintf("those who seal with another key (%d boxes)", o.Left()), nil
	}
	return "", nil
}

// pass tries each row of a shelf once.
func (s *Service) pass(ctx context.Context, on shelf, rows int, o *Outcome, tell func(Progress)) error {
	p := Progress{Doing: "resealing " + on.kind, Of: rows}
	return on.pages(ctx, func(page []row) error {
		if err := s.resealAll(ctx, page, o); err != nil {
			return err
		}
		p.Rows += len(page)
		tell(p)
		return nil
	})
}

// resealAll reseals the rows of a page, several at once.
func (s *Service) resealAll(ctx context.Context, page []row, o *Outcome) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan row)
	var all sync.WaitGroup
	var turn sync.Mutex
	for range hands {
		all.Go(func() {
			for r := range work {
				end, err := s.reseal(ctx, r)
				if err != nil {
					cancel(err)
					continue
				}
				turn.Lock()
				o.note(r.id, end)
				turn.Unlock()
			}
		})
	}
	for _, r := range page {
		if !s.due(r) {
			continue
		}
		select {
		case work <- r:
		case <-ctx.Done():
		}
	}
	close(work)
	all.Wait()
	return context.Cause(ctx)
}

// An end is what became of a row.
type end int

const (
	untouched end = iota
	moved
	busy
	shut
)

func (o *Outcome) note(id string, e end) {
	switch e {
	case untouched:
	case moved:
		o.Moved++
	case busy:
		o.Busy.add(id)
	case shut:
		o.Shut.add(id)
	}
}

// due reports whether the row has a box that another key than the primary seals.
func (s *Service) due(r row) bool {
	primary := s.ring.Primary()
	for _, b := range r.boxes {
		if !b.box.Empty() && s.ring.KeyOf(b.box) != primary {
			return true
		}
	}
	return false
}

// reseal brings the boxes of a row under the primary key, unless somebody is
// about to replace them: a pair that X has just given must find its place.
func (s *Service) reseal(ctx context.Context, r row) (end, error) {
	for range tries {
		switch {
		case !s.due(r):
			return untouched, nil
		case r.busy:
			return busy, nil
		}
		boxes, err := s.moved(ctx, r)
		if errors.Is(err, errShut) {
			return shut, nil
		}
		if err != nil {
			return untouched, err
		}
		err = r.put(ctx, boxes)
		if err == nil {
			return moved, nil
		}
		if errors.Is(err, fault.Conflict) {
			r, err = r.again(ctx)
		}
		if errors.Is(err, fault.NotFound) {
			return untouched, nil
		}
		if err != nil {
			return untouched, err
		}
	}
	return busy, nil
}

var errShut = errors.New("the box does not open")

// moved returns the row's boxes as the primary key seals them.
func (s *Service) moved(ctx context.Context, r row) ([]secret.Box, error) {
	boxes := make([]secret.Box, len(r.boxes))
	for i, b := range r.boxes {
		boxes[i] = b.box
		if b.box.Empty() || s.ring.KeyOf(b.box) == s.ring.Primary() {
			continue
		}
		plain, err := s.ring.Open(ctx, b.box, b.label)
		if errors.Is(err, fault.Internal) {
			return nil, errShut
		}
		if err != nil {
			return nil, err
		}
		if boxes[i], err = s.ring.Seal(ctx, plain, b.label); err != nil {
			return nil, err
		}
	}
	return boxes, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
