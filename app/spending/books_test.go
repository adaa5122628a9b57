package spending_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"perch/app/spending"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

// busy is a store during whose writes calls end.
type busy struct {
	ports.Usage
	during  func()
	writers map[string]int // how many lines each wrote
	down    bool
}

func (b *busy) Keep(ctx context.Context, writer string, lines []spend.Line) error {
	b.during()
	if b.down {
		return errors.New("down")
	}
	b.writers[writer] += len(lines)
	return b.Usage.Keep(ctx, writer, lines)
}

func (h *till) post(grant oauth.GrantID) {
	h.t.Helper()
	settle, err := h.Enter(h.t.Context(), h.who(grant), call(h.t, "createPosts", "", `{"text":"a"}`))
	if err != nil {
		h.t.Fatal(err)
	}
	settle(h.t.Context(), &ports.Reply{Status: 201, Whole: []byte(`{"data":{"id":"1"}}`)}, nil)
}

func busily(t *testing.T) (*till, *busy) {
	t.Helper()
	h := open(t, money.Budget{})
	b := &busy{Usage: h.store.Usage(), during: func() { h.post("busy") }, writers: map[string]int{}}
	h.Service = spending.New(spending.Parts{Budgets: h.store.Budgets(), Usage: b, Observer: h, Now: h.clock})
	return h, b
}

func (h *till) of(grant oauth.GrantID) int64 {
	h.t.Helper()
	lines, err := h.store.Usage().List(h.t.Context(), spend.Query{To: 99991231, Grant: grant, Most: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	var calls int64
	for _, l := range lines {
		calls += l.Calls
	}
	return calls
}

func TestGrantsAreToldApartHoweverBusyAReplicaIs(t *testing.T) {
	h, b := busily(t)
	const grants = 60_000
	grant := func(i int) oauth.GrantID { return oauth.GrantID(fmt.Sprintf("g%d", i)) }
	for i := range grants {
		if h.post(grant(i)); i%2_000 == 0 {
			b.down = i%6_000 != 0
			if err := h.Flush(t.Context()); (err != nil) != b.down {
				t.Fatal(err)
			}
		}
	}
	b.down, b.during = false, func() {}
	h.line()
	for i := 0; i < grants; i += 9_973 {
		if n := h.of(grant(i)); n != 1 {
			t.Errorf("%s has %d calls", grant(i), n)
		}
	}
	if n := h.of(""); n < grants || h.of("busy") == 0 || len(b.writers) < 3 {
		t.Errorf("%d calls in all, %d during writes, by %d writers", n, h.of("busy"), len(b.writers))
	}
}

// What is written late of a day that is over is another writer's.
func TestADayThatIsOverIsPutAway(t *testing.T) {
	h, b := busily(t)
	b.during = func() {}
	settle, err := h.Enter(t.Context(), h.who("g"), call(t, "createPosts", "", `{"text":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	h.post("g")
	h.line()
	h.now = h.now.Add(24 * time.Hour)
	for range 2 {
		h.line()
	}
	settle(t.Context(), &ports.Reply{Status: 201, Whole: []byte(`{"data":{"id":"1"}}`)}, nil)
	if got := h.line(); got.Calls != 2 || len(b.writers) != 2 {
		t.Errorf("counted %+v by %d writers", got, len(b.writers))
	}
}

// What is forgotten is billed once all the same: the store knows it.
func TestWhatIsKnownToBeBilledHasABound(t *testing.T) {
	h := open(t, money.Budget{})
	const pages, each = 4, 50_000
	read := func(ids string) string {
		t.Helper()
		cost, err := h.do(call(t, "getPostsById", "", ""), 200, `{"data":[`+ids+`]}`, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cost
	}
	for _, want := range []string{"0.005", "0.00"} {
		if got := read(`{"id":"0"}`); got != want {
			t.Errorf("it costs %s, want %s", got, want)
		}
	}
	for page := range pages {
		ids := make([]string, each)
		for i := range ids {
			ids[i] = fmt.Sprintf(`{"id":"%d"}`, 1+page*each+i)
		}
		read(strings.Join(ids, ","))
		h.line()
	}
	if got := read(`{"id":"0"}`); got != "0.005" {
		t.Errorf("after %d others it costs %s at most", pages*each, got)
	}
	if got := h.line(); got.Cost != 5_000*(1+pages*each) {
		t.Errorf("counted %s", got.Cost)
	}
}
