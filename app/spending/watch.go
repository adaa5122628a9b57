package spending

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/spend"
)

// lookEvery is how often budgets whose alerts are on are looked at without a call.
const lookEvery = 10 * time.Second

// A watch knows which budgets calls have counted in, and which alerts were given
// here.
type watch struct {
	mu     sync.Mutex
	seen   map[spend.Account]spend.Limit
	full   map[spend.Account]money.Micros // what a call may cost that was refused until the period ends
	opened map[alert]given
	next   time.Time // when those that are on are looked at
}

// given is an alert that was given here, and is on.
type given struct {
	ends  time.Time // when the budget renews
	noted bool      // the store knows it
}

type alert struct {
	account spend.Account
	percent int64
}

func newWatch() watch {
	return watch{
		seen: map[spend.Account]spend.Limit{}, full: map[spend.Account]money.Micros{}, opened: map[alert]given{},
	}
}

// putBack has the next flush look at budgets that this one did not come to.
// Where they were looked at meanwhile, that is newer.
func (w *watch) putBack(limits []spend.Limit, full map[spend.Account]money.Micros) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range limits {
		if _, ok := w.seen[l.Account]; !ok {
			w.seen[l.Account] = l
		}
		if cost, ok := full[l.Account]; ok {
			w.full[l.Account] = max(cost, w.full[l.Account])
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

// refused has the next flush tell that the budget has no room for such a call.
func (w *watch) refused(l spend.Limit, cost money.Micros) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[l.Account], w.full[l.Account] = l, cost
}

func (w *watch) take() (limits []spend.Limit, full map[spend.Account]money.Micros) {
	w.mu.Lock()
	defer w.mu.Unlock()
	limits, full = slices.Collect(maps.Values(w.seen)), w.full
	clear(w.seen)
	w.full = map[spend.Account]money.Micros{}
	return limits, full
}

// alert tells of budgets that are mostly or wholly spent, once in their period
// whoever notices it; and that they have room again.
func (s *Service) alert(ctx context.Context) error {
	limits, full := s.watch.take()
	limits, err := s.due(ctx, limits)
	if err != nil || len(limits) == 0 {
		s.watch.putBack(limits, full)
		return err
	}
	accounts := make([]spend.Account, len(limits))
	for i, l := range limits {
		accounts[i] = l.Account
	}
	standing, err := s.Budgets.Standing(ctx, accounts)
	if err != nil {
		s.watch.putBack(limits, full)
		return err
	}
	for i, l := range limits {
		if l.Max < standing[i].ToldFor { // made larger since the call began, or smaller since the alert
			if l.Max, err = s.size(ctx, l.Account, l.Ends); err != nil {
				s.watch.putBack(limits[i:], full)
				return err
			}
		}
		if err := s.judge(ctx, l, standing[i], full[l.Account]); err != nil {
			s.watch.putBack(limits[i:], full)
			return err
		}
	}
	return nil
}

// due adds the budgets whose alerts are on, if it is time to look at them.
func (s *Service) due(ctx context.Context, limits []spend.Limit) ([]spend.Limit, error) {
	if s.Now().Before(s.watch.next) {
		return limits, nil
	}
	there := map[spend.Account]bool{}
	for _, l := range limits {
		there[l.Account] = true
	}
	for a, g := range s.watch.opened {
		if there[a.account] {
			continue
		}
		there[a.account] = true
		size, err := s.size(ctx, a.account, g.ends)
		if err != nil {
			return limits, err
		}
		limits = append(limits, spend.Limit{Account: a.account, Max: size, Ends: g.ends})
	}
	s.watch.next = s.Now().Add(lookEvery)
	return limits, nil
}

// size is how large the budget is now: 0 if it is over or was taken away.
func (s *Service) size(ctx context.Context, a spend.Account, ends time.Time) (money.Micros, error) {
	if !s.Now().Before(ends) {
		return 0, nil
	}
	app, err := s.Apps.Get(ctx, a.App)
	if errors.Is(err, fault.NotFound) {
		return 0, nil
	}
	budget := app.Budget
	if a.Grant != "" {
		budget = app.GrantBudget
	}
	if a.Period >= spend.FirstDay {
		return budget.Day, err
	}
	return budget.Month, err
}
