package quotas_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/app/quotas"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// A counter is a store that does what the domain says, counts how often it was
// asked, takes its time and can be away.
type counter struct {
	mu      sync.Mutex
	buckets map[quota.Name]quota.Bucket
	asked   int
	away    bool
	slow    time.Duration
}

func newCounter() *counter { return &counter{buckets: map[quota.Name]quota.Bucket{}} }

func (c *counter) enter(ctx context.Context) error {
	time.Sleep(c.slow)
	c.mu.Lock()
	c.asked++
	if c.away || ctx.Err() != nil {
		c.mu.Unlock()
		return fault.New(fault.Unavailable, "away").Because(ctx.Err())
	}
	return nil
}

func (c *counter) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	if err := c.enter(ctx); err != nil {
		return quota.Verdict{}, err
	}
	defer c.mu.Unlock()
	whole, err := quota.Complete(charges)
	if err != nil {
		return quota.Verdict{}, err
	}
	buckets, now := make([]quota.Bucket, len(whole)), make([]time.Time, len(whole))
	for i, w := range whole {
		buckets[i], now[i] = c.buckets[w.Name()], at
	}
	after, v := quota.Spend(whole, buckets, now)
	for i, w := range whole {
		c.buckets[w.Name()] = after[i]
	}
	return v, nil
}

func (c *counter) Refund(ctx context.Context, returns []quota.Return) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	for _, r := range returns {
		c.buckets[r.Charge.Name()] = c.buckets[r.Charge.Name()].Returned(r)
	}
	return nil
}

func (c *counter) Note(ctx context.Context, at time.Time, notes []quota.Note) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	for _, n := range notes {
		name := quota.NameOfTheirs(n.Key)
		c.buckets[name] = c.buckets[name].Noted(n, at)
	}
	return nil
}

func (c *counter) used(charge quota.Charge) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buckets[charge.Name()].Used
}

func (c *counter) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func (c *counter) set(away bool) { c.mu.Lock(); c.away = away; c.mu.Unlock() }

// heard is what an observer was told.
type heard struct {
	mu  sync.Mutex
	all []audit.Event
}

func (h *heard) Observe(_ context.Context, e audit.Event) {
	h.mu.Lock()
	h.all = append(h.all, e)
	h.mu.Unlock()
}

func (h *heard) verbs() (verbs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.all {
		verbs = append(verbs, e.Verb)
	}
	return verbs
}

var hourly = quota.Charge{Key: "app:a", Max: 1000, Window: time.Hour}

// allowed makes one charge of each and reports whether it was allowed.
func allowed(t *testing.T, s ports.QuotaStore, charges ...quota.Charge) bool {
	t.Helper()
	v, err := s.Spend(t.Context(), time.Now(), charges)
	if err != nil {
		t.Fatal(err)
	}
	return v.Allowed
}

func TestBlocksSpareMostWaysToTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		second := quota.Charge{Key: "app:a", Max: 500, Window: time.Minute}
		for range 400 {
			if !allowed(t, b, hourly, second) {
				t.Fatal("a call within both limits was refused")
			}
			time.Sleep(time.Millisecond)
		}
		if store.times() > 60 {
			t.Errorf("400 calls asked the store %d times", store.times())
		}
		if got := store.used(hourly) - 400; got < 0 || got > 20 {
			t.Errorf("%d are held, want 20 of 1000 at most", got)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if got := store.used(hourly); got != 400 || store.used(second) != 400 {
			t.Errorf("after the end %d and %d are used, want 400", got, store.used(second))
		}
	})
}

func TestBlocksGiveBackWhatNobodyNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		for range 10 {
			allowed(t, b, hourly)
		}
		if store.used(hourly) == 10 {
			t.Error("nothing was held beside what was needed")
		}
		time.Sleep(1600 * time.Millisecond)
		synctest.Wait()
		if got := store.used(hourly); got != 10 {
			t.Errorf("after one and a half seconds %d are used, want 10", got)
		}
		asked := store.times()
		time.Sleep(time.Minute)
		allowed(t, b, hourly)
		if got := store.used(hourly); got != 11 {
			t.Errorf("a call alone took %d, want 1", got-10)
		}
		if store.times() > asked+1 {
			t.Errorf("in a quiet minute the store was asked %d times", store.times()-asked)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBlocksOfSmallLimitsSharesAndPartsAreTheStoresOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		small, share, part := hourly, hourly, hourly
		small.Max = 99
		share.Share = 50
		part.Cost, part.Least = 5, 1
		for i, c := range []quota.Charge{small, share, part} {
			for range 5 {
				allowed(t, b, c)
			}
			if want := 5 * (i + 1); store.times() != want {
				t.Errorf("charge %d: the store was asked %d times, want %d", i, store.times(), want)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBlocksForgetTheirPartOfAWindowThatXEndsOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		x := quota.Charge{Key: "x", Max: 1000, Window: 15 * time.Minute, Theirs: true}
		for range 5 {
			allowed(t, b, x)
		}
		ends := time.Now().Add(5 * time.Minute)
		if err := b.Note(t.Context(), time.Now(), []quota.Note{{Key: "x", Max: 1000, Used: 999, Reset: ends}}); err != nil {
			t.Fatal(err)
		}
		n := 0
		for allowed(t, b, x) {
			n++
		}
		if n != 1 {
			t.Errorf("of the last call that X has left %d were given", n)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestARefusalInBlocksSaysWhichLimitAndSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		narrow := quota.Charge{Key: "grant:g", Max: 100, Window: time.Hour}
		for range 100 {
			allowed(t, b, narrow)
		}
		for range 50 {
			v, err := b.Spend(t.Context(), time.Now(), []quota.Charge{hourly, narrow})
			if err != nil || v.Allowed || v.Full != 1 || v.Grips[1].Allowed || !v.Grips[0].Allowed || v.Grips[1].Remaining != 0 {
				t.Fatalf("got %+v, %v; want a refusal by the second", v, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if got := store.used(hourly); got != 0 {
			t.Errorf("refusals spent %d", got)
		}
	})
}

// The store takes a while, so that many wait for the same answer.
func TestManyCallersWithBlocksNeverHaveMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		store.slow = 3 * time.Millisecond
		var replicas []*quotas.Blocks
		for range 4 {
			replicas = append(replicas, quotas.NewBlocks(store))
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		given := 0
		for i := range 64 {
			all.Go(func() {
				for range 30 {
					v, err := replicas[i%4].Spend(t.Context(), time.Now(), []quota.Charge{hourly})
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					if v.Allowed {
						given++
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for _, b := range replicas {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if given > 1000 || given < 1000-4*20 || store.used(hourly) != int64(given) {
			t.Errorf("%d of 1000 were given, %d are used", given, store.used(hourly))
		}
		t.Logf("%d given, the store was asked %d times for 1920 calls", given, store.times())
	})
}

func TestWhileTheStoreIsAwayCallsAreRefusedOrCountedHere(t *testing.T) {
	for name, own := range map[string]ports.QuotaStore{"closed": nil, "open": newCounter()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, told := newCounter(), &heard{}
				g := quotas.NewGuard(store, own, told)
				c := quota.Charge{Key: "k", Max: 3, Window: time.Hour}
				allowed(t, g, c)
				store.set(true)
				for i := range 5 {
					v, err := g.Spend(t.Context(), time.Now(), []quota.Charge{c})
					if own == nil {
						wantClosed(t, err)
					} else if err != nil || v.Allowed != (i < 3) {
						t.Errorf("call %d: %+v, %v; want the limit to hold here", i, v, err)
					}
				}
				if err := g.Note(t.Context(), time.Now(), nil); own != nil && err != nil {
					t.Errorf("Note: %v", err)
				}
				if store.times() != 2 {
					t.Errorf("the store was asked %d times, want once before and once after it went", store.times())
				}
				store.set(false)
				time.Sleep(time.Second)
				if !allowed(t, g, c) || store.used(c) != 2 {
					t.Errorf("when it is back, %d are used there, want 2", store.used(c))
				}
				verbs := told.verbs()
				if len(verbs) != 2 || verbs[0] != "quota.store.open" || verbs[1] != "quota.store.close" ||
					told.all[0].Outcome != audit.Failed || told.all[0].Err == nil || told.all[1].Outcome != audit.Done {
					t.Errorf("the observer was told %+v", told.all)
				}
			})
		})
	}
}

func wantClosed(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Unavailable || e.Slug != "quota-store" || e.Wait <= 0 {
		t.Errorf("got error %v, want unavailable with a time to wait", err)
	}
}

func TestACallerWhoDoesNotWaitSaysNothingOfTheStore(t *testing.T) {
	store, told := newCounter(), &heard{}
	g := quotas.NewGuard(store, nil, told)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Spend(ctx, time.Now(), []quota.Charge{hourly}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want cancelled", err)
	}
	if !allowed(t, g, hourly) || len(told.verbs()) != 0 {
		t.Errorf("the observer was told %v", told.verbs())
	}
}

func TestHealthFindsOutThatTheStoreIsAwayOrBack(t *testing.T) {
	store, told := newCounter(), &heard{}
	g := quotas.NewGuard(store, newCounter(), told)
	store.set(true)
	if err := g.Ping(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Ping: got error %v, want unavailable", err)
	}
	store.set(false)
	if err := g.Ping(t.Context()); err != nil {
		t.Errorf("Ping of one that is back: %v", err)
	}
	if got := told.verbs(); len(got) != 2 {
		t.Errorf("the observer was told %v", got)
	}
}
