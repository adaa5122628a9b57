package conformance

import (
	"context"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"

	"perch/adapters/memory"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

// careless swaps whatever the version.
type careless struct{ ports.TokenVault }

func (v careless) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	stored, err := v.Get(ctx, old.ID)
	if err != nil {
		return stored, err
	}
	return v.TokenVault.Swap(ctx, stored, next)
}

// denying keeps every tenth swap and says that it has not.
type denying struct {
	ports.TokenVault
	mu sync.Mutex
	n  int
}

func (v *denying) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	v.mu.Lock()
	v.n++
	due := v.n%10 == 0
	v.mu.Unlock()
	g, err := v.TokenVault.Swap(ctx, old, next)
	if err == nil && due {
		return oauth.Grant{}, fault.New(fault.Conflict, "somebody else came first")
	}
	return g, err
}

// forgetful shows what it was asked for last time.
type forgetful struct {
	ports.TokenVault
	mu   sync.Mutex
	last map[oauth.GrantID]oauth.Grant
}

func (v *forgetful) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	g, err := v.TokenVault.Get(ctx, id)
	v.mu.Lock()
	defer v.mu.Unlock()
	last, ok := v.last[id]
	if err == nil {
		v.last[id] = g
	}
	if ok {
		return last, err
	}
	return g, err
}

func TestBrokenVaultsAreFound(t *testing.T) {
	for name, v := range map[string]struct {
		spoil func(ports.TokenVault) ports.TokenVault
		want  porcupine.CheckResult
	}{
		"nothing is wrong": {func(v ports.TokenVault) ports.TokenVault { return v }, porcupine.Ok},
		"a swap that does not look at the version": {
			func(v ports.TokenVault) ports.TokenVault { return careless{v} }, porcupine.Illegal,
		},
		"a conflict that was kept": {
			func(v ports.TokenVault) ports.TokenVault { return &denying{TokenVault: v} }, porcupine.Illegal,
		},
		"reading what was": {
			func(v ports.TokenVault) ports.TokenVault {
				return &forgetful{TokenVault: v, last: map[oauth.GrantID]oauth.Grant{}}
			}, porcupine.Illegal,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := memory.Open()
			defer func() { _ = s.Close() }()
			if got := judge(crowd(t.Context(), []ports.TokenVault{v.spoil(s.Vault())}, 1)); got != v.want {
				t.Errorf("it is judged %s, want %s", got, v.want)
			}
		})
	}
}

// Two leases at once are no history of a vault, whatever the versions say.
func TestTwoHoldersAreFound(t *testing.T) {
	stored := grant("g", 1, at)
	stored.State, stored.Version, stored.Lease = oauth.Active, 5, oauth.Lease{Holder: "one", Until: at(10)}
	in := request{verb: "swap", id: "g", old: stored, holder: "two", now: at(9), next: stored}
	if ok, _ := step(stored, in, answer{outcome: unknown}); ok {
		t.Error("a running lease was taken")
	}
	in.now = at(10)
	if ok, _ := step(stored, in, answer{outcome: unknown}); !ok {
		t.Error("a lease that has run out cannot be taken")
	}
}
