package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

// A crowd asks the same at once, of an X that takes a second.
type crowd struct {
	*desk
	asked atomic.Int64
	say   func(ctx context.Context, n int64) (ports.Reply, error)
}

func (c *crowd) ask(ctx context.Context) (ports.Reply, error) {
	n := c.asked.Add(1)
	time.Sleep(time.Second)
	return c.say(ctx, n)
}

// An outcome is what one of a crowd got.
type outcome struct {
	body   string
	status string // Cache-Status
	cost   string
	limit  string
	err    error
}

// all has n ask at once. Contexts may differ: nil is that of the test.
func (c *crowd) all(t *testing.T, n int, ctx func(i int) context.Context) []outcome {
	t.Helper()
	got, done := make([]outcome, n), sync.WaitGroup{}
	for i := range n {
		one := t.Context()
		if ctx != nil {
			one = ctx(i)
		}
		done.Go(func() { got[i] = c.one(one) })
		synctest.Wait()
	}
	done.Wait()
	return got
}

// one asks as one of the crowd.
func (c *crowd) one(ctx context.Context) (o outcome) {
	r, err := c.Through(ctx, c.who, c.call, "", c.ask)
	if o.err = err; err == nil {
		o.body, o.status = c.read(r)
		o.cost, o.limit = strings.Join(r.Header["Perch-Cost"], ""), strings.Join(r.Header["Ratelimit"], "")
	}
	return o
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{desk: newDesk(t)}
	c.say = func(context.Context, int64) (ports.Reply, error) { return answer(200, `{"data":{}}`), nil }
	return c
}

func TestOfManyWhoWantTheSameOneAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		for i, o := range c.all(t, 50, nil) {
			want := outcome{`{"data":{}}`, "perch; fwd=uri-miss; collapsed", "0.00", "", nil}
			if i == 0 {
				want = outcome{`{"data":{}}`, "perch; fwd=uri-miss; stored", "0.01", `"key";r=9`, nil}
			}
			if o != want {
				t.Errorf("%d: %+v", i, o)
			}
		}
		if c.asked.Load() != 1 || c.saved.Load() != 49 {
			t.Errorf("X was asked %d times, %d are told as saved", c.asked.Load(), c.saved.Load())
		}
	})
}

// Of callers who come as the flight lands, none asks again.
func TestWhoComesAsTheAnswerDoesNeedsNoOther(t *testing.T) {
	d := newDesk(t)
	for i := range 3000 {
		d.call.Query = fmt.Sprintf("user.fields=%d", i)
		var asked atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				r, err := d.Through(t.Context(), d.who, d.call, "", func(context.Context) (ports.Reply, error) {
					asked.Add(1)
					return answer(200, "{}"), nil
				})
				if err != nil || r.Status != 200 {
					t.Errorf("%d %v", r.Status, err)
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != 1 {
			t.Fatalf("in round %d X was asked %d times", i, n)
		}
	}
}

func TestWhoLeavesDoesNotTakeTheAnswerAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		c.say = func(ctx context.Context, _ int64) (ports.Reply, error) { return answer(200, "{}"), ctx.Err() }
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		got := c.all(t, 3, func(i int) context.Context {
			if i == 2 {
				return t.Context()
			}
			return gone
		})
		if got[0].err == nil || got[1].err == nil || got[2].err != nil || got[2].body != "{}" || c.asked.Load() != 1 {
			t.Errorf("%+v; X was asked %d times", got, c.asked.Load())
		}
		if body, status := c.get(""); body != "{}" || !strings.HasPrefix(status, "perch; hit") {
			t.Errorf("afterwards: %s %s", body, status)
		}
	})
}

func TestErrorsAreSharedIfXWasAsked(t *testing.T) {
	broken, limited := fault.New(fault.Upstream, "broke off"), fault.New(fault.Limited, "too many")
	for name, v := range map[string]struct {
		err   error
		asked int64
	}{
		"X was asked":                       {broken, 1},
		"X was not":                         {errors.Join(limited, ports.ErrUnsent), 10},
		"X answered with an error envelope": {nil, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t)
			c.say = func(context.Context, int64) (ports.Reply, error) { return answer(429, `{"title":"x"}`), v.err }
			for i, o := range c.all(t, 10, nil) {
				if !errors.Is(o.err, v.err) || o.err == nil && o.body != `{"title":"x"}` {
					t.Errorf("%s: %d got %+v", name, i, o)
				}
			}
			if c.asked.Load() != v.asked || c.saved.Load() != 0 {
				t.Errorf("%s: X was asked %d times, %d are told as saved", name, c.asked.Load(), c.saved.Load())
			}
			if c.get(""); c.desk.asked != 1 {
				t.Errorf("%s: an error is kept", name)
			}
		})
	}
}

func TestAWriteParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		c.say = func(_ context.Context, n int64) (ports.Reply, error) {
			return answer(200, fmt.Sprintf(`{"n":%d}`, n)), nil
		}
		var first, second outcome
		var done sync.WaitGroup
		done.Go(func() { first = c.one(t.Context()) })
		synctest.Wait()
		c.wrote(c.who, 201, nil)
		done.Go(func() { second = c.one(t.Context()) })
		done.Wait()
		if first.body != `{"n":1}` || second.body != `{"n":2}` {
			t.Errorf("who asks after a write gets what was asked before it: %+v, %+v", first, second)
		}
	})
}

// A slow body tells whether it was closed, and how its question was doing.
type slow struct {
	io.Reader
	ctx    context.Context
	closed chan error
}

func (s slow) Close() error {
	s.closed <- s.ctx.Err()
	return nil
}

func TestABodyThatStillComesIsForOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closed := newCrowd(t), make(chan error, 10)
		c.say = func(ctx context.Context, n int64) (ports.Reply, error) {
			r := answer(200, "")
			r.Whole, r.Body = nil, slow{strings.NewReader(fmt.Sprint(n)), ctx, closed}
			return r, nil
		}
		got := c.all(t, 3, nil)
		if got[0].body+got[1].body+got[2].body != "123" && got[0].body+got[1].body+got[2].body != "132" || c.saved.Load() != 0 {
			t.Errorf("%+v", got)
		}
		for range 3 {
			if err := <-closed; err != nil {
				t.Errorf("a body was read after its question had ended: %v", err)
			}
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if got := c.all(t, 1, func(int) context.Context { return gone }); got[0].err == nil {
			t.Errorf("%+v", got)
		}
		if time.Sleep(time.Second); len(closed) != 1 {
			t.Errorf("the body nobody wanted was closed %d times", len(closed))
		}
	})
}

func TestAPanicIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		c.say = func(context.Context, int64) (ports.Reply, error) { panic("oh") }
		for _, o := range c.all(t, 3, nil) {
			if fault.KindOf(o.err) != fault.Internal || o.err == nil {
				t.Errorf("%+v", o)
			}
		}
	})
}
