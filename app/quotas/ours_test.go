package quotas_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

func problem(t *testing.T, err error) *fault.Error {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Limited {
		t.Fatalf("%v is no refusal", err)
	}
	return e
}

// unpublished is an action of which X publishes no limit, so that only ours count.
const unpublished = "getBroadcast"

func TestEachRuleCountsItsSubject(t *testing.T) {
	other := func(change func(*ports.Caller)) ports.Caller {
		who := ports.Caller{}
		change(&who)
		return who
	}
	for rule, v := range map[string]struct {
		limited string
		apart   func(*ports.Caller) // makes it another subject
		same    func(*ports.Caller) // and still the same
	}{
		"app:2/h":   {"application", func(c *ports.Caller) { c.App.ID = "app_9" }, func(c *ports.Caller) { c.Actor, c.Grant = "key_9", "grant_9" }},
		"key:2/h":   {"key", func(c *ports.Caller) { c.Actor = "key_9" }, func(c *ports.Caller) { c.App.ID, c.Grant = "app_9", "grant_9" }},
		"grant:2/h": {"grant", func(c *ports.Caller) { c.Grant = "grant_9" }, func(c *ports.Caller) { c.App.ID, c.Actor = "app_9", "key_9" }},
	} {
		t.Run(rule, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil, rule)
			who := w.caller(0)
			for range 2 {
				w.answer(t, who, unpublished, ports.Reply{Status: 200}, nil)
			}
			same, apart := who, who
			v.same(&same)
			v.apart(&apart)
			_, err := w.quotas[0].Enter(t.Context(), same, w.call(unpublished))
			if e := problem(t, err); e.Slug != "limit-reached" || e.Extra["limited"] != v.limited || e.Extra["window"] != "h" ||
				e.Extra["limit"] != rule || e.Wait <= 0 {
				t.Errorf("%+v", e)
			}
			if n := w.left(t, apart, unpublished, 5); n != 2 {
				t.Errorf("another %s has %d calls", v.limited, n)
			}
			if n := w.left(t, other(func(c *ports.Caller) { c.App.ID = "app_8" }), unpublished, 5); rule != "app:2/h" && n != 5 {
				t.Errorf("who has no %s is limited to %d", v.limited, n)
			}
		})
	}
}

// TestARefusalSaysInWordsWhatIsUsedUp, by whom, and when it is free again.
func TestARefusalSaysInWordsWhatIsUsedUp(t *testing.T) {
	const free = "; free again in 15 min. The limit is this Perch's, not X's"
	for _, c := range []struct{ rule, actor, want string }{
		{"grant/write:2/15m", "key_1", "this grant has made its 2 writes in 15 minutes" + free},
		{"key:2/15m", "key_1", "this key has made its 2 calls in 15 minutes" + free},
		{"key:2/15m", "ses_1", "this session has made its 2 calls in 15 minutes" + free},
		{"app/createPosts:2/15m", "ses_1", "this application has made its 2 calls of createPosts in 15 minutes" + free},
	} {
		w := newWorld(t, 1, 1, nil, c.rule)
		who := w.caller(0)
		who.Actor = c.actor
		for range 2 {
			w.answer(t, who, posts, ports.Reply{Status: 201}, nil)
		}
		_, err := w.quotas[0].Enter(t.Context(), who, w.call(posts))
		if e := problem(t, err); e.Say != c.want {
			t.Errorf("%s, %s: %q, want %q", c.rule, c.actor, e.Say, c.want)
		}
	}
	w := newWorld(t, 1, 1, nil, "address:1/15m")
	from := netip.MustParseAddr("192.0.2.1")
	for range 2 {
		if _, err := w.quotas[0].Arrive(t.Context(), from); err != nil {
			if e := problem(t, err); e.Say != "this address has made its 1 call in 15 minutes"+free {
				t.Error(e.Say)
			}
			return
		}
	}
	t.Error("the address is not limited")
}

// TestAllOrNoneIsSpent: where one limit refuses, the others lose nothing.
func TestAllOrNoneIsSpent(t *testing.T) {
	w := newWorld(t, 1, 1, nil, "app:10/h", "grant:3/h", "key/write:5/d")
	who := w.caller(0)
	for range 3 {
		w.answer(t, who, posts, ports.Reply{Status: 201}, nil)
	}
	for range 50 {
		if _, err := w.quotas[0].Enter(t.Context(), who, w.call(posts)); !isLimit(err, "limit-reached") {
			t.Fatal(err)
		}
	}
	who.Grant = "grant_2"
	if n := w.left(t, who, posts, 10); n != 2 {
		t.Errorf("%d writes of the key are left, want 2: what was refused is counted", n)
	}
	if n := w.left(t, who, unpublished, 20); n != 3 {
		t.Errorf("%d reads of the second grant are left, want 3", n)
	}
}

