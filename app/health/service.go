// Package health says whether Perch can do its work, and if not, or not all of it, why.
package health

import (
	"context"
	"slices"
	"sync"
	"time"

	"perch/domain/xapp"
	"perch/ports"
)

// patience bounds each question; an answer is good for as long. Whoever asks
// more often gets the same one, for one of the parts is X.
const patience = 2 * time.Second

// A Part is something Perch depends on.
type Part struct {
	Name     string
	Pinger   ports.Pinger
	Required bool // without it Perch is not ready

	Holds func() []xapp.Hold // for what it is left alone, if it is X; nil: for nothing
}

// refusing lists the holds for which calls are refused.
func (p Part) refusing() []xapp.Hold {
	if p.Holds == nil {
		return nil
	}
	return slices.DeleteFunc(p.Holds(), func(h xapp.Hold) bool { return !h.Refuses })
}

// A Report is what the parts answered.
type Report struct {
	Ready bool
	Parts []Finding
}

// A Finding is one part's answer. Err is for operators.
type Finding struct {
	Name  string
	Err   error
	Holds []xapp.Hold // for which calls are refused, though it answers
}

// Service asks the parts.
type Service struct {
	parts []Part

	mu   sync.Mutex
	last Report
	at   time.Time
}

// New returns the service.
func New(parts ...Part) *Service { return &Service{parts: parts} }

// Ready reports on the parts in their order, as they are or were two seconds ago.
func (s *Service) Ready(ctx context.Context) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || time.Since(s.at) >= patience {
		s.last, s.at = s.ask(context.WithoutCancel(ctx)), time.Now()
	}
	return s.last
}

// ask asks all parts at once.
func (s *Service) ask(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	report := Report{Ready: true, Parts: make([]Finding, len(s.parts))}
	var all sync.WaitGroup
	for i, p := range s.parts {
		all.Go(func() { report.Parts[i] = Finding{Name: p.Name, Err: p.Pinger.Ping(ctx), Holds: p.refusing()} })
	}
	all.Wait()
	for i, f := range report.Parts {
		if f.Err != nil && s.parts[i].Required {
			report.Ready = false
		}
	}
	return report
}

// Holds lists for what X is left alone by this process, by X App, group and event.
func (s *Service) Holds() []xapp.Hold {
	var all []xapp.Hold
	for _, p := range s.parts {
		if p.Holds != nil {
			all = append(all, p.Holds()...)
		}
	}
	slices.SortFunc(all, xapp.Hold.Compare)
	return all
}
