package spending

import (
	"context"
	"errors"

	"perch/domain/fault"
	"perch/domain/spend"
)

// How many calls one flush closes, and how many of them may fail before it waits
// for the next one.
const (
	mostAtOnce  = 2_000
	mostFailing = 3
)

// Flush writes what calls came to, and tells of budgets that run out. It is
// called about once a second. What could not be written is written by a later
// one, and so is what is too much for one.
func (s *Service) Flush(ctx context.Context) error {
	s.flush.Lock()
	defer s.flush.Unlock()
	err := s.close(ctx, s.late.take(mostAtOnce))
	for _, w := range s.books.unwritten() {
		if kept := s.Usage.Keep(ctx, w.page.writer, w.lines); kept != nil {
			s.books.failed(w)
			err = errors.Join(err, kept)
		}
	}
	s.books.turn(spend.DayOf(s.Now()))
	return errors.Join(err, s.alert(ctx))
}

// Finish is the last Flush: it goes on for as long as that brings anything.
func (s *Service) Finish(ctx context.Context) error {
	for waiting := s.late.count(); ; {
		err := s.Flush(ctx)
		left := s.late.count()
		if left == 0 || left >= waiting {
			return err
		}
		waiting = left
	}
}

// close finds out what each call cost, and settles those that money is set aside
// for. Both may be done again.
func (s *Service) close(ctx context.Context, entries []entry) error {
	first, err := s.first(ctx, entries)
	if err != nil { // one of them may be to blame
		return s.each(ctx, entries, s.alone)
	}
	return s.each(ctx, entries, func(_ context.Context, e entry) (int, error) { return first[e.tab.id], nil })
}

// each closes one call after the other. Those that fail go behind all others, and
// where some did the rest waits too.
func (s *Service) each(ctx context.Context, entries []entry, count func(context.Context, entry) (int, error)) error {
	var failed []entry
	var errs []error
	for i, e := range entries {
		first, err := count(ctx, e)
		if err == nil {
			err = s.put(ctx, e, first)
		}
		if err == nil {
			continue
		}
		failed, errs = append(failed, e), append(errs, err)
		if len(failed) == mostFailing {
			s.late.putBack(entries[i+1:])
			break
		}
	}
	s.late.putBack(failed)
	return errors.Join(errs...)
}

// alone asks about the resources of one call. What the store can never keep
// counts in full.
func (s *Service) alone(ctx context.Context, e entry) (int, error) {
	first, err := s.Usage.First(ctx, e.marks)
	if errors.Is(err, fault.Invalid) {
		return len(e.marks), nil
	}
	return len(first), err
}

// put settles the call and counts it.
func (s *Service) put(ctx context.Context, e entry, first int) error {
	if e.tab.own && e.cost(first) > 0 {
		if err := s.charge(ctx, &e, first); err != nil && !errors.Is(err, fault.Invalid) {
			return err
		}
	}
	if e.tab.reserved {
		if err := s.Budgets.Settle(ctx, e.tab.id, e.cost(first)); err != nil && !errors.Is(err, fault.Invalid) {
			return err
		}
	}
	if e.counts {
		s.books.add(e.tab.line, e.total(first))
	}
	return nil
}

// first returns how many resources each call was the first to have.
func (s *Service) first(ctx context.Context, entries []entry) (map[string]int, error) {
	var marks []spend.Mark
	seen := map[spend.Resource]bool{}
	for _, e := range entries {
		for _, m := range e.marks {
			if !seen[m.Resource] {
				seen[m.Resource] = true
				marks = append(marks, m)
			}
		}
	}
	own, err := s.Usage.First(ctx, marks)
	n := map[string]int{}
	for _, m := range own {
		n[m.By]++
	}
	return n, err
}
