package spending_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"perch/app/spending"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

const me = `{"data":{"id":"7"}}`

// asks has Perch ask who the user is, with that end.
func (h *till) asks(grant oauth.GrantID, status int, body string, err error) {
	h.t.Helper()
	ended := h.Own(h.app.ID, call(h.t, "getUsersMe", "", ""))
	ended(grant, ports.Reply{Status: status, Whole: []byte(body)}, err)
}

func TestWhatPerchAsksByItselfCountsButIsNeverRefused(t *testing.T) {
	h := open(t, money.Budget{Day: 2 * cent})
	for range 2 {
		if _, err := h.do(call(t, "getUsersById", "", ""), 200, `{"data":{"id":"1"}}`, nil); err != nil {
			t.Fatal(err)
		}
	}
	h.asks("grant_1", 200, me, nil)
	h.asks("", 200, `{"data":{"id":"8"}}`, nil)
	h.asks("", 0, "", errors.New("no answer")) // X may have billed it
	if got := h.line(); got.Cost != 4*cent || got.Unsure != cent || got.Calls != 5 {
		t.Errorf("the usage is %+v", got)
	}
	if got := h.standing(); got.Spent != 4*cent || got.Reserved != 0 {
		t.Errorf("the budget stands at %+v", got)
	}
	if _, err := h.do(call(t, "getUsersById", "", ""), 200, "", nil); fault.KindOf(err) != fault.Limited {
		t.Errorf("a call beyond the budget: %v", err)
	}
	if len(h.events) != 2 {
		t.Errorf("alerts: %+v", h.events)
	}
	by := spend.By{Grant: true}
	lines, err := h.store.Usage().List(t.Context(), spend.Query{To: 99991231, By: by, Most: 9})
	if err != nil || len(lines) != 2 || lines[1].Grant != "grant_1" || lines[1].Cost != 2*cent {
		t.Errorf("by grants: %+v, %v", lines, err)
	}
	standing, err := h.store.Budgets().Standing(t.Context(), []spend.Account{{App: h.app.ID, Grant: "grant_1", Period: 20261126}})
	if err != nil || standing[0].Spent != 2*cent {
		t.Errorf("the grant's: %+v, %v", standing, err)
	}
}

func TestWhatXDoesNotBillPerchForIsFree(t *testing.T) {
	h := open(t, money.Budget{Day: money.USD})
	h.asks("", 401, `{"title":"Unauthorized"}`, nil)
	h.asks("", 0, "", errors.Join(errors.New("refused"), ports.ErrUnsent))
	if got := h.line(); got != (spend.Amount{}) {
		t.Errorf("the usage is %+v", got)
	}
	if _, err := h.do(call(t, "getUsersById", "", ""), 200, me, nil); err != nil {
		t.Fatal(err)
	}
	h.asks("", 200, me, nil) // had on the same day
	if got := h.line(); got.Cost != cent || got.Calls != 2 {
		t.Errorf("the usage is %+v", got)
	}
	h.now = h.now.Add(24 * time.Hour)
	h.asks("", 200, me, nil)
	if got, st := h.line(), h.standing(); got.Cost != 2*cent || st.Spent != cent {
		t.Errorf("on the next day: %+v, %+v", got, st)
	}
}

// lost is a store whose answers are lost after it has done what it was asked, as
// often as it says; and applications that cannot be found, so often.
type lost struct {
	ports.Budgets
	h                        *till
	reserves, settles, finds int
}

func (l *lost) Reserve(ctx context.Context, r spend.Reservation) (bool, error) {
	ok, err := l.Budgets.Reserve(ctx, r)
	return ok, errors.Join(err, away(&l.reserves))
}

func (l *lost) Settle(ctx context.Context, id string, cost money.Micros) error {
	return errors.Join(l.Budgets.Settle(ctx, id, cost), away(&l.settles))
}

func (l *lost) Get(context.Context, client.AppID) (client.App, error) { return l.h.app, away(&l.finds) }

func away(times *int) error {
	if *times--; *times >= 0 {
		return fault.New(fault.Unavailable, "away")
	}
	return nil
}

func TestWhatPerchAsksByItselfCountsOnceThoughTheStoreIsAway(t *testing.T) {
	h := open(t, money.Budget{Day: money.USD})
	l := &lost{Budgets: h.store.Budgets(), h: h, reserves: 1, settles: 1, finds: 1}
	h.Service = spending.New(spending.Parts{
		Budgets: l, Usage: h.store.Usage(), Apps: l, Observer: h, Now: h.clock,
	})
	h.asks("", 200, me, nil)
	for range 3 {
		if err := h.Flush(t.Context()); err == nil {
			t.Error("the store is away, and a flush says nothing of it")
		}
	}
	if got, st := h.line(), h.standing(); got.Cost != cent || got.Calls != 1 || st.Spent != cent || st.Reserved != 0 {
		t.Errorf("the usage is %+v, the budget stands at %+v", got, st)
	}
}

// Of an application without budgets, and of one that is gone, nothing is kept but
// usage.
func TestWhatPerchAsksForApplicationsWithoutBudgetsIsOnlyUsage(t *testing.T) {
	for name, err := range map[string]error{"no budget": nil, "no application": fault.New(fault.NotFound, "none")} {
		h := open(t, money.Budget{})
		h.Service = spending.New(spending.Parts{
			Budgets: nil, Usage: h.store.Usage(), Apps: found{err}, Observer: h, Now: h.clock,
		})
		h.asks("", 200, me, nil)
		if got := h.line(); got.Cost != cent {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

type found struct{ err error }

func (f found) Get(context.Context, client.AppID) (client.App, error) { return client.App{}, f.err }

func TestABudgetThatIsSetInTheMiddleOfADayKnowsWhatWasSpent(t *testing.T) {
	h := open(t, money.Budget{})
	read := call(t, "getUsersById", "", "")
	for _, body := range []string{`{"data":{"id":"1"}}`, `{"data":{"id":"2"}}`} {
		if _, err := h.do(read, 200, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	h.asks("grant_1", 200, me, nil)
	h.line() // which is written down
	if got := h.standing(); got.Spent != 3*cent {
		t.Errorf("before any call the budget stands at %+v", got)
	}
	h.app.Budget.Month = 4 * cent
	if _, err := h.do(read, 200, `{"data":{"id":"3"}}`, nil); err != nil {
		t.Error(err)
	}
	if _, err := h.do(read, 200, `{"data":{"id":"4"}}`, nil); fault.KindOf(err) != fault.Limited {
		t.Errorf("the fifth cent of a budget of four: %v", err)
	}
	if got, st := h.line(), h.standing(); got.Cost != 4*cent || st.Spent != 4*cent {
		t.Errorf("the usage is %+v, the budget stands at %+v", got, st)
	}
}
