package spending_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/app/spending"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/domain/xapi"
	"perch/ports"
)

const cent = money.USD / 100

// A till is the service over a store in memory, with a clock that stands still.
type till struct {
	*spending.Service
	t      *testing.T
	store  *memory.Store
	now    time.Time
	app    client.App
	events []audit.Event
}

func (h *till) clock() time.Time { return h.now }

func (h *till) Observe(_ context.Context, e audit.Event) { h.events = append(h.events, e) }

func open(t *testing.T, budget money.Budget) *till {
	t.Helper()
	h := &till{
		t: t, store: memory.Open(), now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC),
		app: client.App{ID: "app_1", Budget: budget},
	}
	t.Cleanup(func() { _ = h.store.Close() })
	h.Service = spending.New(spending.Parts{
		Budgets: h.store.Budgets(), Usage: h.store.Usage(), Apps: h, Observer: h, Now: func() time.Time { return h.now },
	})
	return h
}

func (h *till) who(grant oauth.GrantID) ports.Caller {
	return ports.Caller{App: h.app, Grant: grant, AllUse: true}
}

func call(t *testing.T, id, query, body string) ports.Call {
	t.Helper()
	act, ok := xapi.ByID(id)
	if !ok {
		t.Fatalf("no action %s", id)
	}
	c := ports.Call{Action: act, Query: query, XApp: "x"}
	if body != "" {
		c.Body = strings.NewReader(body)
	}
	return c
}

// do makes a call that ends with the reply or the error, and returns what the
// client is told that it cost.
func (h *till) do(c ports.Call, status int, body string, err error) (string, error) {
	h.t.Helper()
	settle, refused := h.Enter(h.t.Context(), h.who("grant_1"), c)
	if refused != nil {
		return "", refused
	}
	reply := ports.Reply{Status: status}
	if body != "" {
		reply.Whole = []byte(body)
	}
	settle(h.t.Context(), &reply, err)
	return strings.Join(reply.Header["Perch-Cost"], ""), nil
}

