package spending

import (
	"context"
	"errors"

	"perch/domain/spend"
)

// Flush writes what calls came to, and tells of budgets that run out. It is
// called about once a second, and a last time at the end. What could not be
// written is written by a later one.
func (s *Service) Flush(ctx context.Context) error {
	s.flush.Lock()
	defer s.flush.Unlock()
	err := s.close(ctx, s.late.take())
	writer, lines := s.books.unwritten()
	if len(lines) > 0 {
		if kept := s.Usage.Keep(ctx, writer, lines); kept != nil {
			s.books.failed(lines)
			err = errors.Join(err, kept)
		}
	}
	s.books.rest()
	return errors.Join(err, s.alert(ctx))
}

// close finds out what each call cost, and settles those that money is set aside
// for. Both may be done again.
func (s *Service) close(ctx context.Context, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	first, err := s.first(ctx, entries)
	if err != nil {
		s.late.add(entries...)
		return err
	}
	for i, e := range entries {
		if e.tab.reserved {
			if err := s.Budgets.Settle(ctx, e.tab.id, e.cost(first[e.tab.id])); err != nil {
				s.late.add(entries[i:]...)
				return err
			}
		}
		if e.counts {
			s.books.add(e.tab.line, e.total(first[e.tab.id]))
		}
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
