package replays_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

// A crash at any write, before or after it is stored, never has X asked twice.
func TestACrashAtAnyWrite(t *testing.T) {
	for write := 1; write <= 3; write++ {
		for _, kept := range []bool{false, true} {
			h := newHouse(t)
			before, after := write, 0
			if kept {
				before, after = 0, write
			}
			h.store.set(before, after, false)
			if write == 3 {
				h.store.after = after
			}
			_, err := h.ask(h.Service, key, hello)
			asked := h.times()
			if (err == nil) != (write == 3) || asked > 1 || write < 3 && asked != 0 {
				t.Errorf("write %d, stored %v: X was asked %d times, and the caller got %v", write, kept, asked, err)
			}
			h.Close() // nothing is tried again: the process is gone
			h.store.set(0, 0, false)
			next := h.another()
			_, err = h.ask(next, key, hello)
			again := h.times()
			h.later(uploadLimitOf())
			_, last := h.ask(next, key, hello)
			if h.times() > 1 && asked == 1 {
				t.Errorf("write %d, stored %v: X was asked %d times; the callers heard %v and %v", write, kept, h.times(), err, last)
			}
			if again == 0 && last != nil && fault.SlugOf(last) != "idempotency-unknown" {
				t.Errorf("write %d, stored %v: the key is stuck: %v", write, kept, last)
			}
		}
	}
}

// uploadLimitOf is longer than any lease.
func uploadLimitOf() time.Duration { return 15 * time.Minute }

// When the outcome cannot be stored whoever asked gets X's answer, and it is
// stored as soon as the store is back.
func TestAnOutcomeThatCannotBeStoredIsStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.answers(func() (ports.Reply, error) {
			h.store.set(0, 0, true)
			return replyOf(201, created), nil
		})
		if reply, err := h.ask(h.Service, key, hello); err != nil || reply.Status != 201 {
			t.Fatalf("%+v, %v", reply, err)
		}
		time.Sleep(time.Minute)
		h.is(idempotency.Sent)
		_, err := h.ask(h.Service, key, hello)
		h.store.set(0, 0, false)
		if err == nil {
			t.Error("a store that is away answered")
		}
		time.Sleep(10 * time.Second)
		h.is(idempotency.Done)
		h.Close()
	})
}

// A process that dies before X is asked lets the key go; one that dies afterwards
// leaves what nobody knows.
func TestAProcessThatDies(t *testing.T) {
	for name, v := range map[string]struct {
		sends bool
		wait  time.Duration
		state idempotency.State
	}{
		"before it has asked": {false, idempotency.Preparing, idempotency.Done},
		"after it has asked":  {true, 4 * time.Minute, idempotency.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			dead := func(ctx context.Context, sent func(context.Context) error) (ports.Reply, error) {
				if v.sends {
					if err := sent(ctx); err != nil {
						t.Error(err)
					}
				}
				panic("the process is gone")
			}
			func() {
				defer func() { _ = recover() }()
				_, _ = h.Once(t.Context(), h.who, key, h.call("createPosts", hello), []byte(hello), dead)
			}()
			next := h.another()
			_, err := h.ask(next, key, hello)
			h.refused(err, "idempotency-in-progress")
			h.later(v.wait)
			_, _ = h.ask(next, key, hello)
			h.is(v.state)
		})
	}
}

// Whoever asks again while a dead replica's call is under way is not sent round in
// circles: he is told until when that may last, and comes back less and less often.
func TestACallThatStaysUnderWayIsAskedForLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		func() {
			defer func() { _ = recover() }()
			_, _ = h.Once(t.Context(), h.who, key, h.call("createPosts", hello), []byte(hello),
				func(ctx context.Context, sent func(context.Context) error) (ports.Reply, error) {
					if err := sent(ctx); err != nil {
						t.Error(err)
					}
					panic("the process is gone")
				})
		}()
		next, tries := h.another(), 0
		limit := h.now().Add(3*time.Minute + 30*time.Second).Add(time.Second)
		for last := time.Duration(0); ; tries++ {
			_, err := h.ask(next, key, hello)
			if fault.SlugOf(err) == "idempotency-unknown" {
				break
			}
			f := h.problem(err, "idempotency-in-progress")
			_, resolving := h.Resolve(t.Context(), h.holder(), key, h.look)
			s, err := h.Look(t.Context(), h.holder(), key)
			if left := limit.Sub(h.now()); f.Wait < time.Second || f.Wait < last && f.Wait < left-2*time.Second || f.Wait > left ||
				!strings.Contains(f.Say, "until 20") || err != nil || !strings.Contains(s.Advice, "until 20") {
				t.Fatalf("try %d: come back in %v, before that %v, and %v are left: %s; %+v", tries, f.Wait, last, left, f.Say, s)
			}
			if g := h.problem(resolving, "idempotency-in-progress"); g.Wait < f.Wait-time.Second {
				t.Errorf("resolving says %v, asking %v", g.Wait, f.Wait)
			}
			last = f.Wait
			h.later(f.Wait)
		}
		if tries > 30 || h.now().After(limit.Add(time.Second)) {
			t.Errorf("%d tries until %v, limit %v", tries, h.now(), limit)
		}
	})
}

