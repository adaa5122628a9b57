package health_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"perch/app/health"
	"perch/domain/xapp"
)

type part func(context.Context) error

func (p part) Ping(ctx context.Context) error { return p(ctx) }

func TestReady(t *testing.T) {
	fine := part(func(context.Context) error { return nil })
	broken := part(func(context.Context) error { return errors.New("broken") })
	silent := part(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	for name, v := range map[string]struct {
		store, x part
		ready    bool
	}{
		"all is well":               {fine, fine, true},
		"X does not answer":         {fine, silent, true},
		"the store is broken":       {broken, fine, false},
		"the store does not answer": {silent, fine, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := health.New(health.Part{Name: "store", Pinger: v.store, Required: true}, health.Part{Name: "x", Pinger: v.x}).Ready(t.Context())
			if r.Ready != v.ready || len(r.Parts) != 2 || r.Parts[0].Name != "store" || r.Parts[1].Name != "x" {
				t.Errorf("%s: %+v", name, r)
			}
		})
	}
}

func TestWhoAsksOftenGetsTheSameAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := health.New(health.Part{Name: "x", Pinger: part(func(context.Context) error { asked++; return nil })})
		for range 10 {
			s.Ready(t.Context())
			time.Sleep(500 * time.Millisecond)
		}
		if asked != 3 {
			t.Errorf("in five seconds X was asked %d times", asked)
		}
	})
}

func TestWhatXIsLeftAloneForLeavesPerchReady(t *testing.T) {
	fine := part(func(context.Context) error { return nil })
	holds := func() []xapp.Hold {
		return []xapp.Hold{
			{XApp: "b", Event: "x.breaker", Refuses: true}, {XApp: "a", Group: "reads", Event: "x.usage_cap", Refuses: true},
			{XApp: "a", Group: "reads", Event: "x.rate_limit"},
		}
	}
	s := health.New(health.Part{Name: "x", Pinger: fine, Required: true, Holds: holds}, health.Part{Name: "store", Pinger: fine})
	r := s.Ready(t.Context())
	if !r.Ready || len(r.Parts[0].Holds) != 2 || len(r.Parts[1].Holds) != 0 {
		t.Errorf("%+v", r)
	}
	var events []string
	for _, h := range s.Holds() {
		events = append(events, string(h.XApp)+" "+h.Event)
	}
	if want := []string{"a x.rate_limit", "a x.usage_cap", "b x.breaker"}; !slices.Equal(events, want) {
		t.Errorf("got %q", events)
	}
}
