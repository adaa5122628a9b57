package memory

import (
	"context"
	"sync"
	"time"

	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

// Budgets is a ports.Budgets.
type Budgets struct {
	mu           sync.Mutex
	usage        *Usage
	accounts     map[spend.Account]*spend.Standing
	reservations map[string]*reservation
}

type reservation struct {
	spend.Reservation
	settled, expired bool
	paid             money.Micros
}

var _ ports.Budgets = (*Budgets)(nil)

// NewBudgets returns an empty store of budgets beside the usage.
func NewBudgets(u *Usage) *Budgets {
	return &Budgets{usage: u, accounts: map[spend.Account]*spend.Standing{}, reservations: map[string]*reservation{}}
}

func (s *Budgets) Reserve(ctx context.Context, r spend.Reservation) (bool, error) {
	if err := ended(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.reservations[r.ID]; ok {
		return false, taken("reservation")
	}
	for _, l := range r.Limits() {
		if !s.account(l.Account).Admits(r, l.Max) {
			return false, nil
		}
	}
	for _, a := range r.Accounts() {
		s.account(a).Reserved += r.Cost
	}
	r.Expires = moment(r.Expires)
	s.reservations[r.ID] = &reservation{Reservation: r}
	return true, nil
}

func (s *Budgets) account(a spend.Account) *spend.Standing {
	if s.accounts[a] == nil {
		s.accounts[a] = &spend.Standing{Account: a, Spent: s.usage.spent(a)}
	}
	return s.accounts[a]
}

func (s *Budgets) Settle(ctx context.Context, id string, cost money.Micros) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.reservations[id]
	if !ok || r.settled {
		return nil
	}
	for _, a := range r.Accounts() {
		standing := s.account(a)
		if r.expired {
			standing.Lost -= r.paid
		} else {
			standing.Reserved -= r.Cost
		}
		standing.Spent += cost - r.paid
	}
	r.settled, r.expired, r.paid = true, false, cost
	return nil
}

func (s *Budgets) Expire(ctx context.Context, now time.Time) (n int, err error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.reservations {
		switch {
		case r.Expires.After(now):
		case !r.settled && !r.expired:
			for _, a := range r.Accounts() {
				standing := s.account(a)
				standing.Reserved -= r.Cost
				standing.Spent += r.Cost
				standing.Lost += r.Cost
			}
			r.expired, r.paid = true, r.Cost
			n++
		case !r.Expires.After(now.Add(-spend.KeepEnded)):
			delete(s.reservations, id)
		}
	}
	for a := range s.accounts {
		if a.Period < spend.OldestPeriod(a.Period, now) {
			delete(s.accounts, a)
		}
	}
	return n, nil
}

func (s *Budgets) Standing(ctx context.Context, accounts []spend.Account) ([]spend.Standing, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]spend.Standing, len(accounts))
	for i, a := range accounts {
		if there, ok := s.accounts[a]; ok {
			out[i] = *there
		} else {
			out[i] = spend.Standing{Account: a, Spent: s.usage.spent(a)}
		}
	}
	return out, nil
}

func (s *Budgets) Tell(ctx context.Context, l spend.Limit, percent int64) (bool, error) {
	if err := ended(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	there, ok := s.accounts[l.Account]
	if !ok || !there.Owes(percent, l.Max) {
		return false, nil
	}
	there.Told, there.ToldFor = percent, l.Max
	return true, nil
}
