package operators_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/operators"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/operator"
	"perch/domain/secret"
	"perch/ports"
)

const founding = "founding-token-0123456789"

var owner = operator.Operator{ID: operators.Root, Role: operator.Owner}

type heard struct {
	mu     sync.Mutex
	events []audit.Event
}

func (h *heard) Observe(_ context.Context, e audit.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *heard) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events)
}

// office is the service over memory; without the founding token if off.
func office(off bool, edit func(*operators.Parts)) (*operators.Service, *heard) {
	h := &heard{}
	parts := operators.Parts{
		Operators: memory.NewOperators(), Uses: memory.NewUses(), Keyring: keyring.Ephemeral(), Observer: h,
	}
	if !off {
		parts.Founding = secret.New(founding)
	}
	if edit != nil {
		edit(&parts)
	}
	return operators.New(parts), h
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func hire(t *testing.T, s *operators.Service, role operator.Role, expires time.Time) (operator.Operator, secret.Text) {
	t.Helper()
	o, text, err := s.Add(t.Context(), owner, operator.Operator{Name: "Zoë", Role: role, Expires: expires})
	return must(t, o, err), text
}

func TestATokenIsGoodUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var marked []string
		s, _ := office(false, func(p *operators.Parts) { p.Mark = func(id string) { marked = append(marked, id) } })
		o, token := hire(t, s, operator.Keeper, time.Now().Add(time.Hour))
		got, err := s.Authenticate(t.Context(), token)
		if must(t, got, err).ID != o.ID || len(marked) != 1 || marked[0] != string(o.ID) {
			t.Errorf("%+v, marked %v", got, marked)
		}
		time.Sleep(time.Hour)
		if _, err := s.Authenticate(t.Context(), token); !errors.Is(err, fault.Unauthenticated) || len(marked) != 1 {
			t.Errorf("after the end: %v, marked %v", err, marked)
		}
		end := time.Now().Add(time.Minute)
		must(t, o, second(s.Change(t.Context(), owner, o.ID, operators.Change{Expires: &end})))
		if _, err := s.Authenticate(t.Context(), token); err != nil {
			t.Errorf("with more time: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestARotatedTokenHasAsMuchTimeAsTheOldOneHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := office(false, nil)
		o, _ := hire(t, s, operator.Viewer, time.Now().Add(10*time.Hour))
		time.Sleep(9 * time.Hour)
		next, _, err := s.Rotate(t.Context(), owner, o.ID, 5*time.Hour)
		if end := must(t, next, err).Expires; !end.Equal(time.Now().Add(10 * time.Hour)) {
			t.Errorf("the new token ends %v", end)
		}
		old, err := s.Get(t.Context(), o.ID)
		if !must(t, old, err).Expires.Equal(o.Expires) {
			t.Errorf("the overlap gave the old token more time: %v", old.Expires)
		}
	})
}