func TestTheApplicationsOwnLimitsStandInPlaceOfTheHouses(t *testing.T) {
	w := newWorld(t, 1, 1, nil, "app:2/h", "grant:5/h")
	who := w.caller(0)
	who.App.Limits = []string{"app:4/h"}
	if n := w.left(t, who, unpublished, 10); n != 4 {
		t.Errorf("%d calls, want 4", n)
	}
	who.App.Limits = []string{"app:9/h"}
	if n := w.left(t, who, unpublished, 10); n != 5 {
		t.Errorf("%d calls, want the 5 of the grant", n)
	}
}

// TestTheHeadersOfTheDraft: draft-ietf-httpapi-ratelimit-headers, the most
// pressing limit first.
func TestTheHeadersOfTheDraft(t *testing.T) {
	w := newWorld(t, 1, 1, nil, "app:6000/m", "grant:3/h", "key/write:5/d")
	w.at.Store(time.Now().UnixNano()) // ours go by the store's clock
	settle, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
	must(t, err)
	reply := ports.Reply{Status: 201}
	settle(t.Context(), &reply, nil)
	want := map[string]string{
		"Ratelimit-Policy": `"grant/h";q=3;w=3600, "key/write/d";q=5;w=86400, "app/m";q=6000;w=60`,
		"Ratelimit":        `"grant/h";r=2;t=3600, "key/write/d";r=4;t=86400, "app/m";r=5999;t=60`,
	}
	for name, value := range want {
		if got := reply.Header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %s", name, got, value)
		}
	}
	for range 2 {
		w.answer(t, w.caller(0), posts, ports.Reply{Status: 201}, nil)
	}
	_, err = w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
	e := problem(t, err)
	if e.Head["Ratelimit"] != `"grant/h";r=0;t=3600, "key/write/d";r=2;t=86400, "app/m";r=5997;t=60` ||
		e.Head["Ratelimit-Policy"] != want["Ratelimit-Policy"] || e.Wait > time.Hour || e.Wait < 59*time.Minute {
		t.Errorf("%v, after %v", e.Head, e.Wait)
	}
}

// TestAnAddressIsCountedBeforeAnythingElse: one of IPv6 with all of its /64.
func TestAnAddressIsCountedBeforeAnythingElse(t *testing.T) {
	w := newWorld(t, 1, 1, nil, "address:2/h", "app:1/h")
	for _, v := range []struct {
		from string
		ok   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true},
		{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8::ffff:3", false}, {"2001:db8:0:1::1", true},
	} {
		head, err := w.quotas[0].Arrive(t.Context(), netip.MustParseAddr(v.from))
		if (err == nil) != v.ok {
			t.Errorf("%s: %v", v.from, err)
		}
		if err != nil {
			head = problem(t, err).Head
		}
		if head["Ratelimit-Policy"] != `"address/h";q=2;w=3600` {
			t.Errorf("%s: %v", v.from, head)
		}
	}
	if _, err := w.quotas[0].Arrive(t.Context(), netip.Addr{}); err != nil {
		t.Errorf("who has no address: %v", err)
	}
}

// TestAStoreThatFailsIsNoLimit: it is another problem, and X is not asked.
func TestAStoreThatFailsIsNoLimit(t *testing.T) {
	w := newWorld(t, 1, 1, broken{}, "app:1/h", "address:1/h")
	for range 3 {
		if _, err := w.ask(0, wish{action: posts, body: `{"text":"x"}`}); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%v", err)
		}
		if _, err := w.quotas[0].Arrive(t.Context(), netip.Addr{}); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%v", err)
		}
	}
	if _, asked := w.refusals(); asked != 0 {
		t.Errorf("X was asked %d times", asked)
	}
}

func TestARuleThatAnApplicationCannotHaveIsAnError(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	who := w.caller(0)
	who.App.Limits = []string{"nonsense"}
	if _, err := w.quotas[0].Enter(t.Context(), who, w.call(posts)); err == nil {
		t.Error("a limit that cannot be read is none")
	}
	if len(who.App.Limits) != 1 || quota.Length(time.Hour) != "h" {
		t.Error("the application has changed")
	}
}
