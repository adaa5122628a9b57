package deliveries_test

import (
	"strings"
	"testing"
	"time"

	"perch/domain/delivery"
	"perch/domain/fault"
)

// What people can lift at any moment is looked at again soon, whenever it would end
// by itself.
func TestWhatPeopleCanLiftIsNoticedSoon(t *testing.T) {
	for _, slug := range []string{"limit-reached", "budget-spent", "x-usage-cap", "x-out-of-credits"} {
		for _, wait := range []time.Duration{0, 5 * time.Second, 48 * time.Hour} {
			h := newHouse(t)
			h.box.does(refusal(fault.Limited, slug, wait))
			d := h.accept("g", "one")
			h.pass(2 * time.Hour)
			if h.want(d.ID, delivery.Queued).Outcome.Problem != slug {
				t.Error("nobody is told why it waits")
			}
			h.box.does(nil)
			h.pass(time.Minute + 30*time.Second)
			h.want(d.ID, delivery.Done)
		}
	}
}

// An operator who reads why a delivery is in doubt is not sent to do what Perch does.
func TestADeliveryInDoubtSaysWhatPerchDoes(t *testing.T) {
	for _, slug := range []string{"idempotency-unknown", "idempotency-not-looked"} {
		h := newHouse(t)
		h.box.does(func(string) (int, error) {
			return 0, fault.New(fault.Conflict, "resolve it again later").Named(slug).After(time.Minute)
		})
		d := h.accept("g", "one")
		h.work()
		if o := h.want(d.ID, delivery.Queued).Outcome; o.Problem != slug || !strings.Contains(o.Detail, "Perch looks again") {
			t.Errorf("%s: %+v", slug, o)
		}
	}
}

// The log says whose fault an end is.
func TestAnEndIsWrittenDownAsWhatItIs(t *testing.T) {
	for name, c := range map[string]struct {
		first func(string) (int, error) // of the one in front
		state delivery.State
		kind  fault.Kind
	}{
		"the one in front took too long": {down, delivery.Expired, fault.Conflict},
		"X said no":                      {func(string) (int, error) { return 400, nil }, delivery.Failed, fault.Upstream},
		"Perch said no":                  {refusal(fault.Forbidden, "key-revoked", 0), delivery.Failed, fault.Forbidden},
		"nobody knows": {
			refusal(fault.Conflict, "idempotency-unknown", 0), delivery.Unknown, fault.Upstream,
		},
	} {
		h := newHouse(t)
		h.box.does(c.first)
		h.accept("g", "front")
		r := request("g", "behind")
		r.Within = time.Minute
		if _, err := h.Accept(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		told := false
		for _, e := range h.events {
			if e.Verb == "delivery."+string(c.state) {
				told = true
				if fault.KindOf(e.Err) != c.kind {
					t.Errorf("%s: %v", name, fault.KindOf(e.Err))
				}
			}
		}
		if !told {
			t.Errorf("%s: %s", name, h.verbs())
		}
	}
}
