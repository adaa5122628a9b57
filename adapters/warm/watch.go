// Package warm answers reads of the hot path from what this replica has read
// before, as long as it knows that nothing was taken away since. What is kept is
// good for as long as the store's count of changes (ports.Changes) is looked at:
// when a look is missing for a while, everything is read from the store again.
//
// Only what lets somebody in is kept. That something is not there, has ended or
// is suspended is asked of the store each time.
package warm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"perch/ports"
)

// Within trust of a look that found no change, what was read before it holds.
// It must cover a look that fails and the one before, so that a single slow one
// does not send everybody to the store. What is taken away elsewhere is let in
// here for trust at most, whatever becomes of the network and of the store.
const (
	trust   = 1500 * time.Millisecond
	every   = 500 * time.Millisecond // between looks
	look    = time.Second            // what one may take
	idle    = time.Minute            // without reads; then nobody looks
	oldest  = 30 * time.Second       // what is kept for longer is read again
	brief   = 400 * time.Millisecond // what a read may take while looks fail
	again   = 500 * time.Millisecond // after waiting for changes has failed
	longest = 30 * time.Second       // between two such tries
)

// A Watch looks whether what was read from the stores of one backend still
// holds. Its stores are made before Run is called.
type Watch struct {
	changes ports.Changes
	shelves []interface{ compare(ports.Counts) }

	start   time.Time
	trusted atomic.Int64  // time on our clock until which what is kept holds
	asked   atomic.Int64  // time on our clock of a read, to the second
	failing atomic.Bool   // the last look found no answer
	looking atomic.Int64  // time on our clock since which a look is under way; 0: none is
	wake    chan struct{} // somebody reads again
	told    chan struct{} // there may have been a change
}

// New returns a watch over the changes. Until it runs, nothing is kept.
func New(c ports.Changes) *Watch {
	return &Watch{
		changes: c, start: time.Now(), wake: make(chan struct{}, 1), told: make(chan struct{}, 1),
	}
}

// now is the time on a clock of our own, which nobody sets.
func (w *Watch) now() time.Duration { return time.Since(w.start) }

// Run looks until ctx ends, and rests while nobody reads.
func (w *Watch) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			w.attend(ctx)
		}
	}
}

// attend looks until nobody has read for a while.
func (w *Watch) attend(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	listening.Go(func() { w.listen(ctx) })
	for ctx.Err() == nil && w.now()-time.Duration(w.asked.Load()) < idle {
		began := w.now()
		w.look(ctx, began)
		select {
		case <-ctx.Done():
		case <-w.told:
		case <-time.After(every - (w.now() - began)):
		}
	}
}

// look compares the counts with those of the last look. Only when what has
// changed is off the shelves is the rest trusted on.
func (w *Watch) look(ctx context.Context, began time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, look)
	defer cancel()
	w.looking.Store(max(int64(began), 1))
	defer w.looking.Store(0)
	counts, err := w.changes.Count(ctx)
	w.failing.Store(err != nil)
	if err != nil {
		return
	}
	for _, s := range w.shelves {
		s.compare(counts)
	}
	w.trusted.Store(int64(began + trust))
}

// listen has a look made whenever there may have been a change. It only makes
// looks sooner: nothing depends on it.
func (w *Watch) listen(ctx context.Context) {
	wait := again
	for ctx.Err() == nil {
		began := w.now()
		err := w.changes.Wait(ctx)
		if err == nil {
			signal(w.told)
			continue
		}
		if w.now()-began > wait {
			wait = again // it had worked
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, longest)
	}
}

// trusts reports whether what is kept holds. Whoever asks is somebody who reads.
func (w *Watch) trusts() bool {
	now := int64(w.now())
	if now-w.asked.Load() >= int64(time.Second) {
		w.asked.Store(now)
	}
	if now < w.trusted.Load() {
		return true
	}
	signal(w.wake)
	return false
}

// limited bounds a read when trust has run out because looks find no answer: who
// was let in until now should not wait long to hear that the store is away.
func (w *Watch) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	now, since := int64(w.now()), w.looking.Load()
	if now >= w.trusted.Load() && (w.failing.Load() || since > 0 && now-since >= int64(brief)) {
		return context.WithTimeout(ctx, brief)
	}
	return ctx, func() {}
}

// signal leaves a word for whoever waits on c, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
