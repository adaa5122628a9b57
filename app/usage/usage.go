// Package usage reports what calls came to, and what is left of budgets.
package usage

import (
	"context"
	"errors"
	"slices"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

// Most is how many lines a report has at most, and MostDays how many days it
// reaches back, today among them.
const (
	Most     = 1000
	MostDays = 400
)

// Books are written down for reports at most once in booksEvery, which may take
// booksWithin.
const (
	booksEvery  = time.Second
	booksWithin = 5 * time.Second
)

// books write down what was counted here.
type books interface {
	Flush(ctx context.Context) error
}

// Service reads what was counted.
type Service struct {
	books   books // nil: others write down
	usage   ports.Usage
	budgets ports.Budgets
	apps    ports.Applications
	now     func() time.Time
	turn    chan struct{} // one writes down at a time
	written time.Time     // when it was done last; whoever has the turn sees it
}

// New returns the service. Without books a report may lack what was counted in
// this process last, as it may of others.
func New(w books, u ports.Usage, b ports.Budgets, apps ports.Applications, now func() time.Time) *Service {
	return &Service{books: w, usage: u, budgets: b, apps: apps, now: now, turn: make(chan struct{}, 1)}
}

// An Ask says what a report is to be of.
type Ask struct {
	From, To spend.Day       // both included; zero: the first day of the month, and today
	App      client.AppID    // empty: of all
	Grants   []oauth.GrantID // empty: of all
	AppToo   bool            // beside the grants' budgets tell of their application's
	Action   string          // X's operationId; empty: of all
	By       spend.By        // what lines tell apart; the rest is added up
}

// A Report is what calls came to, and how the budgets of today and this month
// stand: those of the grants that were asked for, and behind them of their
// application if that was asked too; or of the application; or, where no
// application was asked for, of all that have usage in the report.
type Report struct {
	From, To spend.Day
	By       spend.By
	Lines    []spend.Line
	More     bool // there are more lines than Most
	Total    spend.Amount
	Budgets  []Budget
}

// A Budget is how one stands.
type Budget struct {
	spend.Limit
	Spent    money.Micros
	Reserved money.Micros // set aside for calls that are under way
	Lost     money.Micros // the part of Spent whose calls never ended here: usage has no line of them
}

// Left is what may still be spent. It is never negative.
func (b Budget) Left() money.Micros { return max(0, b.Max-b.Spent-b.Reserved) }

// Daily reports whether the budget is for a day; others are for a month.
func (b Budget) Daily() bool { return b.Period >= spend.FirstDay }

// Report answers the ask. Days in the wrong order are fault.Invalid, and so are
// earlier ones than the last MostDays, of which nothing is kept.
func (s *Service) Report(ctx context.Context, a Ask) (Report, error) {
	today := spend.DayOf(s.now())
	if a.To == 0 {
		a.To = today
	}
	if a.From == 0 {
		a.From = min(a.To, today)/100*100 + 1
	}
	if err := inOrder(a.From, a.To, spend.DayOf(today.Start().AddDate(0, 0, 1-MostDays))); err != nil {
		return Report{}, err
	}
	if err := s.write(ctx); err != nil {
		return Report{}, err
	}
	lines, err := s.lines(ctx, a, a.By, Most+1)
	if err != nil {
		return Report{}, err
	}
	r := Report{From: a.From, To: a.To, By: a.By, Lines: lines, More: len(lines) > Most}
	r.Lines = r.Lines[:min(len(lines), Most)]
	whole, err := s.lines(ctx, a, spend.By{}, 1)
	if err != nil {
		return Report{}, err
	}
	for _, l := range whole {
		r.Total = r.Total.Plus(l.Amount)
	}
	r.Budgets, err = s.standing(ctx, a, today)
	return r, err
}

func inOrder(from, to, first spend.Day) error {
	switch {
	case from > to:
		return fault.New(fault.Invalid, "from (%s) is after to (%s); turn them round", from, to).With("field", "from")
	case from < first:
		return fault.New(fault.Invalid, "usage is kept for %d days, and from (%s) is earlier; ask from %s on",
			MostDays, from, first).With("field", "from")
	}
	return nil
}

// write has the books written down, unless that was done just now. It goes on when
// the one who asks has left: others wait for it.
func (s *Service) write(ctx context.Context) error {
	if s.books == nil {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	now := s.now()
	if since := now.Sub(s.written); since >= 0 && since < booksEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), booksWithin)
	defer cancel()
	if err := s.books.Flush(ctx); err != nil {
		return err
	}
	s.written = now
	return nil
}

// lines are those of all the grants that were asked for, together.
func (s *Service) lines(ctx context.Context, a Ask, by spend.By, most int) ([]spend.Line, error) {
	q := spend.Query{From: a.From, To: a.To, App: a.App, Action: a.Action, By: by, Most: most}
	if len(a.Grants) == 0 {
		return s.usage.List(ctx, q)
	}
	sums := map[spend.Line]spend.Amount{}
	for _, id := range a.Grants {
		q.Grant = id
		of, err := s.usage.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, l := range of {
			amount := l.Amount
			l.Amount = spend.Amount{}
			sums[l] = sums[l].Plus(amount)
		}
	}
	all := make([]spend.Line, 0, len(sums))
	for l, amount := range sums {
		l.Amount = amount
		all = append(all, l)
	}
	slices.SortFunc(all, spend.Order)
	return all[:min(len(all), most)], nil
}

// standing tells how the budgets stand that the report is about.
func (s *Service) standing(ctx context.Context, a Ask, today spend.Day) ([]Budget, error) {
	ids, err := s.about(ctx, a)
	if err != nil {
		return nil, err
	}
	var limits []spend.Limit
	for _, id := range ids {
		app, err := s.apps.Get(ctx, id)
		switch {
		case errors.Is(err, fault.NotFound):
			continue
		case err != nil:
			return nil, err
		}
		for _, grant := range a.Grants {
			limits = append(limits,
				spend.Reservation{App: id, Grant: grant, Day: today, GrantBudget: app.GrantBudget}.Limits()...)
		}
		if len(a.Grants) == 0 || a.AppToo {
			limits = append(limits, spend.Reservation{App: id, Day: today, Budget: app.Budget}.Limits()...)
		}
	}
	accounts := make([]spend.Account, len(limits))
	for i, l := range limits {
		accounts[i] = l.Account
	}
	standings, err := s.budgets.Standing(ctx, accounts)
	if err != nil {
		return nil, err
	}
	budgets := make([]Budget, len(standings))
	for i, st := range standings {
		budgets[i] = Budget{Limit: limits[i], Spent: st.Spent, Reserved: st.Reserved, Lost: st.Lost}
	}
	return budgets, nil
}

// about are the applications whose budgets belong into the report.
func (s *Service) about(ctx context.Context, a Ask) (ids []client.AppID, err error) {
	if a.App != "" {
		return []client.AppID{a.App}, nil
	}
	lines, err := s.lines(ctx, a, spend.By{App: true}, Most)
	for _, l := range lines {
		if l.App != "" {
			ids = append(ids, l.App)
		}
	}
	return ids, err
}
