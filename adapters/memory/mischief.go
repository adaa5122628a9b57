package memory

import (
	"context"
	"errors"
	"sync"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// ErrMischief is the cause of every failure made on demand.
var ErrMischief = errors.New("mischief")

// A FaultyVault is a vault that fails on demand, for tests. Create and Swap are
// its writes; reading never fails by itself.
type FaultyVault struct {
	vault ports.TokenVault

	mu            sync.Mutex
	before, after int // writes until the failure; zero: none is due
}

var _ ports.TokenVault = (*FaultyVault)(nil)

// Mischief wraps v. It does as v does until it is told to fail.
func Mischief(v ports.TokenVault) *FaultyVault { return &FaultyVault{vault: v} }

// FailBefore makes the n-th write from now fail with nothing stored, as when
// the store was not reached; 1 is the next one, 0 takes it back.
func (f *FaultyVault) FailBefore(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = n
}

// FailAfter makes the n-th write from now fail although it was stored, as when
// the reply was lost; 1 is the next one, 0 takes it back.
func (f *FaultyVault) FailAfter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = n
}

func (f *FaultyVault) Create(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	return f.write(func() (oauth.Grant, error) { return f.vault.Create(ctx, g) })
}

func (f *FaultyVault) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	return f.vault.Get(ctx, id)
}

func (f *FaultyVault) Find(ctx context.Context, app client.AppID, x xapp.ID, u user.ID) (oauth.Grant, error) {
	return f.vault.Find(ctx, app, x, u)
}

func (f *FaultyVault) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	return f.write(func() (oauth.Grant, error) { return f.vault.Swap(ctx, old, next) })
}

func (f *FaultyVault) List(
	ctx context.Context, app client.AppID, after oauth.GrantID, n int,
) ([]oauth.Grant, error) {
	return f.vault.List(ctx, app, after, n)
}

func (f *FaultyVault) write(do func() (oauth.Grant, error)) (oauth.Grant, error) {
	before, after := f.due()
	if before {
		return oauth.Grant{}, failure()
	}
	g, err := do()
	if err == nil && after {
		return oauth.Grant{}, failure()
	}
	return g, err
}

// due counts one write and says which failures are due with it.
func (f *FaultyVault) due() (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, after = f.before == 1, f.after == 1
	f.before, f.after = max(f.before-1, 0), max(f.after-1, 0)
	return before, after
}

func failure() error {
	return fault.New(fault.Unavailable, "the vault does not answer; try again").Because(ErrMischief)
}
