package quotas_test

import (
	"testing"
	"testing/synctest"
	"time"

	"perch/app/quotas"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// TestWhatIsHeldOfAnEndedWindowIsNotGivenInTheNext: each window gives what it has.
func TestWhatIsHeldOfAnEndedWindowIsNotGivenInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		c := quota.Charge{Key: "app:a", Max: 1000, Window: 2 * time.Second}
		made := int64(0)
		for end := time.Now().Add(c.Window); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if allowed(t, b, c) {
				made++
			}
		}
		if held := store.used(c) - made; held < 1 {
			t.Fatalf("%d are held when the window ends", held)
		}
		given := 0
		for allowed(t, b, c) {
			given++
		}
		if given != 1000 {
			t.Errorf("the next window gave %d of 1000", given)
		}
		must(t, b.Close())
	})
}

// TestWhatAnotherLimitRefusesIsPutBackIntoTheBlock, and what the store could not say.
func TestWhatAnotherLimitRefusesIsPutBackIntoTheBlock(t *testing.T) {
	for name, away := range map[string]bool{"the other limit is reached": false, "the store is away": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newCounter()
				b := quotas.NewBlocks(store)
				full := quota.Charge{Key: "grant:b", Max: 200, Window: time.Hour}
				all := full
				all.Cost = full.Max
				allowed(t, store, all)
				for range 10 {
					allowed(t, b, hourly)
				}
				store.set(away)
				v, err := b.Spend(t.Context(), time.Now(), []quota.Charge{hourly, full})
				store.set(false)
				if v.Allowed || (err != nil) != away {
					t.Fatalf("%+v, %v", v, err)
				}
				must(t, b.Close())
				if used := store.used(hourly); used != 10 {
					t.Errorf("of 10 calls %d are counted", used)
				}
			})
		})
	}
}

// under lets two calls of the caller through, which stay under way, and returns how
// to end them before X.
func (w *world) under(t *testing.T, who ports.Caller, action string) (unsent func()) {
	t.Helper()
	var open []ports.Settle
	for range 2 {
		settle, err := w.quotas[0].Enter(t.Context(), who, w.call(action))
		must(t, err)
		open = append(open, settle)
	}
	return func() {
		for _, settle := range open {
			settle(t.Context(), &ports.Reply{}, fault.New(fault.Unavailable, "").Because(ports.ErrUnsent))
		}
	}
}

// TestCallsUnderWayAreCountedBesideWhatXSays: X has not seen them yet.
func TestCallsUnderWayAreCountedBesideWhatXSays(t *testing.T) {
	short := func(remaining int64, reset time.Duration) func(*world) []quota.Window {
		return func(w *world) []quota.Window { return []quota.Window{w.says(quota.Short, 100, remaining, reset)} }
	}
	for name, v := range map[string]struct {
		status      int
		says        func(*world) []quota.Window
		later       time.Duration // X answers
		left, after int           // while they are under way, and when they never reached X
	}{
		"X counts others' calls":       {201, short(40, 300*time.Second), 0, 38, 40},
		"X is in the next window":      {201, short(99, 900*time.Second), 20 * time.Second, 97, 97},
		"X refuses":                    {429, short(0, 280*time.Second), 0, 0, 0},
		"X refuses and does not say":   {429, nil, 0, 0, 0},
		"X has counted what we let by": {201, short(97, 300*time.Second), 0, 96, 98},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			who := w.caller(0)
			w.answer(t, who, posts, ports.Reply{Status: 201, Windows: short(100, 300*time.Second)(w)}, nil)
			if v.later > 0 {
				w.advance(290 * time.Second)
			}
			unsent := w.under(t, who, posts)
			settle, err := w.quotas[0].Enter(t.Context(), who, w.call(posts))
			must(t, err)
			w.advance(v.later)
			reply := ports.Reply{Status: v.status}
			if v.says != nil {
				reply.Windows = v.says(w)
			}
			settle(t.Context(), &reply, nil)
			if n := w.left(t, who, posts, 200); n != v.left {
				t.Errorf("%d are left, want %d", n, v.left)
			}
			unsent()
			if n := w.left(t, who, posts, 200); n != v.after {
				t.Errorf("when the others were not sent %d are left, want %d", n, v.after)
			}
		})
	}
}

