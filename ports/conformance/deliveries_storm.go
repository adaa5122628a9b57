package conformance

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"perch/domain/delivery"
	"perch/domain/fault"
)

// deliveriesStorm has workers that claim, and at times go away or put back.
func deliveriesStorm(t *testing.T, q Queue) {
	const lines, each = 3, 6
	for i := range lines * each {
		accepted(t, q, numbered("d", i), numbered("g", i%lines))
	}
	sent := make(chan delivery.Delivery, lines*each*4)
	var minute atomic.Int64 // a clock that goes on whenever somebody looks
	for _, err := range race(4, func(worker int) error {
		for round := range 400 {
			now := int(minute.Add(1))
			got, err := q.Claim(t.Context(), at(now), turn(numbered("w", worker), now+8), 2)
			if err != nil {
				return err
			}
			for i, d := range got {
				if (round+i+worker)%5 == 0 {
					continue // it dies
				}
				// Only who still has the turn is believed.
				_, err := q.Swap(t.Context(), d, d.End(delivery.Done, delivery.Outcome{}, at(int(minute.Add(1)))))
				if err == nil {
					sent <- d
				} else if fault.KindOf(err) != fault.Conflict {
					return err
				}
			}
			left, err := q.List(t.Context(), delivery.Filter{}, "", 100)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(left, delivery.Delivery.Waits) {
				return nil
			}
		}
		return fmt.Errorf("worker %d gives up", worker)
	}) {
		must(t, true, err)
	}
	close(sent)
	once := map[delivery.ID]bool{}
	for d := range sent {
		if once[d.ID] {
			t.Errorf("%s was sent twice", d.ID)
		}
		once[d.ID] = true
	}
	wantSame(t, "how many were sent", len(once), lines*each)
	inOrder(t, q)
}

// inOrder checks that of each line none ended before the one in front of it.
func inOrder(t *testing.T, q Queue) {
	t.Helper()
	all, err := q.List(t.Context(), delivery.Filter{}, "", 1000)
	must(t, true, err)
	slices.SortFunc(all, func(a, b delivery.Delivery) int { return int(a.Seq - b.Seq) })
	last := map[string]delivery.Delivery{}
	for _, d := range all {
		if before, ok := last[d.Line()]; ok && !before.Ended.Before(d.Ended) {
			t.Errorf("%s ended before %s, which is in front of it", d.ID, before.ID)
		}
		last[d.Line()] = d
	}
}
