package memory

import (
	"context"
	"errors"
	"hash/maphash"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/sethvargo/go-limiter"
	"github.com/sethvargo/go-limiter/memorystore"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// maxLimits bounds how many different limits count at one time. Each has a
// store and a goroutine of its own.
const maxLimits = 1000

// Quota is a ports.QuotaStore over go-limiter, with one of its stores for each
// limit of ours, and a map for X's windows. It does one thing at a time: that is
// what makes several charges one.
type Quota struct {
	mu     sync.Mutex
	limits map[quota.Limit]*counter
	theirs map[string]quota.Bucket
	swept  time.Time // when theirs was last
	closed bool

	seed maphash.Seed // so that nobody can choose with whom he is counted
	most int          // of a crowd that are counted each by itself
}

var _ ports.QuotaStore = (*Quota)(nil)

type counter struct {
	store  limiter.Store
	used   time.Time
	crowds map[string]*census // by kind
}

// NewQuota returns a store that has counted nothing.
func NewQuota() *Quota {
	return &Quota{
		limits: map[quota.Limit]*counter{}, theirs: map[string]quota.Bucket{}, seed: maphash.MakeSeed(), most: mostOfCrowd,
	}
}

func (q *Quota) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	charges, err := quota.Complete(charges)
	if err != nil {
		return quota.Verdict{}, err
	}
	if err := q.enter(ctx); err != nil {
		return quota.Verdict{}, err
	}
	defer q.mu.Unlock()
	buckets, now := make([]quota.Bucket, len(charges)), make([]time.Time, len(charges))
	for i, c := range charges {
		if now[i] = at; c.Theirs {
			buckets[i] = q.theirs[c.Key]
			continue
		}
		now[i] = time.Now()
		if charges[i], err = q.crowded(c); err != nil {
			return quota.Verdict{}, err
		}
		if buckets[i], err = q.look(ctx, charges[i]); err != nil {
			return quota.Verdict{}, err
		}
	}
	after, v := quota.Spend(charges, buckets, now)
	for i, c := range charges {
		g := &v.Grips[i]
		g.Reset = moment(g.Reset)
		if v.Allowed && c.Theirs {
			after[i].Reset = g.Reset
			q.theirs[c.Key] = after[i]
		} else if v.Allowed {
			err = errors.Join(err, q.add(ctx, c, -g.Given))
		}
	}
	q.sweep(at)
	return v, err
}

func (q *Quota) Refund(ctx context.Context, returns []quota.Return) error {
	if err := q.enter(ctx); err != nil {
		return err
	}
	defer q.mu.Unlock()
	for _, r := range returns {
		if r.Charge.Theirs {
			if b, ok := q.theirs[r.Charge.Key]; ok {
				q.theirs[r.Charge.Key] = b.Returned(r)
			}
			continue
		}
		c, err := q.crowded(r.Charge)
		if err != nil {
			return err
		}
		r.Charge = c
		b, err := q.look(ctx, r.Charge)
		if err != nil {
			return err
		}
		if err := q.add(ctx, r.Charge, b.Used-b.Returned(r).Used); err != nil {
			return err
		}
	}
	return nil
}

func (q *Quota) Note(ctx context.Context, at time.Time, notes []quota.Note) error {
	if err := q.enter(ctx); err != nil {
		return err
	}
	defer q.mu.Unlock()
	for _, n := range quota.Believable(notes, at) {
		n.Reset = moment(n.Reset)
		q.theirs[n.Key] = q.theirs[n.Key].Noted(n, at)
	}
	q.sweep(at)
	return nil
}

// Close ends all counting. What is asked afterwards fails.
func (q *Quota) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	var errs []error
	for _, c := range q.limits {
		errs = append(errs, c.store.Close(context.Background()))
	}
	clear(q.limits)
	clear(q.theirs)
	return errors.Join(errs...)
}

// enter locks the store unless nothing can be done in it.
func (q *Quota) enter(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return unavailable(errClosed)
	}
	return nil
}

// look returns the bucket of ours. go-limiter says when a window ends only to
// whoever takes, so that is done and undone.
func (q *Quota) look(ctx context.Context, c quota.Charge) (quota.Bucket, error) {
	if c.Max < 1 || c.Window <= 0 {
		return quota.Bucket{}, nil // go-limiter would put its own defaults in their place
	}
	n, err := q.counter(quota.Limit{Max: c.Max, Window: c.Window})
	if err != nil {
		return quota.Bucket{}, err
	}
	tokens, remaining, reset, ok, err := n.store.Take(ctx, c.Key)
	if err != nil {
		return quota.Bucket{}, unavailable(err)
	}
	if ok {
		remaining++
		err = n.store.Burst(ctx, c.Key, 1)
	}
	// Rounded up: a window must not seem to end before it does.
	end := moment(time.Unix(0, whole(reset)).Add(time.Microsecond - 1))
	return quota.Bucket{Used: whole(tokens) - whole(remaining), Reset: end}, err
}

// add gives the bucket of ours n calls, or takes them if n is negative: tokens
// are counted modulo 2^64.
func (q *Quota) add(ctx context.Context, c quota.Charge, n int64) error {
	store, ok := q.limits[quota.Limit{Max: c.Max, Window: c.Window}]
	if !ok || n == 0 {
		return nil
	}
	return store.store.Burst(ctx, c.Key, uint64(n)) // #nosec G115 -- see above
}

func (q *Quota) counter(limit quota.Limit) (*counter, error) {
	now := time.Now()
	c, ok := q.limits[limit]
	if !ok {
		if len(q.limits) >= maxLimits {
			q.forget(now)
		}
		if len(q.limits) >= maxLimits {
			return nil, unavailable(errors.New("more different limits are in use than can be counted"))
		}
		store, err := memorystore.New(policy(limit))
		if err != nil {
			return nil, unavailable(err)
		}
		c = &counter{store: store, crowds: map[string]*census{}}
		q.limits[limit] = c
	}
	c.used = now
	return c, nil
}

// forget closes the counters whose windows have all ended.
func (q *Quota) forget(now time.Time) {
	maps.DeleteFunc(q.limits, func(limit quota.Limit, c *counter) bool {
		if now.Sub(c.used) < limit.Window {
			return false
		}
		_ = c.store.Close(context.Background()) // it only frees memory and cannot fail
		return true
	})
}

// memoryOfX is for how long after a window's end it is remembered what X said
// its maximum is.
const memoryOfX = 24 * time.Hour

// sweep forgets X's windows that ended long ago, once in a while.
func (q *Quota) sweep(at time.Time) {
	if d := at.Sub(q.swept); d >= 0 && d < time.Minute {
		return
	}
	q.swept = at
	maps.DeleteFunc(q.theirs, func(_ string, b quota.Bucket) bool { return at.Sub(b.Reset) > memoryOfX })
}

// policy makes the sweep wait until a window has surely ended: swept earlier,
// its count would start anew.
func policy(limit quota.Limit) *memorystore.Config {
	sweep := max(limit.Window, time.Minute)
	return &memorystore.Config{
		Tokens: uint64(limit.Max), Interval: limit.Window, // #nosec G115 -- positive
		SweepInterval: min(sweep, time.Hour), SweepMinTTL: sweep + time.Minute, InitialAlloc: 16,
	}
}

func unavailable(err error) error {
	return fault.New(fault.Unavailable, "calls cannot be counted at the moment; try again").Because(err)
}

func whole(n uint64) int64 { return int64(min(n, math.MaxInt64)) } // #nosec G115 -- bounded
