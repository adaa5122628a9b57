package quotas_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/adapters/sqlstore"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/migrations"
	"perch/ports"
	"perch/ports/conformance/pgtest"
)

// replicated runs the test on each store that several Perches can have in common,
// of which four may hold so many percent.
func replicated(t *testing.T, test func(t *testing.T, store ports.QuotaStore, held int64)) {
	t.Run("memory", func(t *testing.T) {
		s := memory.Open()
		t.Cleanup(func() { _ = s.Close() })
		test(t, s.Quota(), 0)
	})
	t.Run("blocks", func(t *testing.T) {
		s := memory.Open()
		t.Cleanup(func() { _ = s.Close() })
		test(t, blocky{s.Quota()}, 8)
	})
	for name, v := range map[string]struct {
		url    func(t *testing.T) string
		schema migrations.Schema
	}{
		"sqlite":   {func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "perch.db") }, migrations.SQLite()},
		"postgres": {func(t *testing.T) string { return pgtest.URL(t) }, migrations.Postgres()},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sqlstore.Open(t.Context(), v.url(t))
			must(t, err)
			t.Cleanup(func() { _ = s.Close() })
			_, err = v.schema.Apply(t.Context(), s.DB())
			must(t, err)
			test(t, s.Quota(), 0)
		})
	}
}

// TestABurstOfFourPerchesStopsAtXsWindow: all at once, three times what X allows.
func TestABurstOfFourPerchesStopsAtXsWindow(t *testing.T) {
	replicated(t, func(t *testing.T, store ports.QuotaStore, held int64) {
		w := newWorld(t, 1, 4, store)
		var wishes []wish
		for i := range 300 {
			wishes = append(wishes, wish{app: i % 3, action: posts, body: fmt.Sprintf(`{"text":"burst %d"}`, i)})
		}
		var done, unclear atomic.Int64
		w.all(wishes, func(_ wish, reply ports.Reply, err error) {
			if err == nil && reply.Status == 201 {
				done.Add(1)
			} else if errors.Is(err, fault.Unavailable) {
				unclear.Add(1) // the store took too long, on a busy machine
			} else if !isLimit(err, "x-rate-limit") {
				t.Errorf("status %d, %v", reply.Status, err)
			}
		})
		refused, asked := w.refusals()
		if n := done.Load(); refused > 0 || n > 100 || n+unclear.Load() < 100-held || int64(asked) != n {
			t.Errorf("X was asked %d times, answered 429 %d times; %d posts, %d unclear", asked, refused, n, unclear.Load())
		}
	})
}

// TestCallsUnderWayWhenAWindowTurnsOverDoNotMeetX429: a window that is nearly
// unused ends while four Perches use it up, and go on in the next. A call may be
// under way for half a second.
func TestCallsUnderWayWhenAWindowTurnsOverDoNotMeetX429(t *testing.T) {
	replicated(t, func(t *testing.T, store ports.QuotaStore, held int64) {
		w := newWorld(t, 1, 4, store)
		var n, done, unclear atomic.Int64
		call := func() {
			i := n.Add(1)
			reply, err := w.ask(int(i), wish{app: int(i % 3), action: posts, body: fmt.Sprintf(`{"text":"turn %d"}`, i)})
			if err == nil && reply.Status == 201 {
				done.Add(1)
			} else if errors.Is(err, fault.Unavailable) {
				unclear.Add(1)
			} else if !isLimit(err, "x-rate-limit") {
				t.Errorf("status %d, %v", reply.Status, err)
			}
		}
		for range 3 {
			call() // which opens the window
			w.advance(896 * time.Second)
			var under [2]sync.WaitGroup
			for tick := range 36 {
				under[tick%2].Wait() // the calls of two ticks ago
				for range 12 {
					under[tick%2].Go(call)
				}
				w.advance(250 * time.Millisecond)
			}
			under[0].Wait()
			under[1].Wait()
			w.advance(1000 * time.Second)
		}
		refused, asked := w.refusals()
		t.Logf("X was asked %d times, %d posts", asked, done.Load())
		if refused > 0 || done.Load()+unclear.Load() < 520-6*held {
			t.Errorf("X answered 429 %d times of %d; %d posts", refused, asked, done.Load())
		}
	})
}

// TestWhatXNeverSawIsGivenBack: calls that fail before X use up nothing of ours or
// of X's windows; those that X may have seen do.
func TestWhatXNeverSawIsGivenBack(t *testing.T) {
	w := newWorld(t, 1, 1, nil, "app:3/h")
	who, call := w.caller(0), w.call(posts)
	unsent := fault.New(fault.Unavailable, "no way to X").Because(ports.ErrUnsent)
	for range 200 {
		settle, err := w.quotas[0].Enter(t.Context(), who, call)
		must(t, err)
		settle(t.Context(), &ports.Reply{}, unsent)
	}
	for range 3 {
		settle, err := w.quotas[0].Enter(t.Context(), who, call)
		must(t, err)
		settle(t.Context(), &ports.Reply{}, fault.New(fault.Upstream, "the reply broke off"))
	}
	if _, err := w.quotas[0].Enter(t.Context(), who, call); !isLimit(err, "limit-reached") {
		t.Errorf("the fourth call that X may have seen: %v", err)
	}
}

// A hasty store is left by its caller when it has spent, and says that it was.
type hasty struct {
	ports.QuotaStore
	leave context.CancelFunc
}

func (h *hasty) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	if ctx.Err() != nil || len(charges) < 3 { // it is an application's presence
		return h.QuotaStore.Spend(ctx, at, charges)
	}
	v, err := h.QuotaStore.Spend(context.WithoutCancel(ctx), at, charges)
	h.leave()
	if ctx.Err() != nil {
		return quota.Verdict{}, fault.New(fault.Unavailable, "nobody waits").Because(ctx.Err())
	}
	return v, err
}

// TestAClientThatLeavesUsesUpNothing: it leaves while its call is counted, a hundred
// times, and X is not asked.
func TestAClientThatLeavesUsesUpNothing(t *testing.T) {
	h := &hasty{QuotaStore: memory.NewQuota()}
	w := newWorld(t, 1, 1, h)
	for i := range 100 {
		ctx, leave := context.WithCancel(t.Context())
		h.leave = leave
		_, err := w.perches[0].Do(ctx, w.request(wish{action: posts, body: fmt.Sprintf(`{"text":"left %d"}`, i)}))
		if err == nil {
			t.Fatal("X was asked for a client that had left")
		}
	}
	h.leave = func() {}
	if n := w.left(t, w.caller(0), posts, 200); n != 100 {
		t.Errorf("%d calls are left, want all 100", n)
	}
	if _, asked := w.refusals(); asked > 0 {
		t.Errorf("X was asked %d times", asked)
	}
}