func TestWhoLeavesDoesNotTakeTheCallAlong(t *testing.T) {
	h := newHouse(t)
	ctx, leave := context.WithCancel(t.Context())
	_, err := h.Once(ctx, h.who, key, h.call("createPosts", hello), []byte(hello), func(
		ctx context.Context, sent func(context.Context) error,
	) (ports.Reply, error) {
		if err := sent(ctx); err != nil {
			return ports.Reply{}, err
		}
		leave()
		if ctx.Err() != nil {
			return ports.Reply{}, fault.New(fault.Unavailable, "the call was ended")
		}
		return replyOf(201, created), nil
	})
	if err != nil {
		t.Error(err)
	}
	h.is(idempotency.Done)
}

func TestWhoLeavesBeforeXIsAskedEndsTheCall(t *testing.T) {
	h := newHouse(t)
	ctx, leave := context.WithCancel(t.Context())
	_, err := h.Once(ctx, h.who, key, h.call("createPosts", hello), []byte(hello), func(
		inner context.Context, sent func(context.Context) error,
	) (ports.Reply, error) {
		leave()
		<-inner.Done()
		return h.perform(inner, sent)
	})
	if !errors.Is(err, context.Canceled) || h.times() != 0 {
		t.Errorf("X was asked %d times: %v", h.times(), err)
	}
	h.is("")
}

// slowly is a store in whose writes much time passes.
type slowly struct {
	ports.Replies
	h *house
}

func (s slowly) Swap(ctx context.Context, old, next idempotency.Record) error {
	s.h.later(time.Minute)
	return s.Replies.Swap(ctx, old, next)
}

func TestAMachineThatStoodStillDoesNotAskX(t *testing.T) {
	h := newHouse(t)
	h.store.Replies = slowly{h.store.Replies, h}
	if _, err := h.ask(h.Service, key, hello); !errors.Is(err, fault.Unavailable) || h.times() != 0 {
		t.Errorf("X was asked %d times: %v", h.times(), err)
	}
	h.is("")
}

// Between what is written down and the wire a machine may stand still for long.
// Then others have looked, and may have asked X again.
func TestAMachineThatStoodStillOnTheWayDoesNotAskX(t *testing.T) {
	for name, v := range map[string]struct {
		off  time.Duration
		want bool // X is asked
	}{"not at all": {0, true}, "a while": {time.Minute, true}, "too long": {3 * time.Minute, false}} {
		h := newHouse(t)
		_, err := h.Once(t.Context(), h.who, key, h.call("createPosts", hello), []byte(hello), func(
			ctx context.Context, sent func(context.Context) error,
		) (ports.Reply, error) {
			if err := errors.Join(ports.Check(ctx), sent(ctx)); err != nil {
				return ports.Reply{}, err
			}
			h.later(v.off)
			if err := ports.Check(context.WithoutCancel(ctx)); err != nil { // as a gateway does
				return ports.Reply{}, errors.Join(err, ports.ErrUnsent)
			}
			return replyOf(201, created), nil
		})
		if v.want {
			h.is(idempotency.Done)
			continue
		}
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		h.is("")
	}
}

func TestNothingOfACallIsInTheClear(t *testing.T) {
	h := newHouse(t)
	for _, x := range []func() (ports.Reply, error){
		func() (ports.Reply, error) { return replyOf(201, created), nil },
		func() (ports.Reply, error) { return replyOf(500, created), nil },
	} {
		h.answers(x)
		k := idempotency.Key("the-clients-key-" + strconv.Itoa(h.times()))
		if _, err := h.ask(h.Service, string(k), hello); err != nil {
			t.Fatal(err)
		}
		r, err := h.store.Get(t.Context(), k.Scope("app", "grant"))
		if text := fmt.Sprintf("%+v", r); err != nil || r.Request.Empty() == r.Reply.Empty() ||
			strings.Contains(text, "hello") || strings.Contains(text, "clients-key") {
			t.Errorf("%s, %v", text, err)
		}
	}
}

func TestACallThatTakesTooLongIsEnded(t *testing.T) {
	for name, v := range map[string]struct {
		patience, want time.Duration
	}{
		"as whoever asked wants": {10 * time.Second, 10 * time.Second},
		"after three minutes":    {time.Hour, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, began := newHouse(t), time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), v.patience)
				defer cancel()
				_, err := h.Once(ctx, h.who, key, h.call("createPosts", hello), []byte(hello), func(
					ctx context.Context, sent func(context.Context) error,
				) (ports.Reply, error) {
					if err := sent(ctx); err != nil {
						return ports.Reply{}, err
					}
					<-ctx.Done()
					return ports.Reply{}, fault.New(fault.Unavailable, "X did not answer").Because(context.Cause(ctx))
				})
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != v.want {
					t.Errorf("after %v: %v", took, err)
				}
				h.is(idempotency.Unknown)
				h.Close()
			})
		})
	}
}
