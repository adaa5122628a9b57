package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/app/cache"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapi"
	"perch/ports"
)

// A desk is a cache in front of an X that says what it is told to.
type desk struct {
	*cache.Service
	t     *testing.T
	asked int
	saved atomic.Int64
	say   func() (ports.Reply, error)
	who   ports.Caller
	call  ports.Call
}

func (d *desk) Saved(context.Context, ports.Caller, ports.Call, ports.Reply) { d.saved.Add(1) }

// newDesk keeps answers to two operations for a minute.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, who: ports.Caller{
		Actor: "key_1", App: client.App{ID: "app_1"}, Grant: "grant_1", User: "42", Scopes: "tweet.read users.read",
	}}
	rules, err := cache.Parse("getUsersMe=1m, getUsersByUsername=1m")
	if err != nil {
		t.Fatal(err)
	}
	d.Service = cache.New(rules, d, time.Now)
	d.call, d.say = ports.Call{Action: d.action("getUsersMe"), XApp: "x"}, func() (ports.Reply, error) {
		return answer(200, fmt.Sprintf(`{"data":%d}`, d.asked)), nil
	}
	return d
}

func (d *desk) action(id string) xapi.Action {
	d.t.Helper()
	act, ok := xapi.ByID(id)
	if !ok {
		d.t.Fatalf("no action %s", id)
	}
	return act
}

func answer(status int, body string) ports.Reply {
	return ports.Reply{
		Status: status, Whole: []byte(body), Length: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		Header: map[string][]string{
			"Content-Type": {"application/json; charset=utf-8"}, "X-Rate-Limit-Remaining": {"74"}, "Ratelimit": {`"key";r=9`},
			"Perch-Cost": {"0.01"}, "X-Transaction-Id": {"t1"},
		},
		Transaction: "t1",
	}
}

func (d *desk) ask(context.Context) (ports.Reply, error) {
	d.asked++
	return d.say()
}

// get asks through the cache, and returns the body and what Cache-Status says.
func (d *desk) get(directives string) (body, status string) {
	d.t.Helper()
	r, err := d.Through(d.t.Context(), d.who, d.call, directives, d.ask)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.read(r)
}

func (d *desk) read(r ports.Reply) (body, status string) {
	d.t.Helper()
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b), strings.Join(r.Header["Cache-Status"], "|")
}

// wrote tells the cache how a write ended.
func (d *desk) wrote(who ports.Caller, status int, err error) {
	d.t.Helper()
	settle, fail := d.Enter(d.t.Context(), who, ports.Call{Action: d.action("createPosts"), XApp: "x"})
	if fail != nil {
		d.t.Fatal(fail)
	}
	settle(d.t.Context(), &ports.Reply{Status: status}, err)
}

func TestAnAnswerIsGivenAgainUntilItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		if body, status := d.get(""); body != `{"data":1}` || status != "perch; fwd=uri-miss; stored" {
			t.Errorf("%s %s", body, status)
		}
		time.Sleep(20*time.Second + time.Millisecond)
		r, err := d.Through(t.Context(), d.who, d.call, "", d.ask)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string][]string{
			"Content-Type": {"application/json; charset=utf-8"}, "Age": {"20"}, "Cache-Status": {"perch; hit; ttl=39"},
			"Perch-Cost": {"0.00"},
		}, r.Header); diff != "" {
			t.Errorf("headers of what is given again:\n%s", diff)
		}
		if body, _ := d.read(r); body != `{"data":1}` || r.Transaction != "" || r.Length != int64(len(body)) {
			t.Errorf("%s %+v", body, r)
		}
		time.Sleep(40 * time.Second)
		if body, _ := d.get(""); body != `{"data":2}` || d.asked != 2 || d.saved.Load() != 1 {
			t.Errorf("%s; asked %d, saved %d", body, d.asked, d.saved.Load())
		}
	})
}

