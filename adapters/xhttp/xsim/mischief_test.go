package xsim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// What a post request sees, and whether the post exists afterwards.
func TestMischiefThatReplies(t *testing.T) {
	for name, test := range map[string]struct {
		rule    xsim.Mischief
		status  int
		want    string // in the body
		limited bool   // x-rate-limit headers arrive
	}{
		"status":          {xsim.Mischief{Kind: "status", Status: 418}, 418, "about:blank", false},
		"outage":          {xsim.Mischief{Kind: "outage"}, 503, "Service Unavailable", false},
		"unauthorized":    {xsim.Mischief{Kind: "unauthorized"}, 401, "Unauthorized", false},
		"rate_limit":      {xsim.Mischief{Kind: "rate_limit"}, 429, "Too Many Requests", true},
		"rate_limit_bare": {xsim.Mischief{Kind: "rate_limit_bare"}, 429, `"code":88`, false},
		"usage_cap":       {xsim.Mischief{Kind: "usage_cap"}, 429, "UsageCapExceeded", true},
		"no_credits":      {xsim.Mischief{Kind: "no_credits"}, 402, "CreditsDepleted", false},
		"html":            {xsim.Mischief{Kind: "html"}, 502, "<!doctype html>", false},
		"html with 200":   {xsim.Mischief{Kind: "html", Status: 200}, 200, "<!doctype html>", false},
	} {
		for _, execute := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				test.rule.Execute = execute
				a := once(t, test.rule, test.status)
				if !strings.Contains(string(a.raw), test.want) {
					t.Errorf("got %s", a.raw)
				}
				if !execute && (a.header.Get("X-Rate-Limit-Limit") != "") != test.limited {
					t.Errorf("headers: %v", a.header)
				}
			})
		}
	}
}

// once lets a rule act on one post and checks that it is over after that.
func once(t *testing.T, rule xsim.Mischief, status int) answer {
	t.Helper()
	b := open(t, xsim.Options{})
	rule.Match, rule.Times = "createPosts", 1
	b.Mischief(rule)
	token := b.as(ada)
	a := b.want(status, "POST", "/2/tweets", token, `{"text":"a"}`)
	if (b.seen("post.created") == 1) != rule.Execute || b.seen("mischief.done") != 1 {
		t.Errorf("the ledger has %d posts and %d mischief", b.seen("post.created"), b.seen("mischief.done"))
	}
	b.want(http.StatusCreated, "POST", "/2/tweets", token, `{"text":"b"}`)
	return a
}

func TestMischiefThatCuts(t *testing.T) {
	for name, test := range map[string]struct {
		rule     xsim.Mischief
		replies  bool // a status line arrives
		executed bool
	}{
		"refused":      {xsim.Mischief{Kind: "refused"}, false, false},
		"lost":         {xsim.Mischief{Kind: "lost"}, false, true},
		"torn":         {xsim.Mischief{Kind: "torn"}, true, true},
		"wrong_length": {xsim.Mischief{Kind: "wrong_length"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, xsim.Options{})
			test.rule.Times = 1
			b.Mischief(test.rule)
			a, err := b.send(b.request("POST", "/2/tweets", b.as(ada), `{"text":"a"}`))
			if (err == nil) != test.replies {
				t.Fatalf("got %d, %v", a.status, err)
			}
			if err == nil && a.err == nil {
				t.Errorf("the reply ended well: %s", a.raw)
			}
			if (b.seen("post.created") == 1) != test.executed {
				t.Error("executed or not, the wrong way round")
			}
		})
	}
}

func TestWrongLengthThatEndsCleanly(t *testing.T) {
	b := open(t, xsim.Options{})
	b.Mischief(xsim.Mischief{Kind: "wrong_length", Bytes: -3, Times: 1})
	a := b.want(http.StatusOK, "GET", "/2/users/me", b.as(ada), "")
	if a.field("data") != nil || !strings.HasPrefix(string(a.raw), `{"data"`) {
		t.Errorf("got %s", a.raw)
	}
}

