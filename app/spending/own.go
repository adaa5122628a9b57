package spending

import (
	"context"
	"errors"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

// apps know what budgets an application has.
type apps interface {
	Get(ctx context.Context, id client.AppID) (client.App, error)
}

// Own begins a call that Perch makes by itself for the application, as to learn
// who signs in. What is returned is told once how the call ended, and of which
// grant it was, if of any. Nothing waits for money: such a call is let in
// whatever is spent, and counts in usage and budgets with the next Flush.
func (s *Service) Own(app client.AppID, call ports.Call) func(oauth.GrantID, ports.Reply, error) {
	t := s.tab(ports.Caller{App: client.App{ID: app}}, call)
	t.own = true
	return func(grant oauth.GrantID, reply ports.Reply, err error) {
		if errors.Is(err, ports.ErrUnsent) {
			return
		}
		t.line.Grant = grant
		e := s.entry(t, reply, err)
		if !e.counts {
			return
		}
		e.marks = s.books.claim(e.marks)
		s.later(e)
	}
}

// charge counts a call of Perch's own in the budgets of its application, if that
// has any, past their size too.
func (s *Service) charge(ctx context.Context, e *entry, first int) error {
	app, err := s.Apps.Get(ctx, e.tab.line.App)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil || app.Budget.None() && app.GrantBudget.None() {
		return err
	}
	r := spend.Reservation{
		ID: e.tab.id, App: e.tab.line.App, Grant: e.tab.line.Grant, Day: e.tab.line.Day, Cost: e.cost(first),
		Expires: s.Now().Add(reservedFor),
	}
	if _, err := s.Budgets.Reserve(ctx, r); err != nil && !errors.Is(err, fault.Conflict) {
		return err
	}
	e.tab.reserved = true
	r.Budget, r.GrantBudget = app.Budget, app.GrantBudget
	s.watch.look(r.Limits())
	return nil
}
