package deliveries_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/app/deliveries"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

func TestWhatWasAcceptedIsSentAndItsReplyKept(t *testing.T) {
	h := newHouse(t)
	d := h.accept("g", "hello")
	if d.State != delivery.Queued || d.Key != string(d.ID) || strings.Contains(string(d.Call), "hello") {
		t.Errorf("accepted as %+v", d)
	}
	h.work()
	d = h.want(d.ID, delivery.Done)
	body, err := h.Reply(t.Context(), d)
	if err != nil || string(body) != `{"data":{"id":"1"}}` || d.Outcome.Status != 201 {
		t.Errorf("the reply is %q, %v, %+v", body, err, d.Outcome)
	}
	if strings.Contains(string(d.Outcome.Reply), "data") {
		t.Error("the reply is stored in the clear")
	}
	if got := h.verbs(); got != "delivery.accept delivery.done" {
		t.Errorf("what was written down: %s", got)
	}
	h.wantSent("hello")
}

// X is down for an hour of the clock, Perch restarts in between, and a replica
// dies in the middle of an attempt whose answer is lost.
func TestAQueuedPostOutlivesAnHourWithoutXARestartAndADeath(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			open := opener(t, kind)
			h := &house{t: t, clock: &watch{now: noon}, box: newBox(), ring: newHouse(t).ring}
			first := open()
			h = h.again(first)
			h.box.does(down)
			var all []delivery.Delivery
			for i := range 3 {
				all = append(all, h.accept("a", fmt.Sprintf("a%d", i)), h.accept("b", fmt.Sprintf("b%d", i)))
			}
			h.pass(30 * time.Minute)
			h.wantSent()
			h.want(all[0].ID, delivery.Queued)

			if err := first.Close(); err != nil { // the restart
				t.Fatal(err)
			}
			h = h.again(open())
			h.pass(30 * time.Minute)
			h.wantSent()

			h.box.does(nil) // X is back; a replica gets the turn, asks X, and dies
			h.clock.advance(10 * time.Minute)
			dead, err := h.store.DeliveryQueue().Claim(t.Context(), h.clock.Now(),
				delivery.Lease{Holder: "the dead", Until: h.clock.Now().Add(2 * time.Minute)}, 1)
			if err != nil || len(dead) != 1 {
				t.Fatal(dead, err)
			}
			gone := dead[0].ID == all[0].ID
			h.box.lose(dead[0], map[bool]string{true: "a0", false: "b0"}[gone])
			h.work()
			h.want(dead[0].ID, delivery.Sending)

			h.pass(10 * time.Minute)
			for _, d := range all {
				h.want(d.ID, delivery.Done)
			}
			inOrder(t, h.box.ledger(), 3, "a", "b")
		})
	}
}

// inOrder checks that each line was sent once, in order, and whole.
func inOrder(t *testing.T, ledger []string, each int, lines ...string) {
	t.Helper()
	for _, line := range lines {
		var got, want []string
		for _, body := range ledger {
			if strings.HasPrefix(body, line) {
				got = append(got, body)
			}
		}
		for i := range each {
			want = append(want, fmt.Sprintf("%s%d", line, i))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("of %s X has performed %q, want %q", line, got, want)
		}
	}
}

func TestTwoReplicasSendEachOnceAndInOrder(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			open := opener(t, kind)
			h := &house{t: t, clock: &watch{now: noon}, box: newBox(), ring: newHouse(t).ring}
			one, other := h.again(open()), h.again(open())
			bad := dice(7)
			h.box.does(func(string) (int, error) { // under the box's lock
				switch bad.IntN(4) {
				case 0:
					return down("")
				case 1:
					return 429, nil
				}
				return 201, nil
			})
			ctx, stop := context.WithCancel(t.Context())
			var both sync.WaitGroup
			both.Go(func() { one.Run(ctx) })
			both.Go(func() { other.Run(ctx) })
			const each = 8
			for i := range each {
				for _, line := range []string{"a", "b", "c"} {
					[]*house{one, other}[i%2].accept(line, fmt.Sprintf("%s%d", line, i))
				}
			}
			for len(h.box.ledger()) < 3*each && h.clock.Now().Before(noon.Add(delivery.Usual)) {
				step := 5 * time.Second
				if one.sending() {
					step /= 50 // nobody loses a turn because the machine is slow
				}
				h.clock.advance(step)
				time.Sleep(5 * time.Millisecond)
			}
			stop()
			both.Wait()
			inOrder(t, h.box.ledger(), each, "a", "b", "c")
		})
	}
}

// sending reports whether anybody has a turn.
func (h *house) sending() bool {
	h.t.Helper()
	all, err := h.store.Deliveries().List(h.t.Context(), delivery.Filter{State: delivery.Sending}, "", 1)
	if err != nil {
		h.t.Fatal(err)
	}
	return len(all) > 0
}

func TestRefusalsThatPassAreWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(string) (int, error)
		wait   time.Duration // at least
	}{
		"X is not reached": {down, time.Second},
		"X has enough":     {func(string) (int, error) { return 429, nil }, time.Second},
		"X is broken":      {func(string) (int, error) { return 503, nil }, time.Second},
		"X knows no token": {func(string) (int, error) {
			return 401, fault.New(fault.Upstream, "X refuses even a fresh access token").Named("x-unauthorized")
		}, time.Second},
		"our own limit":        {refusal(fault.Limited, "limit-reached", 30*time.Second), 30 * time.Second},
		"X's window":           {refusal(fault.Limited, "x-rate-limit", 3*time.Minute), 3 * time.Minute},
		"a limit until Sunday": {refusal(fault.Limited, "x-rate-limit", 48*time.Hour), 15 * time.Minute},
		"a breaker is open":    {refusal(fault.Unavailable, "x-breaker-open", time.Minute), time.Minute},
		"the key is in use":    {refusal(fault.Conflict, "idempotency-in-progress", time.Minute), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.box.does(c.answer)
			d, behind := h.accept("g", "one"), h.accept("g", "two")
			h.work()
			got := h.want(d.ID, delivery.Queued)
			if wait := got.Next.Sub(noon); wait < c.wait || wait > c.wait+5*time.Minute {
				t.Errorf("it is tried again after %v, want %v", wait, c.wait)
			}
			if inDoubt := name == "X is broken"; got.Doubt.IsZero() == inDoubt {
				t.Errorf("in doubt since %v", got.Doubt)
			}
			h.box.does(nil)
			h.work()
			h.wantSent() // what is behind does not overtake
			h.clock.advance(got.Next.Sub(noon))
			h.work()
			h.want(behind.ID, delivery.Done)
			h.wantSent("one", "two")
		})
	}
}

func refusal(kind fault.Kind, slug string, wait time.Duration) func(string) (int, error) {
	return func(string) (int, error) {
		return 0, fmt.Errorf("%w: %w", fault.New(kind, "not now").Named(slug).After(wait), ports.ErrUnsent)
	}
}

func TestRefusalsThatLastEndADelivery(t *testing.T) {
	for name, answer := range map[string]func(string) (int, error){
		"X says 400":         func(string) (int, error) { return 400, nil },
		"X says 401":         func(string) (int, error) { return 401, nil },
		"X says 403":         func(string) (int, error) { return 403, nil },
		"the grant is gone":  refusal(fault.Forbidden, "grant-revoked", 0),
		"the key was reused": refusal(fault.Invalid, "idempotency-key-reused", 0),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.box.does(answer)
			d := h.accept("g", "one")
			h.work()
			got := h.want(d.ID, delivery.Failed)
			if got.Outcome.Problem == "" || got.Outcome.Detail == "" || got.Ended.IsZero() {
				t.Errorf("nobody is told why: %+v", got)
			}
			h.box.does(nil)
			next := h.accept("g", "two")
			h.work()
			h.want(next.ID, delivery.Done)
			h.wantSent("two")
		})
	}
}