func TestSlowReplies(t *testing.T) {
	for _, kind := range []string{"slow", "slow_body"} {
		t.Run(kind, func(t *testing.T) {
			b := open(t, xsim.Options{})
			b.Mischief(xsim.Mischief{Kind: kind, Delay: 80 * time.Millisecond, Match: "/2/users", Method: "GET"})
			began := time.Now()
			a := b.want(http.StatusOK, "GET", "/2/users/me", b.as(ada), "")
			if took := time.Since(began); took < 80*time.Millisecond || a.text("data.id") != ada {
				t.Errorf("took %v: %s", took, a.raw)
			}
		})
	}
}

func TestMischiefAtTheTokenEndpoint(t *testing.T) {
	b := open(t, xsim.Options{})
	first := b.issue(ada, "tweet.read", "users.read", "offline.access")
	b.Mischief(xsim.Mischief{Match: "token.refresh_token", Kind: "empty_refresh", Times: 1})
	b.Mischief(xsim.Mischief{Match: "token", Kind: "unauthorized", Times: 1})
	a := b.token(renewal(first.Refresh))
	if a.status != http.StatusOK || a.text("access_token") == "" || a.field("refresh_token") != nil {
		t.Errorf("empty_refresh: %d %s", a.status, a.raw)
	}
	if a := b.token(renewal("any")); a.status != http.StatusUnauthorized || a.text("error") != "unauthorized_client" {
		t.Errorf("unauthorized: %d %s", a.status, a.raw)
	}
	second := b.issue(ada, "offline.access")
	b.Mischief(xsim.Mischief{Match: "token", Kind: "lost", Times: 1})
	req := b.request("POST", "/2/oauth2/token", "", `{"grant_type":"refresh_token","refresh_token":"`+second.Refresh+`"}`)
	req.SetBasicAuth("sim-client", "sim-secret")
	if _, err := b.send(req); err == nil {
		t.Fatal("the reply was not lost")
	}
	if b.seen("token.refreshed") != 2 {
		t.Error("the lost refresh did not happen")
	}
	b.token(renewal(second.Refresh))
	if b.seen("family.killed") != 1 {
		t.Error("retrying the lost refresh did not kill the family")
	}
}

func TestWhenMischiefHappens(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	b.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: "outage", After: 2, Times: 2})
	var got []int
	for range 6 {
		got = append(got, b.do("GET", "/2/users/me", token, "").status)
	}
	if want := [6]int{200, 200, 503, 503, 200, 200}; [6]int(got) != want {
		t.Errorf("after 2, twice: %v", got)
	}
	b.ClearMischief()

	b.Mischief(xsim.Mischief{Kind: "outage", Probability: 0.5, Seed: 7})
	failed := 0
	for range 60 {
		if b.do("GET", "/2/users/"+ada, token, "").status == http.StatusServiceUnavailable {
			failed++
		}
	}
	if failed < 15 || failed > 45 {
		t.Errorf("half of 60 is about %d", failed)
	}
	b.ClearMischief()
	b.want(http.StatusOK, "GET", "/2/users/me", token, "")
}

func TestMischiefOverHTTP(t *testing.T) {
	b := open(t, xsim.Options{})
	a := b.want(http.StatusCreated, "POST", "/_sim/mischief", "", `{"match":"*","kind":"slow","delay":"1ms","times":1}`)
	id := a.text("id")
	if list := b.want(http.StatusOK, "GET", "/_sim/mischief", "", ""); list.text("mischief.0.delay") != "1ms" {
		t.Errorf("list: %s", list.raw)
	}
	b.want(http.StatusOK, "DELETE", "/_sim/mischief?id="+id, "", "")
	if list := b.want(http.StatusOK, "GET", "/_sim/mischief", "", ""); list.count("mischief") != 0 {
		t.Errorf("list: %s", list.raw)
	}
	for _, body := range []string{`{"kind":"sabotage"}`, `{"kind":"status"}`, `{"kind":"slow","delay":"soon"}`,
		`{"kind":"slow"}`, `{"kindd":1}`,
		`{"match":"createPost","kind":"lost"}`} {
		b.want(http.StatusBadRequest, "POST", "/_sim/mischief", "", body)
	}
	for _, match := range strings.Fields("token token.refresh_token revoke app_token app_invalidate /2/users createPosts") {
		b.want(http.StatusCreated, "POST", "/_sim/mischief", "", `{"match":"`+match+`","kind":"lost"}`)
	}
}
