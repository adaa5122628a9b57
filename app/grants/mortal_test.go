package grants_test

import (
	"context"
	"sync"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// A process can die at any call of its stores, before the call did anything or
// after. Whatever it does from then on has no effect.
type process struct {
	mu     sync.Mutex
	left   int  // calls until it dies; zero: it is not to die
	after  bool // it dies when the call is done
	dead   bool
	unkept bool // it died between X's answer and the journal
}

func (p *process) diesAt(n int, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.after = n, after
}

func (p *process) call(do func() error) error {
	p.mu.Lock()
	now := p.left == 1
	p.left = max(p.left-1, 0)
	dead := p.dead || (now && !p.after)
	p.dead = p.dead || now
	p.mu.Unlock()
	if dead {
		return errDead()
	}
	err := do()
	if now {
		return errDead()
	}
	return err
}

func errDead() error { return fault.New(fault.Internal, "the process is dead") }

// mortalVault is a vault as a process has it.
type mortalVault struct {
	ports.TokenVault
	p *process
}

func (v mortalVault) Create(ctx context.Context, g oauth.Grant) (out oauth.Grant, err error) {
	err = v.p.call(func() error { out, err = v.TokenVault.Create(ctx, g); return err })
	return out, err
}

func (v mortalVault) Get(ctx context.Context, id oauth.GrantID) (out oauth.Grant, err error) {
	err = v.p.call(func() error { out, err = v.TokenVault.Get(ctx, id); return err })
	return out, err
}

func (v mortalVault) Find(ctx context.Context, a client.AppID, x xapp.ID, u user.ID) (out oauth.Grant, err error) {
	err = v.p.call(func() error { out, err = v.TokenVault.Find(ctx, a, x, u); return err })
	return out, err
}

func (v mortalVault) Swap(ctx context.Context, old, next oauth.Grant) (out oauth.Grant, err error) {
	err = v.p.call(func() error { out, err = v.TokenVault.Swap(ctx, old, next); return err })
	return out, err
}

// mortalJournal is a journal as a process has it.
type mortalJournal struct {
	ports.Journal
	p *process
}

func (j mortalJournal) Reserve(ctx context.Context, attempt string) error {
	return j.p.call(func() error { return j.Journal.Reserve(ctx, attempt) })
}

func (j mortalJournal) Keep(ctx context.Context, r ports.Renewal) error {
	kept := false
	err := j.p.call(func() error { kept = true; return j.Journal.Keep(ctx, r) })
	j.p.mu.Lock()
	defer j.p.mu.Unlock()
	j.p.unkept = j.p.unkept || !kept
	return err
}

func (j mortalJournal) Drop(ctx context.Context, attempt string) error {
	return j.p.call(func() error { return j.Journal.Drop(ctx, attempt) })
}
