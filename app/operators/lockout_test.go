package operators_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/memory"
	"perch/app/operators"
	"perch/domain/fault"
	"perch/domain/operator"
	"perch/ports"
)

// until is a change of when a token ends.
func until(end time.Time) operators.Change { return operators.Change{Expires: &end} }

func TestNoSequenceOfChangesLeavesNobody(t *testing.T) {
	for name, steps := range map[string]func(*testing.T, *operators.Service) error{
		"rotated, and the new one revoked": func(t *testing.T, s *operators.Service) error {
			o, _ := hire(t, s, operator.Owner, time.Time{})
			next, _, err := s.Rotate(t.Context(), owner, o.ID, time.Minute)
			return second(s.Revoke(t.Context(), owner, must(t, next, err).ID))
		},
		"one shortened, then the other": func(t *testing.T, s *operators.Service) error {
			a, _ := hire(t, s, operator.Owner, time.Time{})
			b, _ := hire(t, s, operator.Owner, time.Time{})
			soon := until(time.Now().Add(time.Second))
			must(t, a, second(s.Change(t.Context(), owner, a.ID, soon)))
			return second(s.Change(t.Context(), owner, b.ID, soon))
		},
		"one shortened, and the other demoted": func(t *testing.T, s *operators.Service) error {
			a, _ := hire(t, s, operator.Owner, time.Now().Add(time.Hour))
			b, _ := hire(t, s, operator.Owner, time.Now().Add(time.Hour))
			must(t, a, second(s.Change(t.Context(), owner, a.ID, until(time.Now().Add(time.Minute)))))
			role := operator.Keeper
			return second(s.Change(t.Context(), owner, b.ID, operators.Change{Role: &role}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := office(true, nil)
				if err := steps(t, s); fault.SlugOf(err) != "last-owner" {
					t.Errorf("the last step: %v", err)
				}
				time.Sleep(2 * time.Minute)
				if can, err := s.Enterable(t.Context()); !can || err != nil {
					t.Errorf("two minutes later: %v, %v", can, err)
				}
			})
		})
	}
}

func TestAnOwnerGoesWhereAnotherLastsAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := office(true, nil)
		end := time.Now().Add(time.Hour)
		a, _ := hire(t, s, operator.Owner, end)
		b, _ := hire(t, s, operator.Owner, end.Add(-time.Minute))
		if _, err := s.Revoke(t.Context(), owner, a.ID); fault.SlugOf(err) != "last-owner" {
			t.Errorf("the other ends a minute sooner: %v", err)
		}
		must(t, b, second(s.Change(t.Context(), owner, b.ID, until(end))))
		must(t, a, second(s.Change(t.Context(), owner, a.ID, until(end.Add(-time.Second)))))
		must(t, a, second(s.Revoke(t.Context(), owner, a.ID)))
		must(t, b, second(s.Change(t.Context(), owner, b.ID, until(time.Time{}))))
		for _, overlap := range []time.Duration{time.Minute, 0} { // alone, and rotated
			next, _, err := s.Rotate(t.Context(), owner, b.ID, overlap)
			b = must(t, next, err)
		}
		third, _ := hire(t, s, operator.Owner, time.Time{})
		must(t, b, second(s.Revoke(t.Context(), owner, b.ID)))
		if got, err := s.Get(t.Context(), third.ID); must(t, got, err) != third {
			t.Errorf("%+v", got)
		}
	})
}

// A between does something before an operator is created or swapped.
type between struct {
	ports.Operators
	create func()
	swap   func() error
}

func (b *between) Create(ctx context.Context, o operator.Operator) (operator.Operator, error) {
	if do := b.create; do != nil {
		b.create = nil
		do()
	}
	return b.Operators.Create(ctx, o)
}

func (b *between) Swap(ctx context.Context, old, next operator.Operator) (operator.Operator, error) {
	if do := b.swap; do != nil {
		b.swap = nil
		if err := do(); err != nil {
			return operator.Operator{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return operator.Operator{}, err
	}
	return b.Operators.Swap(ctx, old, next)
}

// good counts the good operators.
func good(t *testing.T, s *operators.Service) int {
	t.Helper()
	all, err := s.List(t.Context(), "", 100)
	n := 0
	for _, o := range must(t, all, err) {
		if o.Good(time.Now()) {
			n++
		}
	}
	return n
}

func TestWhoIsChangedWhileRotatedGetsNoNewToken(t *testing.T) {
	viewer := operator.Viewer
	for slug, change := range map[string]func(*operators.Service, context.Context, operator.ID) error{
		"operator-revoked": func(s *operators.Service, ctx context.Context, id operator.ID) error {
			return second(s.Revoke(ctx, owner, id))
		},
		"operator-changed": func(s *operators.Service, ctx context.Context, id operator.ID) error {
			return second(s.Change(ctx, owner, id, operators.Change{Role: &viewer}))
		},
	} {
		t.Run(slug, func(t *testing.T) {
			store := &between{Operators: memory.NewOperators()}
			s, _ := office(false, func(p *operators.Parts) { p.Operators = store })
			o, _ := hire(t, s, operator.Owner, time.Time{})
			store.create = func() { must(t, o, change(s, t.Context(), o.ID)) }
			_, text, err := s.Rotate(t.Context(), o, o.ID, time.Hour)
			if fault.KindOf(err) != fault.Conflict || fault.SlugOf(err) != slug || !text.Empty() {
				t.Errorf("%v", err)
			}
			left, err := s.Get(t.Context(), o.ID)
			want := 0
			if must(t, left, err).Revoked.IsZero() {
				want = 1 // the one who was changed, and nobody else
			}
			if n := good(t, s); n != want || !left.Expires.IsZero() {
				t.Errorf("%d good operators, want %d; %+v", n, want, left)
			}
		})
	}
}

func TestARotationThatFailedIsUndoneThoughNobodyWaits(t *testing.T) {
	store := &between{Operators: memory.NewOperators()}
	s, _ := office(false, func(p *operators.Parts) { p.Operators = store })
	o, token := hire(t, s, operator.Owner, time.Time{})
	ctx, hangUp := context.WithCancel(t.Context())
	store.swap = func() error { hangUp(); return fault.New(fault.Unavailable, "the store is gone") }
	if _, _, err := s.Rotate(ctx, owner, o.ID, 0); !errors.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	if n := good(t, s); n != 1 {
		t.Errorf("%d good operators", n)
	}
	if _, err := s.Authenticate(t.Context(), token); err != nil {
		t.Errorf("the old token: %v", err)
	}
}

func TestWhatWasRotatedWithoutOverlapIsRevoked(t *testing.T) {
	s, _ := office(false, nil)
	o, token := hire(t, s, operator.Keeper, time.Now().Add(time.Hour))
	next, _, err := s.Rotate(t.Context(), owner, o.ID, 0)
	must(t, next, err)
	if _, err := s.Change(t.Context(), owner, o.ID, until(time.Now().Add(time.Hour))); fault.SlugOf(err) != "operator-revoked" {
		t.Errorf("more time for it: %v", err)
	}
	if _, err := s.Authenticate(t.Context(), token); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("the old token: %v", err)
	}
}