// TestAnAnswerThatWasOvertakenCountsNothingTwice: fifty calls have come and gone and
// five were counted by X when the first is answered.
func TestAnAnswerThatWasOvertakenCountsNothingTwice(t *testing.T) {
	w := newWorld(t, 1, 2, nil)
	who, used := w.caller(0), int64(0)
	settle, err := w.quotas[0].Enter(t.Context(), who, w.call(posts))
	must(t, err)
	reply := func() *ports.Reply {
		used++
		return &ports.Reply{Status: 201, Windows: []quota.Window{w.says(quota.Short, 100, 100-used, 900*time.Second)}}
	}
	for range 50 { // by another replica
		next, err := w.quotas[1].Enter(t.Context(), who, w.call(posts))
		must(t, err)
		next(t.Context(), reply(), nil)
	}
	for range 5 {
		_, err := w.quotas[0].Enter(t.Context(), who, w.call(posts))
		must(t, err)
		used++
	}
	settle(t.Context(), reply(), nil)
	if n := w.left(t, who, posts, 200); n != 44 {
		t.Errorf("after 56 of 100 calls %d are left", n)
	}
}

// TestWhatIsRefusedAsAWindowTurnsUsesUpNothing of our limits.
func TestWhatIsRefusedAsAWindowTurnsUsesUpNothing(t *testing.T) {
	w := newWorld(t, 1, 1, nil, "grant:10/h")
	w.answer(t, w.caller(0), posts, ports.Reply{Status: 201, Windows: []quota.Window{
		w.says(quota.Short, 100, 99, 300*time.Second),
	}}, nil)
	w.advance(300 * time.Second)
	for range 20 {
		if _, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts)); !isLimit(err, "x-rate-limit") {
			t.Fatal(err)
		}
	}
	if n := w.left(t, w.caller(0), unpublished, 20); n != 9 {
		t.Errorf("%d of 10 calls are left after one", n)
	}
}

// TestWhatXCountsOfCallsUnderWayIsNoNews: the store is not told.
func TestWhatXCountsOfCallsUnderWayIsNoNews(t *testing.T) {
	store := newCounter()
	w := newWorld(t, 1, 1, store)
	says := func(used int64) *ports.Reply {
		return &ports.Reply{Status: 201, Windows: []quota.Window{w.says(quota.Short, 100, 100-used, 900*time.Second)}}
	}
	w.answer(t, w.caller(0), posts, *says(1), nil)
	first, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
	must(t, err)
	w.under(t, w.caller(0), posts)
	asked := store.times()
	first(t.Context(), says(4), nil)
	if n := store.times() - asked; n != 0 {
		t.Errorf("the store was told %d times", n)
	}
}

// TestBlocksThatAreClosedHoldNothing: there is nobody left to give it back.
func TestBlocksThatAreClosedHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounter()
		b := quotas.NewBlocks(store)
		must(t, b.Close())
		for range 10 {
			allowed(t, b, hourly)
		}
		if used := store.used(hourly); used != 10 {
			t.Errorf("of 10 calls %d are counted", used)
		}
	})
}

// TestARefusalIsNotRepeatedInTheNextWindow, however short a time ago it was.
func TestARefusalIsNotRepeatedInTheNextWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := quotas.NewBlocks(newCounter())
		c := quota.Charge{Key: "app:a", Max: 1000, Window: 2 * time.Second}
		allowed(t, b, c)
		time.Sleep(1900 * time.Millisecond)
		for allowed(t, b, c) {
			continue
		}
		time.Sleep(100 * time.Millisecond)
		if !allowed(t, b, c) {
			t.Error("the first call of a window was refused")
		}
		must(t, b.Close())
	})
}
