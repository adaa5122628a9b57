package clock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/memory"
	"perch/app/clock"
	"perch/domain/fault"
	"perch/ports"
)

// slow is a clock whose answer is under way for a while, there and back.
type slow struct {
	ports.Clock
	way time.Duration
}

func (s slow) Now(ctx context.Context) (time.Time, error) {
	time.Sleep(s.way)
	now, err := s.Clock.Now(ctx)
	time.Sleep(s.way)
	return now, err
}

func TestReplicasWithWrongClocksAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.Open()
		defer func() { _ = store.Close() }()
		for _, wrong := range []time.Duration{-10 * time.Minute, 0, 10 * time.Minute} {
			c := clock.New(slow{store, 20 * time.Millisecond}, func() time.Time { return time.Now().Add(wrong) })
			if off := time.Until(c.Now()); off != wrong {
				t.Errorf("before it has looked, a clock that is off by %v is off by %v", wrong, off)
			}
			if err := c.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if off := time.Until(c.Now()); off != 0 || c.Off() != -wrong {
				t.Errorf("a clock that is off by %v is off by %v after a look", wrong, off)
			}
		}
	})
}

func TestALookThatTellsNothingNewChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.Open()
		defer func() { _ = store.Close() }()
		c := clock.New(late{store}, time.Now)
		for last := c.Now(); time.Since(last) < time.Minute; {
			if err := c.Look(t.Context()); err != nil || c.Off() != 0 {
				t.Fatalf("a clock that was right is off by %v: %v", c.Off(), err)
			}
		}
	})
}

// late is a clock whose answer takes all of its time on the way back.
type late struct{ ports.Clock }

func (l late) Now(ctx context.Context) (time.Time, error) {
	now, err := l.Clock.Now(ctx)
	time.Sleep(4 * time.Second)
	return now, err
}

func TestALookThatFailsChangesNothing(t *testing.T) {
	store := memory.Open()
	defer func() { _ = store.Close() }()
	c := clock.New(store, func() time.Time { return time.Now().Add(time.Hour) })
	if err := c.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	off := c.Off()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Look(ctx); !errors.Is(err, fault.Unavailable) || c.Off() != off {
		t.Errorf("%v, and the clock is now off by %v", err, c.Off())
	}
}
