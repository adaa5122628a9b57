package clients

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
)

// An address may send a few wrong keys a minute. From then on a key that this
// replica has not seen to be right waits for its turn before it is looked at,
// and if it is wrong the answer says when to come back. Nobody is refused unseen:
// behind one address may be many callers, and most of them are right.
const (
	freely   = 10              // wrong keys that an address has before it waits
	forgiven = 6 * time.Second // after which one of them is forgotten
	longest  = 2 * time.Minute // after which all are, however many there were
	turns    = 50 * time.Millisecond
	patience = time.Second // what a turn is waited for at most
)

// How much is remembered. What was not seen for long is forgotten first.
const (
	mostAddresses = 10_000
	mostRight     = 20_000
)

// wrongs counts wrong keys by address.
type wrongs struct {
	mu    sync.Mutex
	tally *recent[netip.Prefix, tally]
	right *recent[string, struct{}] // digests of keys that were right when they last came
}

type tally struct {
	until time.Time // when the last of the wrong keys will be forgotten
	turn  time.Time // the last that was given
}

func newWrongs() *wrongs {
	return &wrongs{
		tally: newRecent[netip.Prefix, tally](mostAddresses), right: newRecent[string, struct{}](mostRight),
	}
}

// over is how long it takes until the address has wrong keys free again.
func (t tally) over(now time.Time) time.Duration { return t.until.Add(-freely * forgiven).Sub(now) }

// await waits for the turn of whoever sends the key with the digest, if they
// have to. It ends early only with the context.
func (w *wrongs) await(ctx context.Context, from netip.Addr, digest string) error {
	wait := w.wait(client.Household(from), digest, time.Now())
	if wait <= 0 {
		return nil
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-ctx.Done():
		return ended(ctx)
	case <-turn.C:
		return nil
	}
}

func ended(ctx context.Context) error {
	return fault.New(fault.Unavailable, "the request ended before it was served").Because(ctx.Err())
}

// known reports whether the key with the digest was right when it last came.
func (w *wrongs) known(digest string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, right := w.right.get(digest)
	return right
}

func (w *wrongs) wait(from netip.Prefix, digest string, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, _ := w.tally.get(from)
	if _, right := w.right.get(digest); right || t.over(now) <= 0 {
		return 0
	}
	t.turn = later(t.turn, now).Add(turns)
	if last := now.Add(patience); t.turn.After(last) {
		t.turn = last
	}
	w.tally.put(from, t)
	return t.turn.Sub(now)
}

// wrong counts a wrong key and returns after how long the address should come
// back; zero if it has not sent too many.
func (w *wrongs) wrong(from netip.Addr, digest string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.right.drop(digest)
	now, at := time.Now(), client.Household(from)
	t, _ := w.tally.get(at)
	t.until = later(t.until, now).Add(forgiven)
	if last := now.Add(longest); t.until.After(last) {
		t.until = last
	}
	w.tally.put(at, t)
	return max(t.over(now), 0)
}

// good remembers that the key is right.
func (w *wrongs) good(digest string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, right := w.right.get(digest); !right {
		w.right.put(digest, struct{}{})
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// recent remembers what was last put or got: n things at least, and at most 2n.
type recent[K comparable, V any] struct {
	n            int
	fresh, stale map[K]V
}

func newRecent[K comparable, V any](n int) *recent[K, V] {
	return &recent[K, V]{n: n, fresh: map[K]V{}}
}

func (r *recent[K, V]) get(key K) (V, bool) {
	v, ok := r.fresh[key]
	if !ok {
		if v, ok = r.stale[key]; ok {
			r.put(key, v)
		}
	}
	return v, ok
}

func (r *recent[K, V]) put(key K, v V) {
	if _, ok := r.fresh[key]; !ok && len(r.fresh) >= r.n {
		r.fresh, r.stale = map[K]V{}, r.fresh
	}
	r.fresh[key] = v
}

func (r *recent[K, V]) drop(key K) {
	delete(r.fresh, key)
	delete(r.stale, key)
}
