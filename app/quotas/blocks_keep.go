package quotas

import (
	"context"
	"time"

	"perch/domain/quota"
)

// Refund puts what it can back into blocks of the same windows, up to what may be
// held, and gives the rest back to the store: all of a window that is full, of which
// X may have said so.
func (b *Blocks) Refund(ctx context.Context, returns []quota.Return) error {
	if rest := b.keep(returns); len(rest) > 0 {
		return b.store.Refund(ctx, rest)
	}
	return nil
}

// keep returns what it does not keep.
func (b *Blocks) keep(returns []quota.Return) (rest []quota.Return) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range returns {
		k := b.blocks[r.Charge.Name()]
		if b.closed || k == nil || !k.last.Reset.Equal(r.Reset) || k.last.Remaining == 0 ||
			k.left+r.Given > k.charge.Max/blockPart {
			rest = append(rest, r)
			continue
		}
		k.left += max(r.Given, 0)
	}
	return rest
}

// Note tells the store what it may not know, and forgets what is held of windows
// that X has said another end of.
func (b *Blocks) Note(ctx context.Context, at time.Time, notes []quota.Note) error {
	if notes = b.news(notes); len(notes) == 0 {
		return nil
	}
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

// news are the notes that the store is to have, as it is to have them: what is
// held here X cannot have seen. The blocks go by them from now on.
func (b *Blocks) news(notes []quota.Note) (news []quota.Note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range notes {
		k := b.blocks[quota.NameOfTheirs(n.Key)]
		if k == nil || !k.last.Reset.Equal(n.Reset) || k.last.Limit != n.Max {
			news = append(news, n)
			continue
		}
		if n.Used <= k.made()+lag(n) {
			continue // others made these calls out of what they hold
		}
		k.left = min(k.left, max(n.Max-n.Used, 0))
		n.Used += k.left
		k.last.Remaining = min(k.last.Remaining, max(n.Max-n.Used, 0))
		news = append(news, n)
	}
	return news
}

// made is how many calls of the window were made, as far as that is known here.
func (k *block) made() int64 { return k.last.Limit - k.last.Remaining - k.left }

// lag is how many calls more than are known X may have counted before the store is
// told: a few, and fewer the fuller the window is.
func lag(n quota.Note) int64 {
	return max(min(blockLag, n.Max/blockPart, (n.Max-n.Used)/10), 0)
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
