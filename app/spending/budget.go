package spending

import (
	"context"
	"time"

	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

// refusal says which budget is spent, and until when.
func (s *Service) refusal(ctx context.Context, r spend.Reservation, c spend.Charge, who ports.Caller) error {
	limits := r.Limits()
	accounts := make([]spend.Account, len(limits))
	for i, l := range limits {
		accounts[i] = l.Account
	}
	standing, err := s.Budgets.Standing(ctx, accounts)
	if err != nil {
		return err
	}
	var worst error
	var longest time.Duration
	for i, l := range limits {
		st := standing[i]
		if st.Admits(r, l.Max) {
			continue
		}
		wait := time.Second // others are under way
		if st.Spent+r.Least > l.Max {
			wait = max(l.Ends.Sub(s.Now()), time.Second)
			s.watch.refused(l, r.Cost)
		}
		if wait > longest {
			longest, worst = wait, spentBudget(r, l, st, wait, who, because(c))
		}
	}
	if worst == nil { // somebody has given back meanwhile
		return fault.New(fault.Limited, "the budget was taken up by other calls at this moment; send the request again").
			Named("budget-spent").After(time.Second)
	}
	return worst
}

func spentBudget(
	r spend.Reservation, l spend.Limit, st spend.Standing, wait time.Duration, who ports.Caller, why string,
) error {
	advice := "wait until the calls under way have ended, or ask for less at once"
	if st.Spent+r.Least > l.Max {
		advice = "wait until the budget renews, or ask the operator of this Perch for a larger one"
	}
	var f *fault.Error
	if l.Grant == "" && !who.AllUse {
		f = fault.New(fault.Limited, "the application's budget for the %s has too little left for this call, which may "+
			"cost %s USD%s; %s", period(l), r.Cost, why, advice)
	} else {
		f = fault.New(fault.Limited, "the %s's budget of %s USD for the %s has %s USD left, and this call may "+
			"cost %s USD%s; %s", whose(l.Grant), l.Max, period(l), max(l.Max-st.Spent-st.Reserved, 0), r.Cost, why, advice).
			With("size", l.Max.String()).With("spent", st.Spent.String()).With("reserved", st.Reserved.String())
	}
	return f.Named("budget-spent").After(wait).
		With("budget", whose(l.Grant)).With("period", period(l)).With("cost", r.Cost.String()).
		With("renews", l.Ends.Format(time.RFC3339))
}

// tooDear refuses a call for which all of a budget is too little: waiting is no help.
func tooDear(c spend.Charge, l spend.Limit, who ports.Caller) error {
	size, flag := "less", "--budget-"+period(l)
	if l.Grant != "" {
		flag = "--grant-budget-" + period(l)
	}
	sees := l.Grant != "" || who.AllUse
	if sees {
		size = l.Max.String() + " USD"
	}
	f := fault.New(fault.Forbidden, "this call costs at least %s USD%s, and all of the %s's budget for the %s is %s, so "+
		"it never fits, also when that renews; the operator of this Perch can set a larger one, with perch apps change %s",
		c.Unit, because(c), whose(l.Grant), period(l), size, flag)
	if sees {
		f = f.With("size", l.Max.String())
	}
	return f.Named("budget-too-small").
		With("budget", whose(l.Grant)).With("period", period(l)).With("cost", c.Most.String())
}

// because says why the call costs more than others of its action, if it does.
func because(c spend.Charge) string {
	if c.Link {
		return ", for what looks like a link in it"
	}
	return ""
}

// period names the period of a limit.
func period(l spend.Limit) string {
	if l.Period >= spend.FirstDay {
		return "day"
	}
	return "month"
}

// share is how many percent of the limit are spent.
func share(spent, limit money.Micros) int64 { return int64(spent) * 100 / max(int64(limit), 1) }
