package replays_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/replays"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/xapi"
	"perch/ports"
)

const (
	key     = "key-1"
	issuer  = "https://perch.example"
	hello   = `{"text":"hello"}`
	created = `{"data":{"id":"1","text":"hello"}}`
)

// errCrash is what a store says when it was not reached, or its answer was lost.
var errCrash = fault.New(fault.Unavailable, "the store does not answer")

// A faulty store of replies fails on demand. Create, Swap and Remove are its
// writes.
type faulty struct {
	ports.Replies

	mu     sync.Mutex
	before int  // writes until one fails with nothing stored; 0: none
	after  int  // writes until one fails although it was stored
	away   bool // every write fails from then on
	writes int
}

func (f *faulty) write(do func() error) error {
	f.mu.Lock()
	f.writes++
	fail, lose := f.away || f.before == 1, f.after == 1
	f.before, f.after = max(f.before-1, 0), max(f.after-1, 0)
	f.mu.Unlock()
	if fail {
		return errCrash
	}
	if err := do(); err != nil || !lose {
		return err
	}
	return errCrash
}

func (f *faulty) set(before, after int, away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after, f.away = before, after, away
}

func (f *faulty) Create(ctx context.Context, r idempotency.Record) error {
	return f.write(func() error { return f.Replies.Create(ctx, r) })
}

func (f *faulty) Swap(ctx context.Context, old, next idempotency.Record) error {
	return f.write(func() error { return f.Replies.Swap(ctx, old, next) })
}

func (f *faulty) Remove(ctx context.Context, old idempotency.Record) error {
	return f.write(func() error { return f.Replies.Remove(ctx, old) })
}

// A house is the slice over a store, with an X that counts.
type house struct {
	*replays.Service
	t     testing.TB
	store *faulty
	queue ports.Deliveries
	ring  *keyring.Ring
	who   ports.Caller

	mu    sync.Mutex
	off   time.Duration // of the clock
	asked int
	x     func() (ports.Reply, error) // what X answers
	posts []map[string]any            // of the user at X, the newest first
	looks int
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{
		t: t, store: &faulty{Replies: memory.NewReplies()}, queue: memory.NewDeliveries(), ring: keyring.Ephemeral(),
		who: ports.Caller{App: client.App{ID: "app"}, Grant: "grant", User: "7"},
		x:   func() (ports.Reply, error) { return replyOf(201, created), nil },
	}
	h.Service = h.another()
	return h
}

// another is the slice on another replica.
func (h *house) another() *replays.Service {
	s := replays.New(replays.Parts{Replies: h.store, Queue: h.queue, Keyring: h.ring, Now: h.now, Issuer: issuer})
	h.t.(interface{ Cleanup(func()) }).Cleanup(s.Close)
	return s
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.off).UTC().Truncate(time.Microsecond)
}

func (h *house) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.off += d
}

func replyOf(status int, body string) ports.Reply {
	return ports.Reply{
		Status: status, Whole: []byte(body), Length: int64(len(body)), Body: io.NopCloser(bytes.NewReader([]byte(body))),
		Header: map[string][]string{"Content-Type": {"application/json"}, "X-Rate-Limit-Remaining": {"5"}},
	}
}

func (h *house) call(id, body string) ports.Call {
	act, ok := xapi.ByID(id)
	if !ok {
		h.t.Fatalf("no action %s", id)
	}
	return ports.Call{Action: act, Type: "application/json", Length: int64(len(body))}
}

// ask performs a post with the key and returns what X was asked for in truth.
func (h *house) ask(s *replays.Service, k, body string) (ports.Reply, error) {
	return s.Once(context.Background(), h.who, k, h.call("createPosts", body), []byte(body), h.perform)
}

// perform is what the actions slice does: it says that X is asked, and asks.
func (h *house) perform(ctx context.Context, sent func(context.Context) error) (ports.Reply, error) {
	if err := sent(ctx); err != nil {
		return ports.Reply{}, errors.Join(err, ports.ErrUnsent)
	}
	h.mu.Lock()
	h.asked++
	x := h.x
	h.mu.Unlock()
	return x()
}

func (h *house) answers(x func() (ports.Reply, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.x = x
}

func (h *house) times() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func (h *house) holder() replays.Holder {
	return replays.Holder{App: h.who.App.ID, Grant: h.who.Grant, User: h.who.User}
}

// look is X's list of the user's posts.
func (h *house) look(_ context.Context, c ports.Call) (ports.Reply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	if c.Action.ID != "getUsersPosts" || c.Params["id"] != "7" {
		h.t.Errorf("looked by %s of %v", c.Action.ID, c.Params)
	}
	body, err := json.Marshal(map[string]any{"data": h.posts, "meta": map[string]any{"result_count": len(h.posts)}})
	if err != nil {
		h.t.Fatal(err)
	}
	return replyOf(200, string(body)), nil
}

// is checks how the key stands.
func (h *house) is(want idempotency.State) {
	h.t.Helper()
	s, err := h.Look(context.Background(), h.holder(), key)
	if want == "" {
		if !errors.Is(err, fault.NotFound) {
			h.t.Errorf("something is known of the key: %+v, %v", s, err)
		}
		return
	}
	if err != nil || s.State != want || s.Advice == "" {
		h.t.Errorf("the key is %+v, %v; want %s", s, err, want)
	}
}

// refused checks the problem of an error.
func (h *house) refused(err error, slug string) {
	h.t.Helper()
	_ = h.problem(err, slug)
}

// problem returns the problem of an error.
func (h *house) problem(err error, slug string) *fault.Error {
	h.t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Slug != slug {
		h.t.Fatalf("got %v, want %s", err, slug)
	}
	return f
}
