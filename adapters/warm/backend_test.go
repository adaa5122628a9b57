package warm_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

// A backend is a store in memory that counts its reads and can fall silent.
type backend struct {
	*memory.Store
	reads, looks atomic.Int64
	silent       atomic.Bool
	lost         atomic.Bool                 // a look fails at once
	held         func(g oauth.Grant)         // nil, or called before a grant that was read is given back
	waits        func(context.Context) error // nil: as memory does
}

func (b *backend) hang(ctx context.Context) error {
	if !b.silent.Load() {
		return nil
	}
	<-ctx.Done()
	return fault.New(fault.Unavailable, "silent").Because(ctx.Err())
}

type countedVault struct {
	ports.TokenVault
	b *backend
}

func (v countedVault) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	v.b.reads.Add(1)
	if err := v.b.hang(ctx); err != nil {
		return oauth.Grant{}, err
	}
	g, err := v.TokenVault.Get(ctx, id)
	if v.b.held != nil {
		v.b.held(g)
	}
	return g, err
}

func (b *backend) Vault() ports.TokenVault { return countedVault{b.Store.Vault(), b} }

type changes struct {
	ports.Changes
	b *backend
}

func (c changes) Count(ctx context.Context) (ports.Counts, error) {
	c.b.looks.Add(1)
	if c.b.lost.Load() {
		return ports.Counts{}, fault.New(fault.Unavailable, "lost")
	}
	if err := c.b.hang(ctx); err != nil {
		return ports.Counts{}, err
	}
	return c.Changes.Count(ctx)
}

func (c changes) Wait(ctx context.Context) error {
	if c.b.waits != nil {
		return c.b.waits(ctx)
	}
	return c.Changes.Wait(ctx)
}

func (b *backend) Changes() ports.Changes { return changes{b.Store.Changes(), b} }

// open returns a backend in which there is a grant g, and a warm replica of it.
func open(t *testing.T) (*backend, *replica) {
	t.Helper()
	return openTold(t, nil)
}

// openTold is open where waiting for changes is as given.
func openTold(t *testing.T, waits func(context.Context) error) (*backend, *replica) {
	t.Helper()
	b := &backend{Store: memory.Open(), waits: waits}
	t.Cleanup(func() { _ = b.Close() })
	g := oauth.Grant{ID: "g", App: "a", State: oauth.Active, Access: "box", Expires: time.Now().Add(2 * time.Hour)}
	if _, err := b.Store.Vault().Create(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	r := before(t, b, b.Changes())
	warmUp(t, b, r)
	return b, r
}

// warmUp reads the grant until reading it does not reach the store.
func warmUp(t *testing.T, b *backend, r *replica) {
	t.Helper()
	for range 100 {
		n := b.reads.Load()
		if _, err := r.vault.Warm().Get(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if b.reads.Load() == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the grant does not get warm")
}

// good reports whether the replica would let the grant in.
func good(t *testing.T, r *replica) bool {
	t.Helper()
	g, err := r.vault.Warm().Get(t.Context(), "g")
	if err != nil && !errors.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
	return err == nil && g.State == oauth.Active
}

// swap changes the grant in the store, as another replica does.
func swap(t *testing.T, b *backend, edit func(oauth.Grant) oauth.Grant) {
	t.Helper()
	old, err := b.Store.Vault().Get(t.Context(), "g")
	if err == nil {
		_, err = b.Store.Vault().Swap(t.Context(), old, edit(old))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func revoke(g oauth.Grant) oauth.Grant { return g.Revoke(time.Now()) }

func current(t *testing.T, b *backend) oauth.Grant {
	t.Helper()
	g, err := b.Store.Vault().Get(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func drop[V any](_ V, err error) error { return err }
