package quotas

import (
	"context"
	"sync"
	"time"

	"perch/domain/quota"
	"perch/ports"
)

// A replica holds at most the maximum divided by blockPart of any limit, until
// blockAge after it had them, looked at every blockAge/2. A refusal is remembered
// for blockRefusal. X may be blockLag calls ahead of the store.
const (
	blockPart    = 50
	blockAge     = time.Second
	blockRefusal = blockAge / 4
	blockLag     = 32
)

// Blocks is a ports.QuotaStore that takes calls from another one in blocks, and
// gives most calls out of them without asking it. What it holds is spent in the
// store already, so that no limit is ever exceeded; others may be refused while
// it holds what it does not need. Limits under 2*blockPart, shares and charges
// that less will do for go to the store as they are.
type Blocks struct {
	store ports.QuotaStore

	mu     sync.Mutex
	blocks map[quota.Name]*block
	closed bool
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

var _ ports.QuotaStore = (*Blocks)(nil)

// A block is what is held of one bucket, and what is known of it.
type block struct {
	charge quota.Charge
	left   int64
	last   quota.Decision // what the store said, after the block was taken
	size   int64          // how many to hold next time
	filled time.Time      // when it was last, or was tried to be
	full   time.Time      // until when it is not worth asking
	busy   chan struct{}  // somebody is asking the store; closed when it has answered
}

// NewBlocks returns a store that holds nothing yet. Close gives back what it
// holds in the end.
func NewBlocks(store ports.QuotaStore) *Blocks {
	ctx, stop := context.WithCancel(context.Background())
	b := &Blocks{store: store, blocks: map[quota.Name]*block{}, stop: stop}
	b.ended.Go(func() { b.watch(ctx) })
	return b
}

// Spend asks the store where a bucket has nothing held. Of several callers that
// would, one asks and the others wait for what it brings.
func (b *Blocks) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	charges, err := quota.Complete(charges)
	if err != nil {
		return quota.Verdict{}, err
	}
	if ctx.Err() != nil {
		return b.store.Spend(ctx, at, charges) // it says what that means
	}
	for {
		o := &order{charges: charges, from: make([]time.Time, len(charges)), at: at, now: time.Now()}
		busy := b.begin(o)
		_ = b.giveBack(o.back) // what cannot be given back is missing until its window ends
		switch {
		case busy != nil:
			select {
			case <-busy:
				continue
			case <-ctx.Done():
				return b.store.Spend(ctx, at, charges)
			}
		case o.whole:
			return b.store.Spend(ctx, at, charges)
		case len(o.ask) == 0:
			return o.verdict, nil
		}
		return b.ask(ctx, o)
	}
}

// ask asks the store even if the caller does not wait: what it would have brought
// is for others too.
func (b *Blocks) ask(ctx context.Context, o *order) (quota.Verdict, error) {
	ctx, done := patient(ctx)
	defer done()
	v, err := b.store.Spend(ctx, o.at, o.ask)
	return b.end(o, v, err)
}

// patient is the context as it would be if its caller waited to its deadline. A
// store that is left in the middle may have spent what nobody knows to give back.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return ctx, func() {}
	}
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(context.WithoutCancel(ctx), end)
	}
	return context.WithoutCancel(ctx), func() {}
}

// An order is one caller's charges on their way.
type order struct {
	charges []quota.Charge
	from    []time.Time // the ends of the windows that blocks gave of
	at, now time.Time
	whole   bool           // the store is to decide by itself
	ask     []quota.Charge // what the store is asked for
	of      []int          // which charge each of them is for
	back    []quota.Return // what was held of windows that have ended by our clock
	verdict quota.Verdict  // if nothing is asked
}

// begin decides from what is held, or marks the blocks that the caller is to ask
// for. It returns a channel to wait at if another one asks already.
func (b *Blocks) begin(o *order) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || !divisible(o.charges) {
		o.whole = true
		return nil
	}
	var lacking []int
	for i, c := range o.charges {
		k := b.block(c)
		if k.lapsed(o.at) {
			o.back = append(o.back, k.rest()...)
			k.left = 0
		}
		switch {
		case k.left >= c.Cost:
		case o.now.Before(k.full) && o.at.Before(k.last.Reset):
			o.refuse(i, b)
			return nil
		case k.busy != nil:
			return k.busy
		default:
			lacking = append(lacking, i)
		}
	}
	for i, c := range o.charges {
		k := b.blocks[c.Name()]
		if len(lacking) > 0 && lacking[0] == i {
			lacking = lacking[1:]
			o.ask, o.of = append(o.ask, k.wanted(c, o.now)), append(o.of, i)
			k.busy = make(chan struct{})
			continue
		}
		k.left -= c.Cost
		o.from[i] = k.last.Reset
	}
	if len(o.ask) == 0 {
		o.allow(b)
	}
	return nil
}

