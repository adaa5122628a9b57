package memory_test

import (
	"errors"
	"testing"

	"perch/adapters/memory"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/user"
)

func TestMischief(t *testing.T) {
	for _, c := range []struct {
		name   string
		ask    func(*memory.FaultyVault)
		fails  []bool // of the next writes
		stored []bool
	}{
		{"none", func(*memory.FaultyVault) {}, []bool{false, false}, []bool{true, true}},
		{"before the first", func(f *memory.FaultyVault) { f.FailBefore(1) },
			[]bool{true, false}, []bool{false, true}},
		{"after the second", func(f *memory.FaultyVault) { f.FailAfter(2) },
			[]bool{false, true, false}, []bool{true, true, true}},
		{"both", func(f *memory.FaultyVault) { f.FailAfter(1); f.FailBefore(3) },
			[]bool{true, false, true, false}, []bool{true, true, false, true}},
		{"taken back", func(f *memory.FaultyVault) { f.FailAfter(1); f.FailAfter(0) }, []bool{false}, []bool{true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := memory.Mischief(open(t).Vault())
			c.ask(f)
			for i, fails := range c.fails {
				id := oauth.GrantID(rune('a' + i))
				_, err := f.Create(t.Context(), oauth.Grant{ID: id, App: "app", XApp: "x", State: oauth.Active,
					User: user.User{ID: user.ID(id)}})
				if failed := errors.Is(err, memory.ErrMischief) && errors.Is(err, fault.Unavailable); failed != fails {
					t.Errorf("write %d: got error %v, want a failure: %v", i+1, err, fails)
				}
				if _, err := f.Get(t.Context(), id); (err == nil) != c.stored[i] {
					t.Errorf("write %d: reading it back: %v, want it stored: %v", i+1, err, c.stored[i])
				}
			}
		})
	}
}

func TestMischiefAfterASwap(t *testing.T) {
	f := memory.Mischief(open(t).Vault())
	old, err := f.Create(t.Context(), oauth.Grant{ID: "g", Access: "one"})
	if err != nil {
		t.Fatal(err)
	}
	next := old
	next.Access = "two"
	f.FailAfter(1)
	if _, err := f.Swap(t.Context(), old, next); !errors.Is(err, memory.ErrMischief) {
		t.Errorf("the swap whose reply is lost: got error %v", err)
	}
	if _, err := f.Swap(t.Context(), old, next); !errors.Is(err, fault.Conflict) {
		t.Errorf("the same swap again: got error %v, want a conflict", err)
	}
	if got, err := f.Get(t.Context(), "g"); err != nil || got.Access != "two" {
		t.Errorf("the stored grant: got %q, %v", got.Access, err)
	}
}
