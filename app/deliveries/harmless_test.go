package deliveries_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/adapters/xhttp/xsim"
	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// following asks for a follow within the time.
func (w *world) following(within time.Duration) deliveries.Request {
	q := request(string(w.grant["a"]), `{"target_user_id":`+strconv.Quote(w.x.Users()[1].ID)+`}`)
	q.Action, _ = xapi.ByID("followUser")
	q.Call.Params, q.Within = map[string]string{"id": w.x.Users()[0].ID}, within
	return q
}

// executed is how often X has followed.
func (w *world) executed() (n int) {
	for _, e := range w.x.Ledger() {
		if e.Type == "call" && e.Object == "followUser" && e.Details["executed"] == "true" {
			n++
		}
	}
	return n
}

// What X may have done, and may do twice, stays in doubt until X says that it did.
func TestADoubtOfWhatMayBeRepeatedEndsWithItsDoing(t *testing.T) {
	limited := xsim.Mischief{Match: "followUser", Kind: "rate_limit_bare"}
	for name, c := range map[string]struct {
		then xsim.Mischief // of X, after it has followed and the answer was lost
		shut bool          // our own window is closed from then on
		well time.Duration // after which all is well; 0: never
		want delivery.State
	}{
		"429 until the end":                {then: limited, want: delivery.Unknown},
		"429 for half a day":               {then: limited, well: 13 * time.Hour, want: delivery.Done},
		"our window closed to the end":     {shut: true, want: delivery.Unknown},
		"our window closed for half a day": {shut: true, well: 13 * time.Hour, want: delivery.Done},
		"no credits until the end":         {then: xsim.Mischief{Match: "followUser", Kind: "no_credits"}, want: delivery.Unknown},
		"X says no for good":               {then: xsim.Mischief{Match: "followUser", Kind: "status", Status: 403}, want: delivery.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.app.Actions = append(w.app.Actions, "followUser")
			s, _ := opener(t, "sqlite")().(*sqlstore.Store)
			shut := false
			r := w.replica(s, func(_ context.Context, call ports.Call, next func() (ports.Reply, error)) (ports.Reply, error) {
				if shut && call.Action.ID == "followUser" {
					no := fault.New(fault.Limited, "the window is closed").Named("x-rate-limit").After(10 * time.Minute)
					return ports.Reply{}, fmt.Errorf("%w: %w", no, ports.ErrUnsent)
				}
				return next()
			})
			w.x.Mischief(xsim.Mischief{Match: "followUser", Kind: "lost", Times: 1})
			d, err := r.Accept(t.Context(), w.following(14*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			r.pass(30 * time.Second)
			r.ended([]delivery.Delivery{d}, delivery.Queued)
			if w.executed() != 1 {
				t.Fatalf("X has followed %d times", w.executed())
			}
			shut = c.shut
			if c.then.Kind != "" {
				w.x.Mischief(c.then)
			}
			if c.well > 0 {
				r.passHours(c.well)
				r.ended([]delivery.Delivery{d}, delivery.Queued)
				shut = false
				w.x.ClearMischief()
			}
			r.passHours(15 * time.Hour)
			r.ended([]delivery.Delivery{d}, c.want)
		})
	}
}

// passHours lets time pass in steps of a quarter of an hour while the replica works.
func (r *replica) passHours(d time.Duration) {
	r.Helper()
	for ; d > 0; d -= 15 * time.Minute {
		r.world.clock.advance(15 * time.Minute)
		if _, err := r.Work(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}