func TestWhatIsAskedDifferentlyIsAnotherAnswer(t *testing.T) {
	for name, v := range map[string]struct {
		change func(d *desk)
		same   bool
	}{
		"another key":                      {func(d *desk) { d.who.Actor = "key_2" }, true},
		"the query in another order":       {func(d *desk) { d.call.Query = "b=2&a=1%2C2" }, true},
		"the same query":                   {func(d *desk) { d.call.Query = "a=1,2&b=2" }, true},
		"another grant":                    {func(d *desk) { d.who.Grant = "grant_2" }, false},
		"no grant":                         {func(d *desk) { d.who.Grant = "" }, false},
		"another application":              {func(d *desk) { d.who.App.ID = "app_2" }, false},
		"another X App":                    {func(d *desk) { d.call.XApp = "y" }, false},
		"fewer scopes":                     {func(d *desk) { d.who.Scopes = "users.read" }, false},
		"another query":                    {func(d *desk) { d.call.Query = "a=1&b=2" }, false},
		"values in another order":          {func(d *desk) { d.call.Query = "a=2,1&b=2" }, false},
		"another type wanted":              {func(d *desk) { d.call.Accept = "text/plain" }, false},
		"another operation":                {func(d *desk) { d.call.Action = d.action("getUsersByUsernames") }, false},
		"an operation that is not kept":    {func(d *desk) { d.call.Action = d.action("getPostsByIds") }, false},
		"another parameter of the path":    {func(d *desk) { d.call.Params = map[string]string{"username": "grace"} }, false},
		"a query that is none":             {func(d *desk) { d.call.Query = "a=%zz" }, false},
		"a grant whose name runs together": {func(d *desk) { d.who.App.ID, d.who.Grant = "app_1g", "rant_1" }, false},
	} {
		d := newDesk(t)
		d.call = ports.Call{
			Action: d.action("getUsersByUsername"), Params: map[string]string{"username": "ada"}, Query: "a=1,2&b=2", XApp: "x",
		}
		d.get("")
		v.change(d)
		if d.get(""); (d.asked == 1) != v.same {
			t.Errorf("%s: X was asked %d times", name, d.asked)
		}
	}
}

