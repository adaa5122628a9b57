package operators

import (
	"context"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/domain/operator"
)

// edit changes an operator as it is stored, for an owner, and not so that nobody
// could enter any more.
func (s *Service) edit(
	ctx context.Context, by operator.Operator, id operator.ID,
	change func(operator.Operator) (operator.Operator, error),
) (operator.Operator, error) {
	if err := Permit(by, operator.Owner); err != nil {
		return operator.Operator{}, err
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	for {
		old, err := s.Get(ctx, id)
		if err != nil {
			return operator.Operator{}, err
		}
		next, err := change(old)
		if err != nil || next == old {
			return next, err
		}
		next, err = s.swap(ctx, old, next)
		if !errors.Is(err, errOvertaken) {
			return next, err
		}
	}
}

// errOvertaken says that another writer came first.
var errOvertaken = errors.New("overtaken")

// swap stores the change. What takes an owner away is looked at before, and
// after too: two owners may end each other at once, on two replicas.
func (s *Service) swap(ctx context.Context, old, next operator.Operator) (operator.Operator, error) {
	less := s.weakens(old, next)
	if less {
		if err := s.othersLast(ctx, old); err != nil {
			return operator.Operator{}, err
		}
	}
	next, err := s.store.Swap(ctx, old, next)
	if errors.Is(err, fault.Conflict) {
		return operator.Operator{}, errOvertaken
	}
	if err != nil || !less {
		return next, err
	}
	if err := s.othersLast(ctx, old); err != nil {
		ctx, cancel := regardless(ctx)
		defer cancel()
		_, back := s.store.Swap(ctx, next, old)
		return operator.Operator{}, errors.Join(err, back)
	}
	return next, nil
}

// weakens reports whether a change takes from an owner who could let others in
// again. Where the founding token lets in, nobody else has to.
func (s *Service) weakens(old, next operator.Operator) bool {
	if s.founded || old.Role != operator.Owner || !old.Good(time.Now()) {
		return false
	}
	return next.Role != operator.Owner || !next.Revoked.IsZero() || endsBefore(next, old)
}

// regardless gives time to take back what was done, whether or not somebody
// still waits for the answer.
func regardless(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

// othersLast refuses if no other owner is good for as long as the given one is:
// until when somebody can manage this Perch never comes nearer, however many
// changes follow one another.
func (s *Service) othersLast(ctx context.Context, as operator.Operator) error {
	there, err := s.owned(ctx, func(o operator.Operator) bool { return o.ID != as.ID && !endsBefore(o, as) })
	if err == nil && !there {
		err = fault.New(fault.Conflict, "nobody could manage this Perch in the end: no other owner is good for as long "+
			"as %s, and the founding token is turned off; add one who is, or give another one more time, first", as.ID).
			Named("last-owner")
	}
	return err
}

// endsBefore reports whether o expires sooner than the other.
func endsBefore(o, other operator.Operator) bool {
	return !o.Expires.IsZero() && (other.Expires.IsZero() || o.Expires.Before(other.Expires))
}

// owned reports whether there is a good owner of the wanted sort.
func (s *Service) owned(ctx context.Context, wanted func(operator.Operator) bool) (bool, error) {
	var after operator.ID
	for {
		page, err := s.store.List(ctx, after, 200)
		if err != nil || len(page) == 0 {
			return false, err
		}
		for _, o := range page {
			if o.Role == operator.Owner && o.Good(time.Now()) && wanted(o) {
				return true, nil
			}
		}
		after = page[len(page)-1].ID
	}
}

// Enterable reports whether somebody could manage this Perch: the founding token
// lets in, or there is a good owner.
func (s *Service) Enterable(ctx context.Context) (bool, error) {
	if s.founded {
		return true, nil
	}
	return s.owned(ctx, func(operator.Operator) bool { return true })
}
