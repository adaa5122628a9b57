package deliveries_test

import (
	"testing"
	"time"

	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/idempotency"
	"perch/domain/oauth"
)

// everywhere runs the test on a house over each kind of store.
func everywhere(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { test(t, newHouse(t)) })
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) { test(t, newHouse(t).again(opener(t, kind)())) })
	}
}

// atOnce has a call made at once with the key.
func (h *house) atOnce(key, grant string) {
	h.t.Helper()
	r := idempotency.Reserve(idempotency.Key(key).Scope("app_1", oauth.GrantID(grant)), "a", "print", "createPosts", h.clock.Now())
	if err := h.store.Replies().Create(h.t.Context(), r.Settle(201, "", h.clock.Now())); err != nil {
		h.t.Fatal(err)
	}
}

func TestAKeyIsOfADeliveryOrOfACallThatIsMadeAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		r := request("g", "one")
		r.Key = `"mine"`
		if _, err := h.Accept(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		h.atOnce("mine", "g") // by its own sending
		h.atOnce("used", "g")
		h.atOnce("elsewhere", "h")
		for header, want := range map[string]bool{"": false, "mine": false, `"used"`: true, "elsewhere": false, "new": false} {
			if used, err := h.Used(t.Context(), "app_1", "g", r.Action, header); err != nil || used != want {
				t.Errorf("that %q is used is %v, %v", header, used, err)
			}
		}
		h.clock.advance(25 * time.Hour)
		if used, err := h.Used(t.Context(), "app_1", "g", r.Action, "used"); err != nil || used {
			t.Errorf("after a day: %v, %v", used, err)
		}
	})
}

// Of two who come with one key at the same moment, one for now and one for later,
// both may find the other not there yet.
func TestAKeyThatIsUsedMeanwhileIsDoubted(t *testing.T) {
	everywhere(t, func(t *testing.T, h *house) {
		h.atOnce("k", "g")
		r := request("g", "one")
		r.Key = "k"
		d, err := h.Accept(t.Context(), r)
		if err != nil || !d.Doubt.Equal(noon) {
			t.Fatalf("it is in doubt since %v, %v", d.Doubt, err)
		}
		if _, err := h.Cancel(t.Context(), deliveries.By{Actor: "key_1"}, d); err == nil {
			t.Error("it was cancelled as if it were not sent")
		}
		h.clock.advance(13 * time.Hour) // others were in front of it
		h.work()
		h.want(d.ID, delivery.Unknown)
		h.wantSent()
	})
}
