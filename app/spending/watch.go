package spending

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/spend"
)

// An alert is given at this much of a budget, and when it is spent.
const (
	soft = 80
	hard = 100
)

// A watch knows which budgets calls have counted in, and which alerts were given
// here.
type watch struct {
	mu     sync.Mutex
	seen   map[spend.Account]spend.Limit
	full   map[spend.Account]bool // a call was refused until the period ends
	opened map[alert]time.Time    // until when
}

type alert struct {
	account spend.Account
	percent int64
}

func newWatch() watch {
	return watch{
		seen: map[spend.Account]spend.Limit{}, full: map[spend.Account]bool{}, opened: map[alert]time.Time{},
	}
}

// look has the next flush look at the budgets.
func (w *watch) look(limits []spend.Limit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range limits {
		w.seen[l.Account] = l
	}
}

// spent has the next flush tell that the budget is spent.
func (w *watch) spent(l spend.Limit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[l.Account], w.full[l.Account] = l, true
}

func (w *watch) take() (limits []spend.Limit, full map[spend.Account]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	limits, full = slices.Collect(maps.Values(w.seen)), w.full
	clear(w.seen)
	w.full = map[spend.Account]bool{}
	return limits, full
}

// alert tells of budgets that are mostly or wholly spent, once in their period
// whoever notices it; and that they have renewed, where it was told here.
func (s *Service) alert(ctx context.Context) error {
	limits, full := s.watch.take()
	accounts := make([]spend.Account, len(limits))
	for i, l := range limits {
		accounts[i] = l.Account
	}
	s.renew(ctx)
	if len(limits) == 0 {
		return nil
	}
	standing, err := s.Budgets.Standing(ctx, accounts)
	if err != nil {
		s.watch.look(limits)
		return err
	}
	for i, l := range limits {
		used := share(standing[i].Spent, l.Max)
		if full[l.Account] {
			used = max(used, hard)
		}
		for _, percent := range []int64{soft, hard} {
			if used < percent || standing[i].Told >= percent {
				continue
			}
			if err := s.tell(ctx, l, standing[i], percent); err != nil {
				s.watch.look(limits[i:])
				return err
			}
		}
	}
	return nil
}

func (s *Service) tell(ctx context.Context, l spend.Limit, st spend.Standing, percent int64) error {
	first, err := s.Budgets.Tell(ctx, l.Account, percent)
	if err != nil || !first {
		return err
	}
	s.watch.opened[alert{l.Account, percent}] = l.Ends
	what := "is mostly spent"
	if percent == hard {
		what = "is spent, and calls are refused until it renews"
	}
	s.observe(ctx, alert{l.Account, percent}, ".open", audit.Failed, fault.New(fault.Limited,
		"the %s's budget of %s USD for the %s %s: %s USD so far. It renews at %s; perch apps can set a larger one",
		whose(l.Grant), l.Max, period(l), what, st.Spent, l.Ends.Format(time.RFC3339)))
	return nil
}

// renew tells of the alerts whose period is over.
func (s *Service) renew(ctx context.Context) {
	now := s.Now()
	for a, ends := range s.watch.opened {
		if !now.Before(ends) {
			delete(s.watch.opened, a)
			s.observe(ctx, a, ".close", audit.Done, nil)
		}
	}
}

func (s *Service) observe(ctx context.Context, a alert, end string, o audit.Outcome, why error) {
	verb := "budget.soft"
	if a.percent == hard {
		verb = "budget.hard"
	}
	target := string(a.account.App)
	if a.account.Grant != "" {
		target = string(a.account.Grant)
	}
	s.Observer.Observe(ctx, audit.Event{
		At: s.Now().UTC(), App: a.account.App, Grant: a.account.Grant, Target: target, Verb: verb + end, Outcome: o, Err: why,
	})
}
