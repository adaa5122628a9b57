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
		if err := s.othersLeft(ctx, old.ID); err != nil {
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
	if err := s.othersLeft(ctx, old.ID); err != nil {
		_, back := s.store.Swap(context.WithoutCancel(ctx), next, old)
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
	sooner := !next.Expires.IsZero() && (old.Expires.IsZero() || next.Expires.Before(old.Expires))
	return next.Role != operator.Owner || !next.Revoked.IsZero() || sooner
}

// othersLeft refuses if there is no good owner but the one given.
func (s *Service) othersLeft(ctx context.Context, but operator.ID) error {
	there, err := s.owned(ctx, but)
	if err == nil && !there {
		err = fault.New(fault.Conflict, "nobody could manage this Perch any more: %s is its last good owner, and the "+
			"founding token is turned off; add another owner first", but).Named("last-owner")
	}
	return err
}

// owned reports whether there is a good owner other than the one given.
func (s *Service) owned(ctx context.Context, but operator.ID) (bool, error) {
	var after operator.ID
	for {
		page, err := s.store.List(ctx, after, 200)
		if err != nil || len(page) == 0 {
			return false, err
		}
		for _, o := range page {
			if o.ID != but && o.Role == operator.Owner && o.Good(time.Now()) {
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
	return s.owned(ctx, "")
}