func TestWhatCannotBeFoundOutIsUnknownAndTheLineGoesOn(t *testing.T) {
	h := newHouse(t)
	h.box.does(func(key string) (int, error) {
		if strings.HasPrefix(key, "lost") {
			return refusal(fault.Conflict, "idempotency-unknown", 0)(key)
		}
		return 201, nil
	})
	r := request("g", "one")
	r.Key = "lost"
	d, err := h.Accept(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	next := h.accept("g", "two")
	h.work()
	h.want(d.ID, delivery.Unknown)
	h.want(next.ID, delivery.Done)
	h.wantSent("two")
}

func TestALostAnswerIsAskedForUntilItIsKnown(t *testing.T) {
	h := newHouse(t)
	h.box.does(func(string) (int, error) { return 0, fault.New(fault.Unavailable, "X's answer was lost") })
	d := h.accept("g", "one")
	h.work()
	got := h.want(d.ID, delivery.Queued)
	if got.Doubt.IsZero() {
		t.Error("nobody doubts that X has not performed it")
	}
	if _, err := h.Cancel(t.Context(), deliveries.By{Actor: "key_2", Request: "req_2"}, got); fault.SlugOf(err) != "delivery-sending" {
		t.Errorf("it can be cancelled: %v", err)
	}
	h.box.lose(got, "one") // X had performed it
	h.pass(10 * time.Minute)
	h.want(d.ID, delivery.Done)
	h.wantSent("one")
}

func TestADoubtThatIsTooOldIsNotAskedAbout(t *testing.T) {
	h := newHouse(t)
	h.box.does(func(string) (int, error) { return 0, fault.New(fault.Unavailable, "X's answer was lost") })
	d := h.accept("g", "one")
	h.work()
	h.box.does(nil)
	h.clock.advance(13 * time.Hour) // everything stands still, longer than keys are remembered for
	h.work()
	h.want(d.ID, delivery.Unknown)
	h.wantSent()
}

func TestTheTimeLimitHolds(t *testing.T) {
	h := newHouse(t)
	h.box.does(down)
	long := h.accept("g", "long")
	r := request("g", "short")
	r.Within = 10 * time.Minute
	short, err := h.Accept(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	h.pass(9 * time.Minute)
	h.want(short.ID, delivery.Queued)
	h.pass(2 * time.Minute)
	got := h.want(short.ID, delivery.Expired)
	if got.Outcome.Problem != "delivery-expired" {
		t.Errorf("nobody is told why: %+v", got.Outcome)
	}
	h.want(long.ID, delivery.Queued)
	h.clock.advance(24 * time.Hour)
	h.box.does(nil)
	h.work()
	h.want(long.ID, delivery.Expired)
	h.wantSent()
	if !strings.HasSuffix(h.verbs(), "delivery.expired delivery.expired") {
		t.Errorf("what was written down: %s", h.verbs())
	}
}

func TestWhatCannotWorkIsRefusedAtOnce(t *testing.T) {
	upload, _ := xapi.ByID("mediaUpload")
	read, _ := xapi.ByID("getUsersMe")
	for name, c := range map[string]struct {
		edit func(*house, *deliveries.Request)
		kind fault.Kind
	}{
		"what may not be done":   {func(h *house, _ *deliveries.Request) { h.box.allows = fault.New(fault.Forbidden, "no") }, fault.Forbidden},
		"an upload":              {func(_ *house, r *deliveries.Request) { r.Action = upload }, fault.Invalid},
		"a read":                 {func(_ *house, r *deliveries.Request) { r.Action = read }, fault.Invalid},
		"more than seven days":   {func(_ *house, r *deliveries.Request) { r.Within = delivery.Longest + 1 }, fault.Invalid},
		"a body that is long":    {func(_ *house, r *deliveries.Request) { r.Call.Body = strings.Repeat("x", deliveries.MostBody+1) }, fault.TooLarge},
		"a body of escapes":      {func(_ *house, r *deliveries.Request) { r.Call.Body = `"` + strings.Repeat(`\"`, 10<<10) + `"` }, fault.TooLarge},
		"a body that is no JSON": {func(_ *house, r *deliveries.Request) { r.Call.Body = `{"text":` }, fault.Invalid},
		"a body that is no text": {func(_ *house, r *deliveries.Request) { r.Call.Body = "\xff" }, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			r := request("g", "one")
			c.edit(h, &r)
			if _, err := h.Accept(t.Context(), r); fault.KindOf(err) != c.kind {
				t.Errorf("accepted, or refused as %v", err)
			}
			h.box.allows = nil
			h.work()
			h.wantSent()
		})
	}
}

func TestWhatIsForbiddenMeanwhileIsNotSent(t *testing.T) {
	h := newHouse(t)
	d := h.accept("g", "one")
	h.box.allows = fault.New(fault.Forbidden, "this client application is suspended").Named("app-suspended")
	h.work()
	if got := h.want(d.ID, delivery.Failed); got.Outcome.Problem != "app-suspended" {
		t.Errorf("nobody is told why: %+v", got.Outcome)
	}
	h.wantSent()
}

func TestTheSameKeyIsTheSameDelivery(t *testing.T) {
	h := newHouse(t)
	r := request("g", "one")
	r.Key = "k"
	first, err := h.Accept(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Accept(t.Context(), r)
	if err != nil || again.ID != first.ID {
		t.Errorf("again: %s, %v; want %s", again.ID, err, first.ID)
	}
	r.Call.Body = `"two"`
	if _, err := h.Accept(t.Context(), r); fault.SlugOf(err) != "idempotency-key-reused" {
		t.Errorf("for another call: %v", err)
	}
	h.work()
	r.Grant = "h"
	if other, err := h.Accept(t.Context(), r); err != nil || other.ID == first.ID {
		t.Errorf("of another grant: %s, %v", other.ID, err)
	}
	h.work()
	h.wantSent("one", "two")
	r.Grant, r.Call.Body = "g", `"one"`
	if done, err := h.Accept(t.Context(), r); err != nil || done.State != delivery.Done {
		t.Errorf("after it was sent: %s, %v", done.State, err)
	}
	h.work()
	h.wantSent("one", "two")
}

func TestQueuesAreBounded(t *testing.T) {
	h := newHouse(t)
	h.box.does(down)
	for i := range 50 {
		h.accept("g", fmt.Sprint(i))
	}
	_, err := h.Accept(t.Context(), request("g", "more"))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Limited || f.Slug != "too-many-deliveries" || f.Wait == 0 {
		t.Errorf("one more than may wait: %v", err)
	}
	for i := range 70 {
		h.accept(fmt.Sprintf("g%d", i), "x")
	}
	if _, err := h.Accept(t.Context(), request("another", "more")); fault.KindOf(err) != fault.Limited {
		t.Errorf("one more than may wait of the application: %v", err)
	}
}
