package deliveries_test

import (
	"testing"
	"time"

	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/fault"
)

func TestTheKeyOfADeliveryThatHasEndedGivesItAsItEnded(t *testing.T) {
	for want, end := range map[delivery.State]func(h *house, d delivery.Delivery){
		delivery.Cancelled: func(h *house, d delivery.Delivery) {
			if _, err := h.Cancel(h.t.Context(), deliveries.By{Actor: "key_1"}, d); err != nil {
				h.t.Fatal(err)
			}
		},
		delivery.Expired: func(h *house, _ delivery.Delivery) { h.clock.advance(25 * time.Hour); h.work() },
		delivery.Failed: func(h *house, _ delivery.Delivery) {
			h.box.does(func(string) (int, error) { return 403, nil })
			h.work()
		},
	} {
		t.Run(string(want), func(t *testing.T) {
			h := newHouse(t)
			r := request("g", "one")
			r.Key = "k"
			d, err := h.Accept(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			end(h, d)
			h.clock.advance(6 * 24 * time.Hour)
			h.box.does(nil)
			if again, err := h.Accept(t.Context(), r); err != nil || again.ID != d.ID || again.State != want || again.Waits() {
				t.Errorf("the same again: %s %s, %v", again.ID, again.State, err)
			}
			r.Call.Body = `"two"`
			if _, err := h.Accept(t.Context(), r); fault.SlugOf(err) != "idempotency-key-reused" {
				t.Errorf("something else: %v", err)
			}
			h.work()
			h.wantSent()
		})
	}
}

func TestWhoCancelsIsWrittenDown(t *testing.T) {
	h := newHouse(t)
	d := h.accept("g", "one")
	if _, err := h.Cancel(t.Context(), deliveries.By{Actor: "op_1", Request: "req_2"}, d); err != nil {
		t.Fatal(err)
	}
	if e := h.events[len(h.events)-1]; e.Verb != "delivery.cancel" || e.Actor != "op_1" || e.Request != "req_2" {
		t.Errorf("written down: %+v", e)
	}
	if e := h.events[0]; e.Verb != "delivery.accept" || e.Actor != "key_1" || e.Request != "req_1" {
		t.Errorf("written down: %+v", e)
	}
}

// X's troubles have nothing to do with the call, whatever status they come with.
func TestATroubleOfXIsWaitedForWhateverItsStatus(t *testing.T) {
	for slug, c := range map[string]struct {
		status int
		body   string
	}{
		"x-out-of-credits": {403, `{"title":"CreditsDepleted","type":"https://api.x.com/2/problems/credits"}`},
		"x-usage-cap":      {403, `{"title":"UsageCapExceeded"}`},
		"x-rate-limit":     {400, `{"errors":[{"code":88,"message":"Rate limit exceeded"}]}`},
	} {
		t.Run(slug, func(t *testing.T) {
			h := newHouse(t)
			h.box.body, h.box.wait = c.body, "180"
			h.box.does(func(string) (int, error) { return c.status, nil })
			d := h.accept("g", "one")
			h.work()
			got := h.want(d.ID, delivery.Queued)
			if wait := got.Next.Sub(noon); got.Outcome.Problem != slug || wait < 3*time.Minute || wait > 4*time.Minute {
				t.Errorf("it waits %v for %+v", wait, got.Outcome)
			}
			h.box.does(nil)
			h.pass(5 * time.Minute)
			h.want(d.ID, delivery.Done)
			h.wantSent("one")
		})
	}
}
