// Package health says whether Perch can do its work, and if not, why.
package health

import (
	"context"
	"sync"
	"time"

	"perch/ports"
)

// patience bounds each question.
const patience = 2 * time.Second

// A Part is something Perch depends on.
type Part struct {
	Name     string
	Pinger   ports.Pinger
	Required bool // without it Perch is not ready
}

// A Report is what the parts answered.
type Report struct {
	Ready bool
	Parts []Finding
}

// A Finding is one part's answer. Err is for operators.
type Finding struct {
	Name string
	Err  error
}

// Service asks the parts.
type Service struct{ parts []Part }

// New returns the service.
func New(parts ...Part) *Service { return &Service{parts} }

// Ready asks all parts at once and reports in their order.
func (s *Service) Ready(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	report := Report{Ready: true, Parts: make([]Finding, len(s.parts))}
	var all sync.WaitGroup
	for i, p := range s.parts {
		all.Go(func() { report.Parts[i] = Finding{p.Name, p.Pinger.Ping(ctx)} })
	}
	all.Wait()
	for i, f := range report.Parts {
		if f.Err != nil && s.parts[i].Required {
			report.Ready = false
		}
	}
	return report
}
