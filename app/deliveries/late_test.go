package deliveries_test

import (
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/adapters/xhttp/xsim"
	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/xapi"
)

// hurried accepts a call that may wait for a minute.
func (h *house) hurried(edit func(*deliveries.Request)) delivery.Delivery {
	h.t.Helper()
	r := request("g", "one")
	r.Within = time.Minute
	if edit != nil {
		edit(&r)
	}
	d, err := h.Accept(h.t.Context(), r)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// lost says that X was asked and its answer did not come.
func lost(string) (int, error) {
	return 0, fault.New(fault.Unavailable, "X's answer was lost").Named("x-no-answer")
}

func TestNothingIsFirstSentAfterItsTime(t *testing.T) {
	h := newHouse(t)
	d := h.hurried(nil)
	h.box.before = func(string) { h.clock.advance(time.Minute) } // it waits for a place or a token
	h.work()
	if got := h.want(d.ID, delivery.Expired); got.Outcome.Problem != delivery.TooLate || got.Outcome.Detail == "" {
		t.Errorf("nobody is told why: %+v", got.Outcome)
	}
	h.wantSent()
}

func TestWhatIsInDoubtIsLookedForWhenItsTimeIsOver(t *testing.T) {
	unfollow, _ := xapi.ByID("unfollowUser")
	for name, c := range map[string]struct {
		edit   func(*deliveries.Request)
		did    bool // X has performed it
		want   delivery.State
		detail string
	}{
		"X has done it":                {did: true, want: delivery.Done},
		"X has not done it":            {want: delivery.Expired, detail: "X has not done it, and its time is over, so it is not sent any more"},
		"an action that is not looked": {edit: func(r *deliveries.Request) { r.Action = unfollow }, want: delivery.Unknown, detail: "X was asked, its answer was lost, and Perch could not find out whether it was done; look at X before you send it again"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.box.does(lost)
			d := h.hurried(c.edit)
			h.work()
			var sent []string
			if c.did {
				h.box.lose(d, "one")
				sent = append(sent, "one")
			}
			h.box.does(nil)
			h.clock.advance(time.Minute)
			h.work()
			if got := h.want(d.ID, c.want); got.Outcome.Detail != c.detail {
				t.Errorf("it is said: %q", got.Outcome.Detail)
			}
			h.wantSent(sent...)
		})
	}
}

// While X cannot be looked at, what is in doubt waits, as long as a doubt may last.
func TestADoubtOutlivesTheTimeAndNotTheKey(t *testing.T) {
	for name, back := range map[string]bool{"X is back": true, "X stays away": false} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.box.does(lost)
			d := h.hurried(nil)
			h.work()
			looks := 0
			h.box.now = nil // the key says that it is unknown before anything else
			h.box.does(func(string) (int, error) {
				looks++
				return 0, fault.New(fault.Unavailable, "X does not show the posts").Named("idempotency-not-looked").After(time.Minute)
			})
			h.pass(time.Hour)
			if got := h.want(d.ID, delivery.Queued); looks < 20 || looks > 61 || !got.Next.After(h.clock.Now()) {
				t.Errorf("looked %d times in an hour, and again at %v", looks, got.Next)
			}
			if back {
				h.box.lose(d, "one")
				h.pass(2 * time.Minute)
				h.want(d.ID, delivery.Done)
				return
			}
			h.pass(12 * time.Hour)
			h.want(d.ID, delivery.Unknown)
			h.wantSent()
		})
	}
}

// The same on the whole way to X in a box, which has executed what it has lost the
// answer to, and not what it was too broken for.
func TestXIsLookedAtAndNotAskedWhenTheTimeIsOver(t *testing.T) {
	for mischief, want := range map[string]struct {
		state delivery.State
		posts int
	}{"lost": {delivery.Done, 1}, "outage": {delivery.Expired, 0}} {
		t.Run(mischief, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s, _ := opener(t, "sqlite")().(*sqlstore.Store)
			r := w.replica(s, nil)
			w.x.Mischief(xsim.Mischief{Kind: mischief, Match: "createPosts", Times: 1})
			q := request(string(w.grant["a"]), `{"text":"a0"}`)
			q.Within = time.Second
			d, err := r.Accept(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Work(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.pass(15 * time.Minute)
			r.ended([]delivery.Delivery{d}, want.state)
			if got := w.posts(); len(got) != want.posts {
				t.Errorf("X has %q", got)
			}
		})
	}
}
