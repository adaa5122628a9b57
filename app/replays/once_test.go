package replays_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/app/replays"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

func TestTheSecondRequestGetsTheAnswerToTheFirst(t *testing.T) {
	h := newHouse(t)
	first, err := h.ask(h.Service, key, hello)
	if err != nil || first.Status != 201 || first.Header["Idempotency-Replayed"] != nil {
		t.Fatalf("%+v, %v", first, err)
	}
	for _, form := range []string{key, `"key-1"`, " key-1 "} {
		again, err := h.ask(h.another(), form, hello)
		if err != nil || again.Status != 201 || string(again.Whole) != created || again.Length != int64(len(created)) {
			t.Fatalf("%s: %+v, %v", form, again, err)
		}
		if again.Header["Idempotency-Replayed"][0] != "true" || again.Header["Content-Type"][0] != "application/json" ||
			again.Header["X-Rate-Limit-Remaining"] != nil {
			t.Errorf("%s: headers %v", form, again.Header)
		}
	}
	if h.times() != 1 {
		t.Errorf("X was asked %d times", h.times())
	}
	h.is(idempotency.Done)
	h.later(idempotency.Window * time.Hour)
	h.is("")
	if again, err := h.ask(h.Service, key, `{"text":"another"}`); err != nil || again.Header["Idempotency-Replayed"] != nil {
		t.Errorf("after a day the key is not free: %v", err)
	}
}

