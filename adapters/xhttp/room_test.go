package xhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

func TestUploadsTakeNoRoomFromPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := guarded(15*time.Second, 1)
		slow, err := g.enter(t.Context(), upload(t, nil, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.pass(t, posting(t), 201, "{}"); err != nil {
			t.Errorf("a post beside an upload: %v", err)
		}
		began := time.Now()
		go func() {
			time.Sleep(10 * time.Second)
			slow.close()
		}()
		if _, err := g.pass(t, upload(t, nil, 0), 200, "{}"); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("the next upload, after %v: %v", time.Since(began), err)
		}
	})
}

func TestWhoWouldWaitInVainIsTurnedAwayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(1, 30*time.Second)
		for range 50 { // calls take ten seconds here
			leave, err := r.enter(t.Context(), "app")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			leave()
		}
		leave, err := r.enter(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		began := time.Now()
		hurried, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = r.enter(hurried, "app")
		refused(t, err, "overloaded", 10*time.Second)
		if time.Since(began) != 0 {
			t.Errorf("it waited %v", time.Since(began))
		}
		patient, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err = r.enter(patient, "app")
		refused(t, err, "overloaded", 10*time.Second)
		if time.Since(began) != 10*time.Second { // with less than ten seconds left it could not be done
			t.Errorf("it waited %v", time.Since(began))
		}
		gone, leaveQueue := context.WithCancel(t.Context())
		leaveQueue()
		if _, err = r.enter(gone, "app"); !errors.Is(err, context.Canceled) || !errors.Is(err, ports.ErrUnsent) {
			t.Errorf("one that left: %v", err)
		}
	})
}

func TestOneApplicationLeavesHalfOfThePlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(Config{}.withDefaults())
		as := func(app client.AppID) ports.Call {
			c := upload(t, nil, 0)
			c.App = app
			return c
		}
		var held []*pass
		for range 32 {
			p, err := g.enter(t.Context(), as("trickles"))
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, p)
		}
		began := time.Now()
		if _, err := g.pass(t, as("another"), 200, "{}"); err != nil || time.Since(began) != 0 {
			t.Errorf("another application's upload, after %v: %v", time.Since(began), err)
		}
		patient, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := g.enter(patient, as("trickles"))
		refused(t, err, "overloaded", time.Second)
		held[0].close()
		if _, err := g.pass(t, as("trickles"), 200, "{}"); err != nil {
			t.Errorf("as soon as one of its own is done: %v", err)
		}
	})
}

func TestOnePlaceIsAnybodys(t *testing.T) {
	r := newRoom(1, time.Second)
	for _, app := range []client.AppID{"one", "another", ""} {
		leave, err := r.enter(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		leave()
	}
}

// X is well, and only so slow that not all who wait are done in time.
func TestOurOwnQueueIsNotXsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := guarded(15*time.Second, 1)
		var turned atomic.Int64
		ask := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			p, err := g.enter(ctx, posting(t))
			if err != nil {
				refused(t, err, "overloaded", max(f(err).Wait, time.Second))
				turned.Add(1)
				return
			}
			defer p.close()
			r := ports.Reply{Status: 201, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
			if !rest(ctx, 2*time.Second) {
				t.Error("a call was sent and cut")
				r, err = ports.Reply{}, fault.New(fault.Unavailable, "").Named("x-no-answer").Because(ctx.Err())
			}
			_, _ = g.settle(ctx, posting(t), p, r, err)
		}
		ask()
		for range 20 {
			go ask()
			go ask()
			go ask()
			time.Sleep(10 * time.Second)
		}
		if n := turned.Load(); n != 40 {
			t.Errorf("%d calls were turned away", n)
		}
		b.heard(t)
	})
}

func f(err error) *fault.Error {
	e, _ := errors.AsType[*fault.Error](err)
	return e
}

func TestADeadlineIsXsFailureOnlyIfXHadTheTime(t *testing.T) {
	for name, v := range map[string]struct {
		had    time.Duration
		alerts []string
	}{
		"hardly any": {5 * time.Second, nil},
		"most of it": {25 * time.Second, []string{"x.breaker.open writes"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, b := guarded(15*time.Second, 10)
				for range failuresToOpen {
					go func() {
						ctx, cancel := context.WithTimeout(t.Context(), v.had)
						defer cancel()
						p, err := g.enter(ctx, posting(t))
						if err != nil {
							t.Error(err)
							return
						}
						defer p.close()
						<-ctx.Done()
						_, _ = g.settle(ctx, posting(t), p, ports.Reply{},
							fault.New(fault.Unavailable, "").Named("x-no-answer").Because(ctx.Err()))
					}()
				}
				time.Sleep(time.Minute)
				b.heard(t, v.alerts...)
			})
		})
	}
}