// end puts what the store gave into the blocks, and wakes who waits for them.
func (b *Blocks) end(o *order, v quota.Verdict, err error) (quota.Verdict, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for j, i := range o.of {
		c := o.charges[i]
		k := b.block(c)
		if k.busy != nil {
			close(k.busy)
			k.busy = nil
		}
		if err != nil {
			continue
		}
		g := v.Grips[j]
		if !k.last.Reset.Equal(g.Reset) {
			k.left, k.full = 0, time.Time{} // of a window that is over
		}
		k.last = g.Decision
		switch {
		case v.Allowed:
			k.left, k.filled = k.left+g.Given-c.Cost, o.now
		case !g.Allowed && g.Remaining == 0:
			k.full = o.now.Add(blockRefusal)
		}
	}
	if err != nil || !v.Allowed {
		b.putBack(o)
	}
	switch {
	case err != nil:
		return quota.Verdict{}, err
	case v.Allowed:
		o.allow(b)
	default:
		o.refuse(o.of[v.Full], b)
		for j, i := range o.of {
			o.verdict.Grips[i].Allowed = v.Grips[j].Allowed
		}
	}
	return o.verdict, nil
}

// putBack puts back what was taken out of blocks for charges that were not made.
func (b *Blocks) putBack(o *order) {
	for i, c := range o.charges {
		k := b.blocks[c.Name()]
		if !o.from[i].IsZero() && k != nil && k.last.Reset.Equal(o.from[i]) {
			k.left += c.Cost
		}
	}
}

func (o *order) allow(b *Blocks) {
	o.verdict = quota.Verdict{Allowed: true, Grips: b.grips(o.charges)}
	for i, c := range o.charges {
		o.verdict.Grips[i].Given, o.verdict.Grips[i].Allowed = c.Cost, true
	}
}

func (o *order) refuse(full int, b *Blocks) {
	o.verdict = quota.Verdict{Full: full, Grips: b.grips(o.charges)}
	for i := range o.charges {
		o.verdict.Grips[i].Allowed = i != full
	}
}

// grips says how the buckets are, as far as that is known here.
func (b *Blocks) grips(charges []quota.Charge) []quota.Grip {
	out := make([]quota.Grip, len(charges))
	for i, c := range charges {
		out[i].Decision = quota.Decision{Limit: c.Max, Remaining: c.Max}
		if k := b.blocks[c.Name()]; k != nil && !k.last.Reset.IsZero() {
			out[i].Decision = k.last
			out[i].Remaining += k.left
		}
	}
	return out
}

func (b *Blocks) block(c quota.Charge) *block {
	k, ok := b.blocks[c.Name()]
	if !ok {
		k = &block{charge: c}
		b.blocks[c.Name()] = k
	}
	return k
}

// lapsed reports whether the window that the block is of has ended.
func (k *block) lapsed(at time.Time) bool { return !at.Before(k.last.Reset) }

// rest is what to give back of a block that has lapsed. Windows of ours go by the
// store's clock, by which they may go on.
func (k *block) rest() []quota.Return {
	if k.left < 1 || k.charge.Theirs {
		return nil
	}
	return []quota.Return{{Charge: k.charge, Given: k.left, Reset: k.last.Reset}}
}

// wanted is the charge with what is to be held beside. Who comes back soon is
// given twice as much each time, who stays away nothing.
func (k *block) wanted(c quota.Charge, now time.Time) quota.Charge {
	switch since := now.Sub(k.filled); {
	case since < blockAge:
		k.size = min(2*k.size+1, c.Max/blockPart)
	case since > 2*blockAge:
		k.size = 0
	}
	k.filled = now
	c.Least = c.Cost
	c.Cost += max(k.size-k.left, 0)
	return c
}

// divisible reports whether all charges can be given out of blocks.
func divisible(charges []quota.Charge) bool {
	for _, c := range charges {
		if c.Max < 2*blockPart || c.Share != 100 || c.Least != c.Cost || c.Cost > c.Max/blockPart {
			return false
		}
	}
	return true
}
