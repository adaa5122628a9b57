package replays_test

import (
	"errors"
	"strconv"
	"testing"

	"perch/adapters/memory"
	"perch/domain/fault"
)

// Without room a store lets answers go, and then takes no keys; X is asked once
// for each key all the same.
func TestAStoreWithoutRoomHasNothingAskedTwice(t *testing.T) {
	h := newHouse(t)
	h.store.Replies = memory.NewRepliesWithin(4096)
	taken := 0
	for ; ; taken++ {
		if _, err := h.ask(h.Service, strconv.Itoa(taken), hello); err != nil {
			h.refused(err, "idempotency-store-full")
			if !errors.Is(err, fault.Unavailable) || h.times() != taken {
				t.Errorf("X was asked %d times for %d keys: %v", h.times(), taken, err)
			}
			break
		}
	}
	if taken < 5 {
		t.Fatalf("there was room for %d keys", taken)
	}
	for i := range taken {
		_, err := h.ask(h.Service, strconv.Itoa(i), hello)
		h.refused(err, "idempotency-answer-not-kept")
	}
	if h.times() != taken {
		t.Errorf("X was asked %d times for %d keys", h.times(), taken)
	}
}
