package spending

import (
	"context"
	"fmt"
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

// judge gives the alerts that the budget owes, and takes back those that were
// given of a smaller one. A budget of nothing is none any more.
func (s *Service) judge(ctx context.Context, l spend.Limit, st spend.Standing, refused money.Micros) error {
	level := level(st, l, refused > 0)
	for _, percent := range []int64{soft, hard} {
		switch g := s.watch.opened[alert{l.Account, percent}]; {
		case percent <= level && st.Told < percent:
			if err := s.tell(ctx, l, st, percent, refused); err != nil {
				return err
			}
		case percent > level && st.Told < percent && g.noted: // somebody else has taken it back
			delete(s.watch.opened, alert{l.Account, percent})
		}
	}
	if level < st.Told && (l.Max == 0 || l.Max > st.ToldFor) {
		return s.takeBack(ctx, l, st, level)
	}
	return nil
}

// level is which alert the budget is at, 0 for none. One that is mostly spent and
// has refused a call is spent; of one that has most left, a dear call that does
// not fit says little.
func level(st spend.Standing, l spend.Limit, refused bool) int64 {
	switch used := share(st.Spent, l.Max); {
	case l.Max == 0 || used < soft:
		return 0
	case used >= hard || refused:
		return hard
	}
	return soft
}

// tell gives the alert, and notes it afterwards: one that is given twice is better
// than one that is never given. What was given here is not given here again.
func (s *Service) tell(
	ctx context.Context, l spend.Limit, st spend.Standing, percent int64, refused money.Micros,
) error {
	a := alert{l.Account, percent}
	if _, ok := s.watch.opened[a]; !ok {
		s.watch.opened[a] = given{ends: l.Ends}
		s.observe(ctx, a, ".open", audit.Failed, fault.New(fault.Limited,
			"%s. The budget renews at %s; perch apps can set a larger one", news(l, st, percent, refused),
			l.Ends.Format(time.RFC3339)))
	}
	_, err := s.Budgets.Tell(ctx, l, percent)
	if err == nil {
		s.watch.opened[a] = given{l.Ends, true}
	}
	return err
}

// news says how the budget stands.
func news(l spend.Limit, st spend.Standing, percent int64, refused money.Micros) string {
	budget := fmt.Sprintf("the %s's budget of %s USD for the %s", whose(l.Grant), l.Max, period(l))
	switch {
	case percent == soft:
		return fmt.Sprintf("%s is mostly spent: %s USD so far", budget, st.Spent)
	case refused > 0:
		return fmt.Sprintf("a call that may cost %s USD was refused: of %s, %s USD are spent or set aside",
			refused, budget, st.Spent+st.Reserved)
	}
	return fmt.Sprintf("%s is spent: %s USD so far", budget, st.Spent)
}

// takeBack tells that alerts above the level are over. Who is the first to note it
// tells it.
func (s *Service) takeBack(ctx context.Context, l spend.Limit, st spend.Standing, level int64) error {
	note := l
	note.Max = max(l.Max, st.ToldFor+1)
	first, err := s.Budgets.Tell(ctx, note, level)
	if err != nil {
		return err
	}
	for _, percent := range []int64{hard, soft} {
		if percent <= level || percent > st.Told {
			continue
		}
		delete(s.watch.opened, alert{l.Account, percent})
		if first {
			s.observe(ctx, alert{l.Account, percent}, ".close", audit.Done, nil)
		}
	}
	return nil
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
