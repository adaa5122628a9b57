package xsim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

func TestUnknownPathsAndMethods(t *testing.T) {
	b := open(t, xsim.Options{})
	b.want(http.StatusNotFound, "GET", "/2/nothing", b.as(ada), "")
	a := b.want(http.StatusMethodNotAllowed, "PATCH", "/2/tweets", b.as(ada), "")
	if a.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	old := b.request("GET", "/2/users/me", "", "")
	old.Header.Set("Authorization", `OAuth oauth_consumer_key="k"`)
	if a, err := b.send(old); err != nil || a.status != 401 || !strings.Contains(string(a.raw), `"code":89`) {
		t.Errorf("OAuth 1.0a: %v %s", err, a.raw)
	}
}

func TestBodies(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	for name, body := range map[string]string{
		"not JSON":      `{"text":`,
		"not an object": `["text"]`,
		"two objects":   `{"text":"a"}{"text":"b"}`,
		"unknown field": `{"text":"a","colour":"red"}`,
		"no text":       `{}`,
		"wrong type":    `{"text":5}`,
		"no such reply": `{"text":"a","reply":{"in_reply_to_tweet_id":"5"}}`,
		"no such quote": `{"text":"a","quote_tweet_id":"5"}`,
		"no such media": `{"text":"a","media":{"media_ids":["5"]}}`,
		"no media":      `{"text":"a","media":{"media_ids":[]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := b.want(http.StatusBadRequest, "POST", "/2/tweets", token, body)
			if !strings.HasSuffix(a.text("type"), "/invalid-request") || a.count("errors") != 1 ||
				a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %s", a.raw)
			}
		})
	}
	req := b.request("POST", "/2/tweets", token, `{"text":"a"}`)
	req.Header.Set("Content-Type", "text/plain")
	if a, err := b.send(req); err != nil || a.status != http.StatusBadRequest {
		t.Errorf("media type: %v %d", err, a.status)
	}
	if b.seen("post.created") != 0 {
		t.Error("something was posted")
	}
}

func TestUserWindow(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	var a answer
	for range 75 {
		a = b.want(http.StatusOK, "GET", "/2/users/me", token, "")
	}
	if a.header.Get("X-Rate-Limit-Limit") != "75" || a.header.Get("X-Rate-Limit-Remaining") != "0" {
		t.Errorf("headers: %v", a.header)
	}
	full := b.want(http.StatusTooManyRequests, "GET", "/2/users/me", token, "")
	if full.header.Get("X-Rate-Limit-Reset") != "1777896900" || !strings.Contains(string(full.raw), `"code":88`) {
		t.Errorf("full: %v %s", full.header, full.raw)
	}
	b.want(http.StatusOK, "GET", "/2/users/me", b.as(grace), "")
	b.Advance(15 * time.Minute)
	a = b.want(http.StatusOK, "GET", "/2/users/me", b.as(ada), "")
	if a.header.Get("X-Rate-Limit-Remaining") != "74" {
		t.Errorf("after the window: %v", a.header)
	}
}

func TestDayWindowCountsAllUsers(t *testing.T) {
	b := open(t, xsim.Options{})
	ask := func(user string) answer {
		return b.do("POST", "/2/users/"+grace+"/dm/block", b.as(user), "")
	}
	for _, user := range []string{ada, "1500000000000000003"} {
		for range 10 {
			if a := ask(user); a.status != http.StatusOK {
				t.Fatalf("got %d %s", a.status, a.raw)
			}
		}
		if a := ask(user); a.status != http.StatusTooManyRequests || a.header.Get("X-Rate-Limit-Limit") != "10" {
			t.Fatalf("the eleventh: %d %v", a.status, a.header)
		}
	}
	a := ask(grace)
	if a.header.Get("X-App-Limit-24hour-Remaining") != "979" || a.header.Get("X-User-Limit-24hour-Remaining") != "399" ||
		a.header.Get("X-Rate-Limit-Remaining") != "4" {
		t.Errorf("headers: %v", a.header)
	}
	for range 4 {
		ask(grace)
	}
	a = ask("1500000000000000004")
	if a.status != http.StatusTooManyRequests || a.header.Get("X-Rate-Limit-Limit") != "25" {
		t.Errorf("the app's window: %d %v", a.status, a.header)
	}
}

func TestWindowsCanBeSwitchedOff(t *testing.T) {
	b := open(t, xsim.Options{})
	b.want(http.StatusOK, "POST", "/_sim/settings", "", `{"windows":false}`)
	token := b.as(ada)
	for range 80 {
		b.want(http.StatusOK, "GET", "/2/users/me", token, "")
	}
}

func TestLedgerOfCalls(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	req := b.request("POST", "/2/tweets", token, `{"text":"a"}`)
	req.Header.Set("Idempotency-Key", "secret-value")
	if _, err := b.send(req); err != nil {
		t.Fatal(err)
	}
	e := b.last("call")
	if e.Object != "createPosts" || e.User != ada || e.App != "sim-client" || e.Details["status"] != "201" ||
		e.Details["credential"] != "user" || e.Details["access_fp"] != xsim.Fingerprint(token) ||
		!strings.Contains(e.Details["headers"], "idempotency-key") ||
		strings.Contains(e.Details["headers"], "secret-value") {
		t.Errorf("got %+v", e)
	}
	b.want(http.StatusForbidden, "GET", "/2/users/me", "sim-bearer", "")
	if e := b.last("call"); e.Details["credential"] != "app" || e.User != "" {
		t.Errorf("got %+v", e)
	}
	b.want(http.StatusUnauthorized, "GET", "/2/users/me", "guess", "")
	if e := b.last("call"); e.Details["credential"] != "none" || e.Details["executed"] != "false" {
		t.Errorf("got %+v", e)
	}
}
