package memory

import (
	"context"
	"errors"
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
// limit.
type Quota struct {
	mu     sync.Mutex
	limits map[quota.Limit]*counter
	closed bool
}

var _ ports.QuotaStore = (*Quota)(nil)

type counter struct {
	mu    sync.Mutex // go-limiter reads its clock before it locks: a take could be counted in the window after its own
	store limiter.Store
	users int       // takes that are under way
	used  time.Time // when one last ended
}

// NewQuota returns a store that has counted nothing.
func NewQuota() *Quota { return &Quota{limits: map[quota.Limit]*counter{}} }

func (q *Quota) Take(ctx context.Context, key string, limit quota.Limit) (quota.Decision, error) {
	if err := ended(ctx); err != nil {
		return quota.Decision{}, err
	}
	if limit.Max < 1 || limit.Window <= 0 {
		// go-limiter would put its own defaults in their place.
		_, d := limit.Decide(quota.Bucket{}, moment(time.Now()))
		return d, nil
	}
	c, err := q.borrow(limit)
	if err != nil {
		return quota.Decision{}, err
	}
	defer q.giveBack(c)
	c.mu.Lock()
	_, remaining, reset, ok, err := c.store.Take(ctx, key)
	c.mu.Unlock()
	if err != nil {
		return quota.Decision{}, unavailable(err)
	}
	// Rounded up: a window must not seem to end before it does.
	end := time.Unix(0, whole(reset)).Add(time.Microsecond - 1)
	return quota.Decision{Allowed: ok, Limit: limit.Max, Remaining: whole(remaining), Reset: moment(end)}, nil
}

// Close ends all counting. Take fails afterwards.
func (q *Quota) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	var errs []error
	for _, c := range q.limits {
		errs = append(errs, c.store.Close(context.Background()))
	}
	clear(q.limits)
	return errors.Join(errs...)
}

func (q *Quota) borrow(limit quota.Limit) (*counter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, unavailable(errClosed)
	}
	c, ok := q.limits[limit]
	if !ok {
		if len(q.limits) >= maxLimits {
			q.forget(time.Now())
		}
		if len(q.limits) >= maxLimits {
			return nil, unavailable(errors.New("more different limits are in use than can be counted"))
		}
		store, err := memorystore.New(policy(limit))
		if err != nil {
			return nil, unavailable(err)
		}
		c = &counter{store: store}
		q.limits[limit] = c
	}
	c.users++
	return c, nil
}

func (q *Quota) giveBack(c *counter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.users--
	c.used = time.Now()
}

// forget closes the counters whose windows have all ended.
func (q *Quota) forget(now time.Time) {
	maps.DeleteFunc(q.limits, func(limit quota.Limit, c *counter) bool {
		if c.users > 0 || now.Sub(c.used) < limit.Window {
			return false
		}
		_ = c.store.Close(context.Background()) // it only frees memory and cannot fail
		return true
	})
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
