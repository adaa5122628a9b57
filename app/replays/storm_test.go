package replays_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/idempotency"
	"perch/ports"
)

func (f *faulty) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

// A reservation that was made all the same lapses by itself.
func TestAClaimThatFailedIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.store.set(0, 1, false) // stored, and the answer was lost
		if _, err := h.ask(h.Service, key, hello); err == nil {
			t.Fatal("a store that is away answered")
		}
		h.is("")
		h.store.set(0, 0, true)
		for i := range 100 {
			if _, err := h.ask(h.Service, strconv.Itoa(i), hello); err == nil {
				t.Fatal("a store that is away answered")
			}
		}
		before := h.store.count()
		time.Sleep(20 * time.Minute)
		if after := h.store.count(); after != before || h.times() != 0 {
			t.Errorf("%d writes became %d; X was asked %d times", before, after, h.times())
		}
		h.Close()
	})
}

// What waits for a store that is away is bounded; beyond that a call is unknown
// when its time is over.
func TestOutcomesThatWaitForAStoreAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all, most = 1050, 1000
		h := newHouse(t)
		h.answers(func() (ports.Reply, error) {
			h.store.set(0, 0, true)
			return replyOf(201, created), nil
		})
		for i := range all {
			h.store.set(0, 0, false)
			if _, err := h.ask(h.Service, strconv.Itoa(i), hello); err != nil {
				t.Fatal(err)
			}
		}
		before := h.store.count()
		time.Sleep(100 * time.Millisecond) // within the first pause of each
		if again := h.store.count() - before; again != most {
			t.Errorf("%d were tried again", again)
		}
		h.store.set(0, 0, false)
		time.Sleep(4 * time.Minute)
		states := map[idempotency.State]int{}
		for i := range all {
			s, err := h.Look(t.Context(), h.holder(), strconv.Itoa(i))
			if err != nil {
				t.Fatal(err)
			}
			states[s.State]++
		}
		if states[idempotency.Done] != most || states[idempotency.Unknown] != all-most {
			t.Errorf("%v", states)
		}
		h.Close()
	})
}