// Whoever uses the key of somebody else uses another key.
func TestAKeyIsItsOwners(t *testing.T) {
	h := newHouse(t)
	if _, err := h.ask(h.Service, key, hello); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(){
		"another application":       func() { h.who.App.ID = "app-2" },
		"another grant":             func() { h.who.Grant = "grant-2" },
		"an application by no user": func() { h.who.Grant = "" },
		"nobody, who has no keys":   func() { h.who.App.ID, h.who.Grant = "", "" },
	} {
		change()
		h.is("")
		if again, err := h.ask(h.Service, key, hello); err != nil || again.Header["Idempotency-Replayed"] != nil {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
		h.who.App.ID, h.who.Grant = "app", "grant"
	}
	if h.times() != 5 {
		t.Errorf("X was asked %d times", h.times())
	}
}

func TestAKeyBelongsToOneRequest(t *testing.T) {
	h := newHouse(t)
	if _, err := h.ask(h.Service, key, hello); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func() (ports.Reply, error){
		"another body": func() (ports.Reply, error) { return h.ask(h.Service, key, `{"text":"other"}`) },
		"another query": func() (ports.Reply, error) {
			c := h.call("createPosts", hello)
			c.Query = "a=1"
			return h.Once(t.Context(), h.who, key, c, []byte(hello), h.perform)
		},
		"another path": func() (ports.Reply, error) {
			c := h.call("createUsersBookmark", hello)
			c.Params = map[string]string{"id": "7"}
			return h.Once(t.Context(), h.who, key, c, []byte(hello), h.perform)
		},
	} {
		_, err := ask()
		if f := h.problem(err, "idempotency-key-reused"); f.Kind != fault.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h.times() != 1 {
		t.Errorf("X was asked %d times", h.times())
	}
}

func TestWhatXsAnswerMeans(t *testing.T) {
	broken := fault.New(fault.Upstream, "X's answer broke off").Named("x-broken-answer")
	for name, v := range map[string]struct {
		reply ports.Reply
		err   error
		state idempotency.State
	}{
		"created":                    {replyOf(201, created), nil, idempotency.Done},
		"no content":                 {replyOf(204, ""), nil, idempotency.Done},
		"a refusal":                  {replyOf(403, `{"title":"Forbidden"}`), nil, idempotency.Done},
		"a bad request":              {replyOf(400, `{}`), nil, idempotency.Done},
		"wants another credential":   {replyOf(401, `{}`), nil, ""},
		"wants money":                {replyOf(402, `{}`), nil, ""},
		"took too long to arrive":    {replyOf(408, `{}`), nil, idempotency.Unknown},
		"has no credits left":        {replyOf(403, `{"title":"CreditsDepleted"}`), nil, ""},
		"has used its cap up":        {replyOf(403, `{"errors":[{"title":"UsageCapExceeded"}]}`), nil, ""},
		"came too early":             {replyOf(425, `{}`), nil, ""},
		"came too often":             {replyOf(429, `{}`), nil, ""},
		"wanted another, and failed": {ports.Reply{Status: 401}, fault.New(fault.Upstream, "no"), ""},
		"a fault of X":               {replyOf(500, `{}`), nil, idempotency.Unknown},
		"an outage of X":             {replyOf(503, `{}`), nil, idempotency.Unknown},
		"no answer":                  {ports.Reply{}, fault.New(fault.Unavailable, "X did not answer"), idempotency.Unknown},
		"a torn answer":              {ports.Reply{Status: 201}, broken, idempotency.Unknown},
		"an answer that is cut":      {replyOf(201, created[:9]), nil, idempotency.Unknown},
		"a web page":                 {ports.Reply{}, fault.New(fault.Upstream, "a page").Named("x-page"), idempotency.Unknown},
		"never asked after all":      {ports.Reply{}, errors.Join(broken, ports.ErrUnsent), ""},
		"a way to somewhere else":    {replyOf(302, `{}`), nil, idempotency.Unknown},
		"half a body":                {ports.Reply{}, fault.New(fault.Invalid, "the body ended early"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.answers(func() (ports.Reply, error) { return v.reply, v.err })
			reply, err := h.ask(h.Service, key, hello)
			if reply.Status != v.reply.Status || (err == nil) != (v.err == nil) || err != nil && fault.SlugOf(err) != fault.SlugOf(v.err) {
				t.Errorf("whoever asked got %d, %v", reply.Status, err)
			}
			h.is(v.state)
			_, err = h.ask(h.Service, key, hello)
			want := 1
			switch v.state {
			case "":
				want = 2
			case idempotency.Unknown:
				f := h.problem(err, "idempotency-unknown")
				if f.Extra["status_url"] != issuer+"/v1/idempotency/key-1" {
					t.Errorf("members %v", f.Extra)
				}
			default:
			}
			if h.times() != want {
				t.Errorf("X was asked %d times", h.times())
			}
		})
	}
}

// Whoever gets an answer that says nothing is told where to look.
func TestAnAnswerThatSaysNothingLinksToWhereToLook(t *testing.T) {
	const link = "<" + issuer + `/v1/idempotency/key-1>; rel="status"`
	for name, v := range map[string]struct {
		act   string
		reply ports.Reply
		want  int
	}{
		"a fault of X":       {"createPosts", replyOf(503, "{}"), 1},
		"without any header": {"createPosts", ports.Reply{Status: 500, Whole: []byte("{}")}, 1},
		"a time-out of X":    {"createPosts", replyOf(408, "{}"), 1},
		"an answer":          {"createPosts", replyOf(201, created), 0},
		"nothing was done":   {"createPosts", replyOf(429, "{}"), 0},
		"what does no harm":  {"createUsersBookmark", replyOf(503, "{}"), 0},
	} {
		h := newHouse(t)
		h.answers(func() (ports.Reply, error) { return v.reply, nil })
		call := h.call(v.act, hello)
		call.Params = map[string]string{"id": "7"}
		reply, err := h.Once(t.Context(), h.who, key, call, []byte(hello), h.perform)
		got := reply.Header["Link"]
		if err != nil || len(got) != v.want || v.want == 1 && got[0] != link {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// What may be repeated without harm is repeated when it is asked for again.
func TestWhatDoesNoHarmIsNeverUnknown(t *testing.T) {
	h := newHouse(t)
	h.answers(func() (ports.Reply, error) { return replyOf(503, "{}"), nil })
	call := h.call("createUsersBookmark", hello)
	call.Params = map[string]string{"id": "7"}
	for range 2 {
		if _, err := h.Once(t.Context(), h.who, key, call, []byte(hello), h.perform); err != nil {
			t.Fatal(err)
		}
	}
	if h.times() != 2 {
		t.Errorf("X was asked %d times", h.times())
	}
}

func TestWhatIsRefusedBeforeXLetsTheKeyGo(t *testing.T) {
	h := newHouse(t)
	no := func(context.Context, func(context.Context) error) (ports.Reply, error) {
		return ports.Reply{}, errors.Join(fault.New(fault.Limited, "later"), ports.ErrUnsent)
	}
	if _, err := h.Once(t.Context(), h.who, key, h.call("createPosts", hello), []byte(hello), no); !errors.Is(err, fault.Limited) {
		t.Error(err)
	}
	h.is("")
	for _, bad := range []string{"", `"`, "a b", strings.Repeat("x", 256), "é", `"a" b`, "a,b"} {
		_, err := h.ask(h.Service, bad, hello)
		h.refused(err, "idempotency-key-malformed")
	}
	if h.times() != 0 {
		t.Errorf("X was asked %d times", h.times())
	}
}

func TestOfManyAtOnceOneAsksX(t *testing.T) {
	h := newHouse(t)
	replicas := []*replays.Service{h.Service, h.another(), h.another(), h.another()}
	start := make(chan struct{})
	h.answers(func() (ports.Reply, error) { <-start; return replyOf(201, created), nil })
	var all sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for i := range 64 {
		all.Go(func() {
			_, err := h.ask(replicas[i%4], key, hello)
			mu.Lock()
			defer mu.Unlock()
			if got[fault.SlugOf(err)]++; err != nil && got["idempotency-in-progress"] == 63 {
				close(start)
			}
		})
	}
	all.Wait()
	if h.times() != 1 || got[""] != 1 {
		t.Errorf("X was asked %d times, and the callers heard %v", h.times(), got)
	}
}

func TestAnswersUpTo36000BytesAreKept(t *testing.T) {
	for size, want := range map[int]string{36000: "", 37000: "idempotency-answer-not-kept"} {
		h := newHouse(t)
		h.answers(func() (ports.Reply, error) { return replyOf(201, `"`+strings.Repeat("x", size-2)+`"`), nil })
		for try := range 2 {
			reply, err := h.ask(h.Service, key, hello)
			if slug := fault.SlugOf(err); try == 1 && slug != want || slug == "" && len(reply.Whole) != size {
				t.Errorf("%d bytes, try %d: %d bytes, %v", size, try, len(reply.Whole), err)
			}
		}
	}
}

func TestAnAnswerThatCannotBeKeptOrOpened(t *testing.T) {
	h := newHouse(t)
	h.answers(func() (ports.Reply, error) {
		return replyOf(201, `"`+strings.Repeat("x", idempotency.MostKept)+`"`), nil
	})
	if _, err := h.ask(h.Service, key, hello); err != nil {
		t.Fatal(err)
	}
	_, err := h.ask(h.Service, key, hello)
	h.refused(err, "idempotency-answer-not-kept")

	h = newHouse(t)
	if _, err := h.ask(h.Service, key, hello); err != nil {
		t.Fatal(err)
	}
	elsewhere := newHouse(t) // with another keyset
	elsewhere.store = h.store
	_, err = elsewhere.ask(elsewhere.another(), key, hello)
	h.refused(err, "idempotency-unknown")
	if elsewhere.times() != 0 {
		t.Error("X was asked again")
	}
}

func TestABodyThatStreamsIsKnownByItsTypeAndLength(t *testing.T) {
	h := newHouse(t)
	ask := func(kind string, length int64) error {
		c := h.call("mediaUpload", "")
		c.Type, c.Length = kind, length
		_, err := h.Once(t.Context(), h.who, key, c, nil, h.perform)
		return err
	}
	for _, boundary := range []string{"a", "b"} { // each form has another one
		if err := ask("multipart/form-data; boundary="+boundary, 100); err != nil {
			t.Fatal(err)
		}
	}
	h.refused(ask("multipart/form-data; boundary=a", 101), "idempotency-key-reused")
	h.refused(ask("application/json", 100), "idempotency-key-reused")
	if h.times() != 1 {
		t.Errorf("X was asked %d times", h.times())
	}
}
