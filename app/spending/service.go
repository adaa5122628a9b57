// Package spending is the money in front of X: it keeps budgets, and counts what
// calls cost.
//
// A call of an application with a budget is let in when what it may cost at most
// has been set aside in the store, and what it did cost is put in its place
// before it is answered. Other calls write nothing on their way: what they came
// to is gathered, and written by Flush.
package spending

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/domain/xapp"
	"perch/ports"
)

// reservedFor is how long a reservation holds. Calls end sooner; one that does
// not is settled late.
const reservedFor = 10 * time.Minute

// settleWithin bounds what settling adds to an answer. What does not succeed by
// then is done by Flush.
const settleWithin = 2 * time.Second

// Parts are what the service works with.
type Parts struct {
	Budgets  ports.Budgets
	Usage    ports.Usage
	Apps     apps
	Observer ports.Observer
	Now      func() time.Time
}

// Service is a toll, see package actions.
type Service struct {
	Parts
	books *books
	late  late
	flush sync.Mutex // one at a time
	watch watch
}

// New returns the service. Somebody must Flush it.
func New(p Parts) *Service {
	return &Service{Parts: p, books: newBooks(), watch: newWatch()}
}

// A tab is what is known of a call before it is made.
type tab struct {
	id       string
	line     spend.Line // without an amount
	xapp     xapp.ID
	charge   spend.Charge
	reserved bool
	own      bool // a call of Perch's own: it is charged when it is over
	limits   []spend.Limit
}

// Enter sets aside what the call may cost, where its application or its grants
// have a budget, and refuses it where a budget is spent.
func (s *Service) Enter(ctx context.Context, who ports.Caller, call ports.Call) (ports.Settle, error) {
	t := s.tab(who, call)
	if err := s.reserve(ctx, &t, who); err != nil {
		return nil, err
	}
	return func(ctx context.Context, r *ports.Reply, err error) {
		var reply ports.Reply
		if r != nil {
			reply = *r
		}
		cost, billed := s.settle(ctx, t, reply, err)
		if billed && err == nil && r != nil {
			if r.Header == nil {
				r.Header = map[string][]string{}
			}
			r.Header["Perch-Cost"] = []string{cost.String()}
		}
	}, nil
}

func (s *Service) tab(who ports.Caller, call ports.Call) tab {
	t := tab{xapp: call.XApp, charge: priced(call), line: spend.Line{
		Day: spend.DayOf(s.Now()), App: who.App.ID, Grant: who.Grant, Action: call.Action.ID,
	}}
	if t.charge.Kind != "" {
		t.id = rand.Text()
	}
	return t
}

// priced prices a call. Its body is looked at where that does not take it away.
func priced(call ports.Call) spend.Charge {
	if call.Body == nil {
		return spend.ChargeFor(call.Action, call.Query, nil, true)
	}
	body, ok := call.Body.(interface {
		io.ReaderAt
		Size() int64
	})
	if !ok {
		return spend.ChargeFor(call.Action, call.Query, nil, false)
	}
	text := make([]byte, body.Size())
	n, err := body.ReadAt(text, 0)
	return spend.ChargeFor(call.Action, call.Query, text[:n], err == nil || errors.Is(err, io.EOF))
}

// Fits refuses a call that no budget would ever let in, whatever is spent.
func (s *Service) Fits(who ports.Caller, call ports.Call) error {
	_, err := s.reservation(s.tab(who, call), who)
	return err
}

// reservation is what the call must set aside; one without an ID is nothing.
func (s *Service) reservation(t tab, who ports.Caller) (r spend.Reservation, err error) {
	budget, grants := who.App.Budget, who.App.GrantBudget
	if who.Grant == "" {
		grants = money.Budget{}
	}
	if t.charge.Kind == "" || budget.None() && grants.None() {
		return r, nil
	}
	if t.charge.Stream {
		return r, fault.New(fault.Forbidden, "%s costs more for as long as it is open, so no budget can bound it, and this "+
			"client application has a budget; an operator can open the stream for an application without one",
			t.line.Action).Named("stream-has-no-bound")
	}
	r = spend.Reservation{
		ID: t.id, App: t.line.App, Grant: t.line.Grant, Day: t.line.Day, Cost: t.charge.Most, Least: t.charge.Unit,
		Budget: budget, GrantBudget: grants, Expires: s.Now().Add(reservedFor),
	}
	if l, never := r.Never(); never && who.Delivery == "" { // which waits: its time may see a larger budget
		s.watch.refused(l, r.Cost)
		return r, tooDear(t.charge, l, who)
	}
	return r, nil
}

func (s *Service) reserve(ctx context.Context, t *tab, who ports.Caller) error {
	r, err := s.reservation(*t, who)
	if err != nil || r.ID == "" {
		return err
	}
	ok, err := s.Budgets.Reserve(ctx, r)
	switch {
	case err != nil:
		s.late.add(entry{tab: withReservation(*t)}) // too many: what was set aside all the same holds until it expires
		return err
	case !ok:
		return s.refusal(ctx, r, t.charge, who)
	}
	t.reserved, t.limits = true, r.Limits()
	return nil
}

func withReservation(t tab) tab { t.reserved = true; return t }

// settle counts what the call came to, and returns what it cost here, and
// whether X bills such a call at all.
func (s *Service) settle(ctx context.Context, t tab, reply ports.Reply, err error) (money.Micros, bool) {
	if errors.Is(err, ports.ErrUnsent) {
		s.end(ctx, entry{tab: t})
		return 0, false
	}
	e := s.entry(t, reply, err)
	if !e.counts {
		s.end(ctx, e)
		return 0, false
	}
	e.marks = s.books.claim(e.marks)
	atMost := e.cost(len(e.marks))
	cost := s.end(ctx, e)
	if !t.reserved {
		cost = atMost
	}
	return cost, t.charge.Kind != "" && !t.charge.Stream
}

// end writes what the call came to: at once where money is set aside for it,
// else later. It returns what the call cost, or what was set aside if that
// cannot be said yet.
func (s *Service) end(ctx context.Context, e entry) money.Micros {
	if !e.tab.reserved {
		s.later(e)
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	s.watch.look(e.tab.limits)
	first, err := s.Usage.First(ctx, e.marks)
	if err == nil {
		err = s.Budgets.Settle(ctx, e.tab.id, e.cost(len(first)))
	}
	if err != nil {
		s.later(e)
		return e.tab.charge.Most
	}
	if e.counts {
		s.books.add(e.tab.line, e.total(len(first)))
	}
	return e.cost(len(first))
}

// later counts the call when the store has said which of its resources are the
// first. Where too many wait for that, all of them are taken for it, and what is
// set aside holds until it expires.
func (s *Service) later(e entry) {
	waits := (len(e.marks) > 0 || e.tab.reserved || e.tab.own) && s.late.add(e)
	if !waits && e.counts {
		s.books.add(e.tab.line, e.total(len(e.marks)))
	}
}

// Saved counts a call that was answered from the cache: at what it would have
// cost at most. What is known to be billed on the day would have been free. The
// reply is the one that was kept.
func (s *Service) Saved(_ context.Context, who ports.Caller, call ports.Call, reply ports.Reply) {
	t := s.tab(who, call)
	e := s.entry(t, reply, nil)
	s.books.add(t.line, spend.Amount{Hits: 1, Saved: e.cost(s.books.unknown(e.marks))})
}

// whose names the one a budget belongs to.
func whose(g oauth.GrantID) string {
	if g == "" {
		return "application"
	}
	return "grant"
}