func TestTheFoundingTokenIsAnOwnerAndCanBeTurnedOff(t *testing.T) {
	s, _ := office(false, nil)
	o, err := s.Authenticate(t.Context(), secret.New(founding))
	if must(t, o, err).ID != operators.Root || o.Role != operator.Owner {
		t.Errorf("%+v", o)
	}
	off, _ := office(true, nil)
	for _, text := range []string{founding, "", " ", "off"} {
		if _, err := off.Authenticate(t.Context(), secret.New(text)); !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for s, want := range map[*operators.Service]bool{s: true, off: false} {
		if can, err := s.Enterable(t.Context()); can != want || err != nil {
			t.Errorf("enterable: %v, %v", can, err)
		}
	}
	hire(t, off, operator.Keeper, time.Time{})
	o, _ = hire(t, off, operator.Owner, time.Time{})
	if can, err := off.Enterable(t.Context()); !can || err != nil {
		t.Errorf("with the owner %s: %v, %v", o.ID, can, err)
	}
}

func TestTheLastOwnerStaysOnlyWhereTheFoundingTokenIsOff(t *testing.T) {
	soon, viewer := time.Now().Add(time.Minute), operator.Viewer
	for name, weaken := range map[string]func(*operators.Service, context.Context, operator.ID) error{
		"revoked": func(s *operators.Service, ctx context.Context, id operator.ID) error {
			return second(s.Revoke(ctx, owner, id))
		},
		"demoted": func(s *operators.Service, ctx context.Context, id operator.ID) error {
			return second(s.Change(ctx, owner, id, operators.Change{Role: &viewer}))
		},
		"shortened": func(s *operators.Service, ctx context.Context, id operator.ID) error {
			return second(s.Change(ctx, owner, id, operators.Change{Expires: &soon}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := office(false, nil)
			o, _ := hire(t, s, operator.Owner, time.Time{})
			if err := weaken(s, t.Context(), o.ID); err != nil {
				t.Errorf("with the founding token: %v", err)
			}
			off, _ := office(true, nil)
			last, token := hire(t, off, operator.Owner, time.Time{})
			gone, _ := hire(t, off, operator.Owner, time.Time{})
			hire(t, off, operator.Keeper, time.Time{})
			if err := weaken(off, t.Context(), gone.ID); err != nil {
				t.Errorf("one of two: %v", err)
			}
			if err := weaken(off, t.Context(), last.ID); !errors.Is(err, fault.Conflict) {
				t.Errorf("the last one: %v", err)
			}
			next, _, err := off.Rotate(t.Context(), owner, last.ID, 0)
			if must(t, next, err).Role != operator.Owner {
				t.Errorf("the last one rotated: %+v", next)
			}
			if _, err := off.Authenticate(t.Context(), token); !errors.Is(err, fault.Unauthenticated) {
				t.Errorf("its old token: %v", err)
			}
		})
	}
}

// TestTwoOwnersWhoEndEachOtherAtOnceDoNotLockAllOut has two replicas look before
// either writes.
func TestTwoOwnersWhoEndEachOtherAtOnceDoNotLockAllOut(t *testing.T) {
	store := &meeting{Operators: memory.NewOperators()}
	parts := func(p *operators.Parts) { p.Operators = store }
	a, _ := office(true, parts)
	b, _ := office(true, parts)
	first, _ := hire(t, a, operator.Owner, time.Time{})
	other, _ := hire(t, b, operator.Owner, time.Time{})
	store.both.Add(2)
	store.armed = true
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { _, errs[0] = a.Revoke(t.Context(), owner, other.ID) })
	wg.Go(func() { _, errs[1] = b.Revoke(t.Context(), owner, first.ID) })
	wg.Wait()
	if can, err := a.Enterable(t.Context()); !can || err != nil {
		t.Errorf("enterable: %v, %v; the revocations: %v", can, err, errs)
	}
	if errs[0] == nil && errs[1] == nil {
		t.Error("both were told that it is done")
	}
}

// A meeting has two writers wait for each other before the first write of each.
type meeting struct {
	ports.Operators
	armed bool
	both  sync.WaitGroup
	mu    sync.Mutex
	came  int
}

func (m *meeting) Swap(ctx context.Context, old, next operator.Operator) (operator.Operator, error) {
	m.mu.Lock()
	m.came++
	waits := m.armed && m.came <= 2
	m.mu.Unlock()
	if waits {
		m.both.Done()
		m.both.Wait()
	}
	return m.Operators.Swap(ctx, old, next)
}

func TestOnlyOwnersManageOperators(t *testing.T) {
	s, _ := office(false, nil)
	o, _ := hire(t, s, operator.Viewer, time.Time{})
	role := operator.Owner
	for _, by := range []operator.Operator{{}, o, {ID: "x", Role: operator.Keeper}, {ID: "x", Role: "root"}} {
		ctx := t.Context()
		_, text, addErr := s.Add(ctx, by, operator.Operator{Name: "x", Role: operator.Viewer})
		_, other, rotateErr := s.Rotate(ctx, by, o.ID, 0)
		for what, err := range map[string]error{
			"Add": addErr, "Rotate": rotateErr, "Revoke": second(s.Revoke(ctx, by, o.ID)),
			"Change": second(s.Change(ctx, by, o.ID, operators.Change{Role: &role})),
		} {
			if !errors.Is(err, fault.Forbidden) || !text.Empty() || !other.Empty() {
				t.Errorf("%s by %q: %v", what, by.Role, err)
			}
		}
	}
	if all, err := s.List(t.Context(), "", 10); err != nil || len(all) != 1 || all[0] != o {
		t.Errorf("afterwards: %+v, %v", all, err)
	}
}

// blind is a keyring without randomness or peppers.
type blind struct{ ports.Keyring }

func (blind) Digests(context.Context, secret.Text, string) ([]string, error) {
	return nil, fault.New(fault.Unavailable, "no pepper")
}

func TestWhereNothingCanBeLookedUpNobodyIsKnown(t *testing.T) {
	s, _ := office(false, func(p *operators.Parts) { p.Keyring = blind{p.Keyring} })
	o, err := s.Authenticate(t.Context(), secret.New("op_"+strings.Repeat("A", 26)))
	if !errors.Is(err, fault.Unavailable) || o != (operator.Operator{}) {
		t.Errorf("%+v, %v", o, err)
	}
	if _, _, err := s.Add(t.Context(), owner, operator.Operator{Name: "x", Role: operator.Viewer}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Add: %v", err)
	}
}

func TestStrangersAreCountedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := office(false, nil)
		stranger := audit.Event{Verb: "admin.apps.list", Outcome: audit.Refused, Err: fault.New(fault.Unauthenticated, "no")}
		for range 100 {
			s.Observe(t.Context(), stranger)
		}
		s.Observe(t.Context(), audit.Event{Actor: "root", Verb: "admin.apps.list", Outcome: audit.Refused, Err: fault.New(fault.Forbidden, "no")})
		if h.count() != 21 {
			t.Errorf("%d events", h.count())
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		h.mu.Lock()
		last := h.events[len(h.events)-1]
		h.mu.Unlock()
		if h.count() != 22 || last.Verb != "admin.strangers" || !strings.Contains(last.Err.Error(), "80 more") {
			t.Errorf("%d events, the last is %+v", h.count(), last)
		}
		s.Observe(t.Context(), stranger)
		if h.count() != 23 {
			t.Error("the next span begins without telling")
		}
		time.Sleep(2 * time.Minute)
		s.Close()
		if h.count() != 23 {
			t.Errorf("nothing was held back, and there are %d events", h.count())
		}
	})
}
