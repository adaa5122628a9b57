package deliveries_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/adapters/sqlstore"
	"perch/app/deliveries"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapi"
	"perch/migrations"
	"perch/ports"
	"perch/ports/conformance/pgtest"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// A watch stands still until it is told to go on.
type watch struct {
	mu  sync.Mutex
	now time.Time
}

func (c *watch) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *watch) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A box is X behind actions that perform what has the same key once.
type box struct {
	mu     sync.Mutex
	sent   []string        // bodies, as X performed them
	known  map[string]bool // keys of which X's answer is known
	asked  map[string]bool // keys with which X was asked and performed, whoever knows of it
	allows error           // what is said of every call before X is asked
	answer func(key string) (status int, err error)
	before func(key string) // X is asked
	body   string           // of X's refusals
	wait   string           // their Retry-After
	now    func() time.Time
}

func newBox() *box {
	return &box{body: `{"title":"no"}`, known: map[string]bool{}, asked: map[string]bool{}}
}

// down is what is said while X is not reached.
func down(string) (int, error) {
	return 0, fmt.Errorf("%w: %w", fault.New(fault.Unavailable, "X does not answer; try again"), ports.ErrUnsent)
}

func (b *box) does(answer func(key string) (int, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

func (b *box) Allows(context.Context, delivery.Delivery, delivery.Call) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.allows
}

func (b *box) Deliver(ctx context.Context, d delivery.Delivery, c delivery.Call) (ports.Reply, error) {
	if b.before != nil {
		b.before(d.Key)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := string(d.App) + " " + string(d.Grant) + " " + d.Key
	if b.allows != nil {
		return ports.Reply{}, fmt.Errorf("%w: %w", b.allows, ports.ErrUnsent)
	}
	if ctx.Err() != nil {
		return ports.Reply{}, ctx.Err()
	}
	if b.asked[key] {
		b.known[key] = true // it was looked for at X, and is there
		return reply(201, `{"data":{"id":"1"}}`), nil
	}
	if b.now != nil && !b.now().Before(d.Limit()) {
		return ports.Reply{}, fmt.Errorf("%w: %w", fault.New(fault.Conflict, "too late").Named(delivery.TooLate), ports.ErrUnsent)
	}
	if b.answer != nil {
		if status, err := b.answer(d.Key); err != nil || status >= 300 {
			r := reply(status, b.body)
			r.Header["Retry-After"] = []string{b.wait}
			return r, err
		}
	}
	b.asked[key], b.known[key] = true, true
	text, err := strconv.Unquote(c.Body)
	if err != nil {
		return ports.Reply{}, err
	}
	b.sent = append(b.sent, text)
	return reply(201, `{"data":{"id":"1"}}`), nil
}

// lose has X perform the call whose answer is lost.
func (b *box) lose(d delivery.Delivery, body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[string(d.App)+" "+string(d.Grant)+" "+d.Key] = true
	b.sent = append(b.sent, body)
}

func (b *box) ledger() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.sent...)
}

func reply(status int, body string) ports.Reply {
	return ports.Reply{
		Status: status, Header: map[string][]string{"Content-Type": {"application/json"}}, Whole: []byte(body),
		Body: io.NopCloser(strings.NewReader(body)), Length: int64(len(body)),
	}
}

// A store is what outlives a service.
type store interface {
	Deliveries() ports.Deliveries
	Replies() ports.Replies
	DeliveryQueue() ports.DeliveryQueue
	Close() error
}

// kinds are the kinds of stores that outlive a process.
func kinds() []string { return []string{"sqlite", "postgres"} }

// opener is how to open an empty store of the kind, and later once more.
func opener(t *testing.T, kind string) func() store {
	t.Helper()
	schema, dsn := migrations.SQLite(), "sqlite:"+t.TempDir()+"/perch.db"
	if kind == "postgres" {
		schema, dsn = migrations.Postgres(), pgtest.URL(t)
	}
	return func() store {
		s, err := sqlstore.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := schema.Apply(t.Context(), s.DB()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

// A house is a service with what it needs.
type house struct {
	*deliveries.Service
	t     *testing.T
	clock *watch
	box   *box
	store store
	ring  ports.Keyring

	mu     sync.Mutex
	events []audit.Event
}

func (h *house) Observe(_ context.Context, e audit.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// verbs are those of the events so far.
func (h *house) verbs() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, e := range h.events {
		all = append(all, e.Verb)
	}
	return strings.Join(all, " ")
}

func newHouse(t *testing.T) *house {
	s := memory.Open()
	t.Cleanup(func() { _ = s.Close() })
	h := &house{t: t, clock: &watch{now: noon}, box: newBox(), store: s, ring: keyring.Ephemeral()}
	return h.again(s)
}

// again is another replica over the store, or the same one after a restart.
func (h *house) again(s store) *house {
	n := &house{t: h.t, clock: h.clock, box: h.box, store: s, ring: h.ring}
	h.box.now = h.clock.Now
	n.Service = deliveries.New(deliveries.Parts{
		Store: s.Deliveries(), Queue: s.DeliveryQueue(), Replies: s.Replies(), Actions: h.box, Keyring: h.ring, Observer: n, Now: h.clock.Now,
		Room: delivery.Room{Line: 50, App: 120}, Every: 20 * time.Millisecond,
	})
	return n
}

func request(grant, body string) deliveries.Request {
	act, ok := xapi.ByID("createPosts")
	if !ok {
		panic("there is no createPosts")
	}
	return deliveries.Request{
		Actor: "key_1", App: "app_1", Grant: oauth.GrantID(grant), Action: act,
		Call: delivery.Call{Request: "req_1", Type: "application/json", Body: asJSON(body)},
	}
}

func (h *house) accept(grant, body string) delivery.Delivery {
	h.t.Helper()
	d, err := h.Accept(h.t.Context(), request(grant, body))
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *house) work() int {
	h.t.Helper()
	n, err := h.Work(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// pass lets time pass in steps of half a minute, and works.
func (h *house) pass(d time.Duration) {
	h.t.Helper()
	for ; d > 0; d -= 30 * time.Second {
		h.clock.advance(30 * time.Second)
		h.work()
	}
}

func (h *house) want(id delivery.ID, state delivery.State) delivery.Delivery {
	h.t.Helper()
	d, err := h.Get(h.t.Context(), client.AppID("app_1"), id)
	if err != nil {
		h.t.Fatal(err)
	}
	if d.State != state {
		h.t.Errorf("%s is %s (%+v), want %s", id, d.State, d.Outcome, state)
	}
	return d
}

func (h *house) wantSent(want ...string) {
	h.t.Helper()
	if got := h.box.ledger(); strings.Join(got, " ") != strings.Join(want, " ") {
		h.t.Errorf("X has performed %q, want %q", got, want)
	}
}

func dice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// asJSON is a body as it is, if it is JSON, and else as a text of JSON.
func asJSON(body string) string {
	if body == "" || json.Valid([]byte(body)) {
		return body
	}
	return strconv.Quote(body)
}