// line is all of the usage together, as the store has it after a flush.
func (h *till) line() spend.Amount {
	h.t.Helper()
	if err := h.Flush(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	lines, err := h.store.Usage().List(h.t.Context(), spend.Query{To: 99991231, Most: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(lines) == 0 {
		return spend.Amount{}
	}
	return lines[0].Amount
}

// standing is how the application's budget of the day stands.
func (h *till) standing() spend.Standing {
	h.t.Helper()
	s, err := h.store.Budgets().Standing(h.t.Context(), []spend.Account{{App: h.app.ID, Period: int64(spend.DayOf(h.now))}})
	if err != nil {
		h.t.Fatal(err)
	}
	return s[0]
}

func TestACallCostsWhatItsEndSays(t *testing.T) {
	post, link := `{"text":"hello"}`, `{"text":"see example.com"}`
	away, unsent := errors.New("no answer"), errors.Join(errors.New("refused"), ports.ErrUnsent)
	for what, v := range map[string]struct {
		action, query, body string
		status              int
		reply               string
		err                 error
		cost                string // as the client is told
		want                spend.Amount
	}{
		"a post":                     {"createPosts", "", post, 201, `{"data":{"id":"1"}}`, nil, "0.015", spend.Amount{Calls: 1, Cost: 15_000}},
		"a post with a link":         {"createPosts", "", link, 201, `{"data":{"id":"1"}}`, nil, "0.20", spend.Amount{Calls: 1, Cost: 200_000}},
		"a post that X refused":      {"createPosts", "", post, 403, `{"title":"Forbidden"}`, nil, "", spend.Amount{}},
		"a post without data":        {"createPosts", "", post, 200, `{"errors":[{}]}`, nil, "0.00", spend.Amount{Calls: 1}},
		"a post without an answer":   {"createPosts", "", post, 0, "", away, "", spend.Amount{Calls: 1, Cost: 15_000, Unsure: 15_000}},
		"a post that X failed at":    {"createPosts", "", post, 503, "", nil, "0.015", spend.Amount{Calls: 1, Cost: 15_000, Unsure: 15_000}},
		"a post that X sent away":    {"createPosts", "", post, 307, "", away, "", spend.Amount{Calls: 1, Cost: 15_000, Unsure: 15_000}},
		"a page that X sent away":    {"searchPostsRecent", "query=a", "", 302, "", away, "", spend.Amount{}},
		"a post that was not sent":   {"createPosts", "", post, 0, "", unsent, "", spend.Amount{}},
		"a post of a bad token":      {"createPosts", "", post, 401, "", away, "", spend.Amount{}},
		"a post too many":            {"createPosts", "", post, 429, "", nil, "", spend.Amount{}},
		"a page":                     {"searchPostsRecent", "query=a", "", 200, `{"data":[{"id":"1"},{"id":"2"}]}`, nil, "0.01", spend.Amount{Calls: 1, Resources: 2, Cost: 10_000}},
		"an empty page":              {"searchPostsRecent", "query=a", "", 200, `{"meta":{"result_count":0}}`, nil, "0.00", spend.Amount{Calls: 1}},
		"a page without an answer":   {"searchPostsRecent", "query=a", "", 0, "", away, "", spend.Amount{Calls: 1, Cost: 50_000, Unsure: 50_000}},
		"a page that broke off":      {"searchPostsRecent", "query=a", "", 200, "", away, "", spend.Amount{Calls: 1, Cost: 50_000, Unsure: 50_000}},
		"a page that X failed at":    {"searchPostsRecent", "query=a", "", 500, "", nil, "", spend.Amount{}},
		"a page too long to look at": {"searchPostsRecent", "query=a", "", 200, "", nil, "0.05", spend.Amount{Calls: 1, Cost: 50_000, Unsure: 50_000}},
		"a page with authors": {
			"searchPostsRecent", "query=a", "", 200, `{"data":[{"id":"1"}],"includes":{"users":[{"id":"7"}]}}`, nil, "0.005",
			spend.Amount{Calls: 1, Resources: 1, Cost: 5_000, Includes: 10_000},
		},
		"trends":                {"getTrendsByWoeid", "", "", 200, `{"data":[{"trend_name":"a"},{"trend_name":"b"}]}`, nil, "0.01", spend.Amount{Calls: 1, Cost: 10_000}},
		"what has no price":     {"getOpenApiSpec", "", "", 200, `{"data":[]}`, nil, "", spend.Amount{Calls: 1}},
		"an upload's beginning": {"initializeMediaUpload", "", `{}`, 200, `{"data":{"id":"1"}}`, nil, "", spend.Amount{Calls: 1}},
	} {
		for _, budget := range []money.Budget{{}, {Day: money.USD}} {
			h := open(t, budget)
			cost, err := h.do(call(t, v.action, v.query, v.body), v.status, v.reply, v.err)
			if err != nil || cost != v.cost {
				t.Errorf("%s: told %q, want %q; %v", what, cost, v.cost, err)
			}
			if got := h.line(); got != v.want {
				t.Errorf("%s: counted %+v, want %+v", what, got, v.want)
			}
			if st := h.standing(); st.Reserved != 0 || st.Spent != v.want.Cost {
				t.Errorf("%s, budget %v: the budget stands at %+v", what, budget, st)
			}
		}
	}
}

func TestAResourceIsPaidOnceADay(t *testing.T) {
	for _, budget := range []money.Budget{{}, {Day: money.USD}} {
		h := open(t, budget)
		two := open(t, budget) // another replica
		two.Service = spending.New(spending.Parts{
			Budgets: h.store.Budgets(), Usage: h.store.Usage(), Observer: two, Now: func() time.Time { return h.now },
		})
		ask := func(who *till, ids, want string, hours int) {
			t.Helper()
			h.now = h.now.Add(time.Duration(hours) * time.Hour)
			data := `{"data":[{"id":"` + strings.ReplaceAll(ids, ",", `"},{"id":"`) + `"}]}`
			if cost, err := who.do(call(t, "getPostsByIds", "ids="+ids, ""), 200, data, nil); err != nil || cost != want {
				t.Errorf("%s cost %s, want %s; %v", ids, cost, want, err)
			}
			if err := who.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
		ask(h, "1,2", "0.01", 0)
		ask(h, "2,3", "0.005", 0)
		ask(h, "1,2,3", "0.00", 11)
		if !budget.None() { // without a budget, another replica says what it costs at most
			ask(two, "3,4", "0.005", 0)
		} else {
			ask(two, "3,4", "0.01", 0)
		}
		ask(h, "1", "0.005", 1) // after midnight
		if got := h.line(); got.Cost != 25_000 || got.Resources != 10 {
			t.Errorf("in all: %+v", got)
		}
	}
}

// X bills requests each time, and resources once a day.
func TestAnswersThatWereLostCostToo(t *testing.T) {
	away := errors.New("no answer")
	for what, v := range map[string]struct {
		action, query string
		reply         ports.Reply
		err           error
		cost          string
		want          spend.Amount
	}{
		"a count, twice lost":        {"getPostsCountsRecent", "query=a", ports.Reply{Status: 200, Whole: []byte(`{"data":[{}]}`), Lost: 2}, nil, "0.015", spend.Amount{Calls: 1, Cost: 15_000, Unsure: 10_000}},
		"a count, never heard":       {"getPostsCountsRecent", "query=a", ports.Reply{Lost: 2}, away, "", spend.Amount{Calls: 1, Cost: 15_000, Unsure: 15_000}},
		"a count, refused at last":   {"getPostsCountsRecent", "query=a", ports.Reply{Status: 429, Lost: 1}, nil, "0.005", spend.Amount{Calls: 1, Cost: 5_000, Unsure: 5_000}},
		"a page, twice lost":         {"searchPostsRecent", "query=a", ports.Reply{Status: 200, Whole: []byte(`{"data":[{"id":"1"}]}`), Lost: 2}, nil, "0.005", spend.Amount{Calls: 1, Resources: 1, Cost: 5_000}},
		"a page, refused at last":    {"searchPostsRecent", "query=a", ports.Reply{Status: 503, Lost: 2}, nil, "0.05", spend.Amount{Calls: 1, Cost: 50_000, Unsure: 50_000}},
		"what has no price, refused": {"getOpenApiSpec", "", ports.Reply{Status: 429, Lost: 1}, nil, "", spend.Amount{Calls: 1}},
	} {
		for _, budget := range []money.Budget{{}, {Day: money.USD}} {
			h := open(t, budget)
			settle, err := h.Enter(t.Context(), h.who("grant_1"), call(t, v.action, v.query, ""))
			if err != nil {
				t.Fatal(err)
			}
			reply := v.reply
			settle(t.Context(), &reply, v.err)
			if cost := strings.Join(reply.Header["Perch-Cost"], ""); cost != v.cost {
				t.Errorf("%s: told %q, want %q", what, cost, v.cost)
			}
			if got := h.line(); got != v.want {
				t.Errorf("%s: counted %+v, want %+v", what, got, v.want)
			}
			if st := h.standing(); st.Reserved != 0 || !budget.None() && st.Spent != v.want.Cost {
				t.Errorf("%s, budget %v: the budget stands at %+v", what, budget, st)
			}
		}
	}
}

// X may have billed it on either day, though the day before has paid for what is in it.
func TestACallThatSpansMidnightIsCountedInFull(t *testing.T) {
	h := open(t, money.Budget{Day: money.USD})
	h.now = time.Date(2026, 11, 26, 23, 59, 59, 0, time.UTC)
	const reply = `{"data":[{"id":"1"}]}`
	for _, want := range []string{"0.005", "0.00"} {
		if cost, err := h.do(call(t, "getPostsById", "", ""), 200, reply, nil); cost != want || err != nil {
			t.Errorf("on the day before: %s, %v", cost, err)
		}
	}
	settle, err := h.Enter(t.Context(), h.who("g"), call(t, "getPostsById", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	before := h.now
	h.now = h.now.Add(2 * time.Second)
	settle(t.Context(), &ports.Reply{Status: 200, Whole: []byte(reply)}, nil)
	if cost, err := h.do(call(t, "getPostsById", "", ""), 200, reply, nil); cost != "0.005" || err != nil {
		t.Errorf("on the day after: %s, %v", cost, err)
	}
	if st := h.standing(); st.Spent != 5_000 {
		t.Errorf("the day after stands at %+v", st)
	}
	h.now = before
	if st := h.standing(); st.Spent != 10_000 || st.Reserved != 0 {
		t.Errorf("the day before stands at %+v", st)
	}
}

func TestABudgetThatIsSpentSaysSo(t *testing.T) {
	h := open(t, money.Budget{Day: 2 * cent, Month: money.USD})
	post := call(t, "createPosts", "", `{"text":"a"}`)
	if _, err := h.do(post, 201, `{"data":{"id":"1"}}`, nil); err != nil {
		t.Fatal(err)
	}
	_, err := h.do(post, 201, `{"data":{"id":"2"}}`, nil)
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Limited || f.Slug != "budget-spent" || f.Wait != 12*time.Hour {
		t.Fatalf("got %#v", err)
	}
	for name, want := range map[string]string{
		"budget": "application", "period": "day", "size": "0.02", "spent": "0.015", "reserved": "0.00", "cost": "0.015",
		"renews": "2026-11-27T00:00:00Z",
	} {
		if f.Extra[name] != want {
			t.Errorf("%s is %q, want %q", name, f.Extra[name], want)
		}
	}
	if !strings.Contains(f.Say, "0.02 USD") || !strings.Contains(f.Say, "0.005 USD left") {
		t.Error(f.Say)
	}
	if cost, err := h.do(call(t, "getPostsById", "", ""), 200, `{"data":{"id":"9"}}`, nil); cost != "0.005" || err != nil {
		t.Errorf("what still fits: %s, %v", cost, err)
	}
	h.now = h.now.Add(12 * time.Hour)
	if _, err := h.do(post, 201, `{"data":{"id":"2"}}`, nil); err != nil {
		t.Errorf("on the next day: %v", err)
	}
}

// Whoever signs in, or has a key of one grant, learns nothing of what the others spend.
func TestWhoSeesItsGrantsAloneIsNotToldWhatItsApplicationSpends(t *testing.T) {
	h := open(t, money.Budget{Day: 2 * cent})
	h.post("g")
	refused := func() *fault.Error {
		t.Helper()
		who := h.who("g")
		who.AllUse = false
		_, err := h.Enter(t.Context(), who, call(t, "createPosts", "", `{"text":"a"}`))
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Slug != "budget-spent" {
			t.Fatalf("got %#v", err)
		}
		return f
	}
	f := refused()
	for _, name := range []string{"size", "spent", "reserved"} {
		if _, ok := f.Extra[name]; ok {
			t.Errorf("it is told %s", name)
		}
	}
	if f.Extra["budget"] != "application" || f.Extra["cost"] != "0.015" || strings.Contains(f.Say, "0.02") || strings.Contains(f.Say, "0.005") {
		t.Errorf("%s %v", f.Say, f.Extra)
	}
	h.app.Budget, h.app.GrantBudget = money.Budget{}, money.Budget{Day: 2 * cent}
	if f = refused(); f.Extra["budget"] != "grant" || f.Extra["spent"] != "0.015" || !strings.Contains(f.Say, "0.02 USD") {
		t.Errorf("of its own budget: %s %v", f.Say, f.Extra)
	}
}

func TestAGrantHasABudgetOfItsOwn(t *testing.T) {
	h := open(t, money.Budget{Month: money.USD})
	h.app.GrantBudget = money.Budget{Month: 2 * cent}
	post := func(grant oauth.GrantID) error {
		settle, err := h.Enter(t.Context(), h.who(grant), call(t, "createPosts", "", `{"text":"a"}`))
		if err == nil {
			settle(t.Context(), &ports.Reply{Status: 201, Whole: []byte(`{"data":{"id":"1"}}`)}, nil)
		}
		return err
	}
	if err := post("a"); err != nil {
		t.Fatal(err)
	}
	f, ok := errors.AsType[*fault.Error](post("a"))
	if !ok || f.Extra["budget"] != "grant" || f.Extra["period"] != "month" || f.Extra["renews"] != "2026-12-01T00:00:00Z" {
		t.Errorf("got %#v", f)
	}
	for _, grant := range []oauth.GrantID{"b", "", ""} {
		if err := post(grant); err != nil {
			t.Errorf("grant %q: %v", grant, err)
		}
	}
}

// The last cents are not kept by a page that could be long; while it is under
// way others wait a moment.
func TestALongPageGoesAloneAtTheEnd(t *testing.T) {
	h := open(t, money.Budget{Day: 5 * cent})
	long, short := call(t, "getUsersPosts", "", ""), call(t, "getPostsById", "", "")
	settle, err := h.Enter(t.Context(), h.who("g"), long)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.do(short, 200, "", nil)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Wait != time.Second || f.Extra["reserved"] != "0.50" {
		t.Errorf("meanwhile: %#v", err)
	}
	settle(t.Context(), &ports.Reply{Status: 200, Whole: []byte(`{"data":[{"id":"1"}]}`)}, nil)
	if _, err := h.do(short, 200, `{"data":{"id":"2"}}`, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAStreamHasNoBound(t *testing.T) {
	stream := call(t, "streamPosts", "", "")
	if _, err := open(t, money.Budget{Day: 1}).do(stream, 200, "", nil); fault.SlugOf(err) != "stream-has-no-bound" {
		t.Errorf("with a budget: %v", err)
	}
	h := open(t, money.Budget{})
	if cost, err := h.do(stream, 200, "", nil); cost != "" || err != nil || h.line() != (spend.Amount{Calls: 1}) {
		t.Errorf("without: %q, %v", cost, err)
	}
}

func TestWhatTheCacheAnswersIsSaved(t *testing.T) {
	h := open(t, money.Budget{Day: 10 * money.USD})
	again := func(action, body string) {
		h.Saved(t.Context(), h.who("g"), call(t, action, "", ""), ports.Reply{Status: 200, Whole: []byte(body)})
	}
	me, trends := `{"data":{"id":"7"}}`, `{"data":[{"trend_name":"a"}]}`
	again("getUsersMe", me)
	if got := h.line(); got != (spend.Amount{Hits: 1, Saved: 10_000}) {
		t.Errorf("what X was not asked for today: %+v", got)
	}
	if _, err := h.do(call(t, "getUsersMe", "", ""), 200, me, nil); err != nil {
		t.Fatal(err)
	}
	again("getUsersMe", me)
	if got := h.line(); got.Hits != 2 || got.Saved != 10_000 {
		t.Errorf("with what the X App had today: %+v", got)
	}
	again("getTrendsByWoeid", trends)
	if got := h.line(); got.Hits != 3 || got.Saved != 20_000 {
		t.Errorf("with what costs for each request: %+v", got)
	}
	h.now = h.now.Add(12 * time.Hour)
	again("getUsersMe", me)
	if got := h.line(); got.Hits != 4 || got.Saved != 30_000 {
		t.Errorf("with what it had on the day before: %+v", got)
	}
}