func TestRequestsSayWhatTheyTake(t *testing.T) {
	for header, want := range map[string]struct {
		asked int
		then  string // the answer to who asks next, without directives
	}{
		"":                                   {1, `{"data":1}`},
		"max-age=10":                         {1, `{"data":1}`},
		`max-age="10"`:                       {1, `{"data":1}`},
		"MAX-AGE=10, public, a=b":            {1, `{"data":1}`},
		"max-age=9":                          {2, `{"data":2}`},
		"max-age=0":                          {2, `{"data":2}`},
		"max-age=soon":                       {2, `{"data":2}`},
		"max-age=-1":                         {2, `{"data":2}`},
		"max-age=1, max-age=100":             {2, `{"data":2}`},
		"max-age=100, max-age=1":             {2, `{"data":2}`},
		"min-fresh=51,min-fresh=1":           {2, `{"data":2}`},
		"max-age=2147483647":                 {1, `{"data":1}`},
		"max-age=2147483648":                 {1, `{"data":1}`},
		"max-age=4294967296":                 {1, `{"data":1}`},
		"max-age=99999999999":                {1, `{"data":1}`},
		"max-age=99999999999999999999999999": {1, `{"data":1}`},
		"min-fresh=99999999999999999999":     {2, `{"data":2}`},
		`a="b, no-store, no-cache"`:          {1, `{"data":1}`},
		`a="b, no-store", no-cache`:          {2, `{"data":2}`},
		"no-cache":                           {2, `{"data":2}`},
		"private, No-Cache":                  {2, `{"data":2}`},
		"no-store":                           {2, `{"data":1}`},
		"no-store, max-age=100":              {2, `{"data":1}`},
		"min-fresh=50":                       {1, `{"data":1}`},
		"min-fresh=51":                       {2, `{"data":2}`},
		"min-fresh=x":                        {2, `{"data":2}`},
		"max-stale=100,no-cached=":           {1, `{"data":1}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t)
			d.get("")
			time.Sleep(10 * time.Second)
			if d.get(header); d.asked != want.asked {
				t.Errorf("%q: X was asked %d times", header, d.asked)
			}
			if body, status := d.get(""); body != want.then || !strings.HasPrefix(status, "perch; hit") {
				t.Errorf("after %q: %s %s", header, body, status)
			}
		})
	}
}

func TestWhatIsNoGoodAnswerIsNotKept(t *testing.T) {
	with := func(name, value string) ports.Reply {
		r := answer(200, `{}`)
		r.Header[name] = []string{value}
		return r
	}
	still := answer(200, `{}`)
	still.Whole = nil
	for name, r := range map[string]ports.Reply{
		"a refusal": answer(404, `{}`), "no content": answer(204, ``), "a part of it": answer(206, `{}`), "errors": answer(200, `{"data":{},"errors":[]}`),
		"no JSON": answer(200, `{`), "a list": answer(200, `[]`), "null": answer(200, `null`), "a text": with("Content-Type", "text/plain"),
		"no type": with("Content-Type", ""), "packed": with("Content-Encoding", "gzip"), "too long to be held": still,
	} {
		d := newDesk(t)
		d.say = func() (ports.Reply, error) {
			fresh := r
			fresh.Header, fresh.Body = maps.Clone(r.Header), io.NopCloser(strings.NewReader("{}"))
			return fresh, nil
		}
		d.get("no-cache")
		d.get("")
		if d.get(""); d.asked != 3 || d.saved.Load() != 0 {
			t.Errorf("%s: X was asked %d times, %d are told as saved", name, d.asked, d.saved.Load())
		}
	}
}

func TestAWriteEmptiesWhatIsKeptOfItsGrant(t *testing.T) {
	broken := fault.New(fault.Upstream, "X's answer broke off")
	for name, v := range map[string]struct {
		status int
		err    error
		grant  oauth.GrantID
		asked  int
	}{
		"a post":                       {201, nil, "grant_1", 2},
		"one that may have been made":  {0, broken, "grant_1", 2},
		"one that X refused":           {403, nil, "grant_1", 1},
		"one that was never sent":      {0, errors.Join(broken, ports.ErrUnsent), "grant_1", 1},
		"a post by some other account": {201, nil, "grant_2", 1},
	} {
		d := newDesk(t)
		d.get("")
		who := d.who
		who.Grant = v.grant
		d.wrote(who, v.status, v.err)
		if d.get(""); d.asked != v.asked {
			t.Errorf("%s: X was asked %d times", name, d.asked)
		}
	}
	d := newDesk(t)
	d.say = func() (ports.Reply, error) {
		if d.asked == 1 {
			d.wrote(d.who, 201, nil) // while X answers
		}
		return answer(200, "{}"), nil
	}
	d.get("")
	if d.get(""); d.asked != 2 {
		t.Error("what was asked before a write is given out after it")
	}
}

func TestRules(t *testing.T) {
	rules, err := cache.Parse("getUsersMe=5m, getPostsById=30s")
	if diff := cmp.Diff(cache.Rules{"getUsersMe": 5 * time.Minute, "getPostsById": 30 * time.Second}, rules); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, none := range []string{"", "off", " "} {
		if rules, err := cache.Parse(none); err != nil || len(rules) != 0 {
			t.Errorf("%q: %v, %v", none, rules, err)
		}
	}
	for text, says := range map[string]string{
		"getUsersMe": "getUsersMe=5m", "getUsersMe=": "no rule", "getUsersMe=long": "no rule", "getMe=5m": "operationId", "createPosts=5m": "cannot be kept",
		"getPostsSample=1m": "", "streamPostsSample=1m": "cannot be kept", "getUsersMe=0s": "1s at least", "getUsersMe=25h": "24h at most",
		"getUsersMe=1m getUsersMe=2m": "twice", "off getUsersMe=1m": "no rule",
	} {
		if _, err := cache.Parse(text); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
