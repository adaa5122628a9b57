package quotas_test

import (
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/memory"
	"perch/app/quotas"
	"perch/domain/quota"
	"perch/ports"
)

// An x is X, which counts calls in a window of 900, whoever makes them.
type x struct {
	used  int64
	reset time.Time
}

func (x *x) reply() *ports.Reply {
	return &ports.Reply{Status: 200, Windows: []quota.Window{
		{Span: quota.Short, Limit: 900, Remaining: max(900-x.used, 0), Reset: x.reset},
	}}
}

// replicas are services with blocks of one store.
func replicas(t *testing.T, n int, store ports.QuotaStore) (all []*quotas.Service, stop func()) {
	t.Helper()
	var blocks []*quotas.Blocks
	for range n {
		b := quotas.NewBlocks(store)
		blocks, all = append(blocks, b), append(all, quotas.New(b, nil, true, time.Now))
	}
	return all, func() {
		for _, b := range blocks {
			must(t, b.Close())
		}
	}
}

// TestReplicasWithBlocksTellSeldomWhatXCounts: each hears of X what the other made
// out of its block.
func TestReplicasWithBlocksTellSeldomWhatXCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newCounter(), world{t: t}
		all, stop := replicas(t, 2, store)
		x := x{reset: time.Now().Add(10 * time.Minute)}
		for i := range 600 {
			if i == 200 {
				store.asked = 0 // both are warm
			}
			settle, err := all[i%2].Enter(t.Context(), w.caller(0), w.call("getPostsById"))
			must(t, err)
			x.used++
			time.Sleep(time.Millisecond)
			settle(t.Context(), x.reply(), nil)
		}
		if store.times() > 60 {
			t.Errorf("400 calls asked the store %d times", store.times())
		}
		stop()
	})
}

// TestReplicasWithBlocksLeaveOthersTheirCalls: another tool makes one call for each
// of ours.
func TestReplicasWithBlocksLeaveOthersTheirCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newCounter(), world{t: t}
		all, stop := replicas(t, 4, store)
		x := x{reset: time.Now().Add(10 * time.Minute)}
		refused, made := 0, 0
		for i := range 1000 {
			time.Sleep(time.Millisecond)
			settle, err := all[i%4].Enter(t.Context(), w.caller(0), w.call("getPostsById"))
			if err != nil {
				continue
			}
			if made++; x.used >= 900 {
				refused++
			}
			x.used += 2
			settle(t.Context(), x.reply(), nil)
		}
		if refused > 4 || made < 400 {
			t.Errorf("X refused %d of %d calls; the other tool made as many", refused, made)
		}
		stop()
	})
}

func TestBlocksTakeBackWhatXNeverSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, w := newCounter(), world{t: t}
		all, stop := replicas(t, 1, store)
		for range 200 {
			settle, err := all[0].Enter(t.Context(), w.caller(0), w.call("getPostsById"))
			must(t, err)
			settle(t.Context(), &ports.Reply{}, ports.ErrUnsent)
			time.Sleep(time.Millisecond)
		}
		if store.times() > 10 {
			t.Errorf("200 calls that X never saw asked the store %d times", store.times())
		}
		stop()
		for name, b := range store.buckets {
			if b.Used != 0 {
				t.Errorf("in the end %d of %s are used", b.Used, name.Key)
			}
		}
	})
}

// TestBlocksTakeBackNoMoreThanTheyMayHold: the rest goes to the store, as does what
// is of a window that is over.
func TestBlocksTakeBackNoMoreThanTheyMayHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		var back [][]quota.Return
		for range 100 {
			v, err := b.Spend(t.Context(), time.Now(), []quota.Charge{hourly})
			must(t, err)
			back = append(back, v.Returns([]quota.Charge{hourly}))
		}
		for _, r := range back {
			must(t, b.Refund(t.Context(), r))
		}
		if got := store.used(hourly); got > 20 {
			t.Errorf("%d are held of nothing that is used, want 20 of 1000 at most", got)
		}
		time.Sleep(2 * time.Hour)
		allowed(t, b, hourly)
		must(t, b.Refund(t.Context(), back[0]))
		must(t, b.Close())
		if got := store.used(hourly); got != 1 {
			t.Errorf("of the next window %d are used, want 1", got)
		}
	})
}

// TestWhatIsHeldOfAFullWindowIsNotGiven: X says that it is full.
func TestWhatIsHeldOfAFullWindowIsNotGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := quotas.NewBlocks(newCounter())
		c := quota.Charge{Key: "x", Max: 1000, Window: 15 * time.Minute, Theirs: true}
		n := quota.Note{Key: "x", Max: 1000, Used: 1, Reset: time.Now().Add(5 * time.Minute)}
		must(t, b.Note(t.Context(), time.Now(), []quota.Note{n}))
		for range 10 {
			allowed(t, b, c)
		}
		n.Used = 1000
		must(t, b.Note(t.Context(), time.Now(), []quota.Note{n}))
		for range 4 {
			if allowed(t, b, c) {
				t.Error("a call of a full window was let through")
			}
			time.Sleep(time.Second)
		}
		must(t, b.Close())
	})
}

// TestBlocksOfAStoreWhoseClockIsBehindLoseNothing: by ours its window is over from
// its beginning.
func TestBlocksOfAStoreWhoseClockIsBehindLoseNothing(t *testing.T) {
	store := memory.NewQuota()
	b := quotas.NewBlocks(store)
	t.Cleanup(func() { must(t, b.Close()); must(t, store.Close()) })
	given := 0
	for range 2000 {
		v, err := b.Spend(t.Context(), time.Now().Add(2*time.Hour), []quota.Charge{hourly})
		must(t, err)
		if v.Allowed {
			given++
		}
	}
	if given != 1000 {
		t.Errorf("of 1000 calls %d were given", given)
	}
}
