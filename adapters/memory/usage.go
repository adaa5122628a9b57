package memory

import (
	"context"
	"slices"
	"sync"

	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

// Usage is a ports.Usage.
type Usage struct {
	mu    sync.Mutex
	lines map[writing]spend.Amount
	marks map[spend.Resource]string // by which call
}

// A writing is one line of one writer, without its amount.
type writing struct {
	writer string
	line   spend.Line
}

var _ ports.Usage = (*Usage)(nil)

// NewUsage returns an empty store of usage.
func NewUsage() *Usage {
	return &Usage{lines: map[writing]spend.Amount{}, marks: map[spend.Resource]string{}}
}

func (s *Usage) Keep(ctx context.Context, writer string, totals []spend.Line) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range totals {
		amount := l.Amount
		l.Amount = spend.Amount{}
		w := writing{writer, l}
		s.lines[w] = s.lines[w].Max(amount)
	}
	return nil
}

func (s *Usage) First(ctx context.Context, marks []spend.Mark) (first []spend.Mark, err error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range marks {
		by, ok := s.marks[m.Resource]
		if !ok {
			s.marks[m.Resource] = m.By
		}
		if !ok || by == m.By {
			first = append(first, m)
		}
	}
	return first, nil
}

func (s *Usage) List(ctx context.Context, q spend.Query) ([]spend.Line, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sums := map[spend.Line]spend.Amount{}
	for w, amount := range s.lines {
		l := w.line
		if l.Day < q.From || l.Day > q.To || q.App != "" && l.App != q.App || q.Grant != "" && l.Grant != q.Grant ||
			q.Action != "" && l.Action != q.Action {
			continue
		}
		sums[q.By.Of(l)] = sums[q.By.Of(l)].Plus(amount)
	}
	var lines []spend.Line
	for l, sum := range sums {
		l.Amount = sum
		lines = append(lines, l)
	}
	slices.SortFunc(lines, spend.Order)
	return lines[:min(len(lines), max(q.Most, 0))], nil
}

// spent is what usage has of the account.
func (s *Usage) spent(a spend.Account) (sum money.Micros) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := a.Days()
	for w, amount := range s.lines {
		if l := w.line; l.App == a.App && (a.Grant == "" || l.Grant == a.Grant) && l.Day >= first && l.Day <= last {
			sum += amount.Cost
		}
	}
	return sum
}

func (s *Usage) Sweep(ctx context.Context, before spend.Day) (n int, err error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.lines {
		if w.line.Day < before {
			delete(s.lines, w)
			n++
		}
	}
	return n, nil
}

func (s *Usage) SweepMarks(ctx context.Context, before spend.Day) (n int, err error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.marks {
		if r.Day < before {
			delete(s.marks, r)
			n++
		}
	}
	return n, nil
}
