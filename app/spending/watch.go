package spending

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/money"
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
	opened map[alert]given
}

// given is an alert that was given here.
type given struct {
	size money.Micros // of the budget
	ends time.Time    // when the budget renews
}

type alert struct {
	account spend.Account
	percent int64
}

func newWatch() watch {
	return watch{
		seen: map[spend.Account]spend.Limit{}, full: map[spend.Account]bool{}, opened: map[alert]given{},
	}
}

// putBack has the next flush look at budgets that this one did not come to.
// Where they were looked at meanwhile, that is newer.
func (w *watch) putBack(limits []spend.Limit, full map[spend.Account]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range limits {
		if _, ok := w.seen[l.Account]; !ok {
			w.seen[l.Account] = l
		}
		if full[l.Account] {
			w.full[l.Account] = true
		}
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

// alert tells of budgets that are mostly or wholly spent, once in their period for
// each size whoever notices it; and that they have renewed, where it was told here.
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
		s.watch.putBack(limits, full)
		return err
	}
	for i, l := range limits {
		used := usedUp(standing[i], l, full[l.Account])
		for _, percent := range []int64{soft, hard} {
			if used < percent || !standing[i].Owes(percent, l.Max) {
				continue
			}
			if err := s.tell(ctx, l, standing[i], percent); err != nil {
				s.watch.putBack(limits[i:], full)
				return err
			}
		}
	}
	return nil
}

// usedUp is how much of the budget is spent, in percent. One that is mostly spent
// and has refused a call is spent; of one that has most left, a dear call that does
// not fit says little.
func usedUp(st spend.Standing, l spend.Limit, refused bool) int64 {
	used := share(st.Spent, l.Max)
	if refused && used >= soft {
		return max(used, hard)
	}
	return used
}

// tell gives the alert, and notes it afterwards: one that is given twice is better
// than one that is never given. What was given here is not given here again.
func (s *Service) tell(ctx context.Context, l spend.Limit, st spend.Standing, percent int64) error {
	a := alert{l.Account, percent}
	if s.watch.opened[a].size < l.Max {
		s.watch.opened[a] = given{l.Max, l.Ends}
		what := "is mostly spent"
		if percent == hard {
			what = "is spent, and calls are refused until it renews"
		}
		s.observe(ctx, a, ".open", audit.Failed, fault.New(fault.Limited,
			"the %s's budget of %s USD for the %s %s: %s USD so far. It renews at %s; perch apps can set a larger one",
			whose(l.Grant), l.Max, period(l), what, st.Spent, l.Ends.Format(time.RFC3339)))
	}
	_, err := s.Budgets.Tell(ctx, l, percent)
	return err
}

// renew tells of the alerts whose period is over.
func (s *Service) renew(ctx context.Context) {
	now := s.Now()
	for a, g := range s.watch.opened {
		if !now.Before(g.ends) {
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
