package quotas

import (
	"context"
	"time"

	"perch/domain/quota"
)

// Refund gives back to the store: it is for calls that never reached X, which are
// few.
func (b *Blocks) Refund(ctx context.Context, returns []quota.Return) error {
	return b.store.Refund(ctx, returns)
}

// Note forgets what is held of windows that X has said another end of.
func (b *Blocks) Note(ctx context.Context, at time.Time, notes []quota.Note) error {
	if err := b.store.Note(ctx, at, notes); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range notes {
		if k := b.blocks[quota.NameOfTheirs(n.Key)]; k != nil && k.busy == nil && !k.last.Reset.Equal(n.Reset) {
			k.left, k.last, k.full = 0, quota.Decision{}, time.Time{}
		}
	}
	return nil
}

// Close gives back what is held. Calls go to the store afterwards.
func (b *Blocks) Close() error {
	b.stop()
	b.ended.Wait()
	b.mu.Lock()
	b.closed = true
	back := b.collect(time.Now(), 0)
	b.mu.Unlock()
	return b.giveBack(back)
}

func (b *Blocks) giveBack(back []quota.Return) error {
	if len(back) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*blockAge)
	defer cancel()
	return b.store.Refund(ctx, back)
}

// watch gives back what has been held for too long.
func (b *Blocks) watch(ctx context.Context) {
	tick := time.NewTicker(blockAge / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			b.mu.Lock()
			back := b.collect(now, blockAge)
			b.mu.Unlock()
			_ = b.giveBack(back) // what cannot be given back is missing until its window ends
		}
	}
}

// collect takes out of the blocks what has been there for the time, and forgets
// blocks that nobody asks for.
func (b *Blocks) collect(now time.Time, age time.Duration) (back []quota.Return) {
	for name, k := range b.blocks {
		since := now.Sub(k.filled)
		if since < age {
			continue
		}
		if k.left > 0 {
			back = append(back, quota.Return{Charge: k.charge, Given: k.left, Reset: k.last.Reset})
			k.last.Remaining += k.left
			k.left = 0
		}
		if k.busy == nil && since > 3*blockAge {
			delete(b.blocks, name)
		}
	}
	return back
}
