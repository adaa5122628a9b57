package xsim_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"perch/adapters/xhttp/xsim"
)

func TestClock(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	a := b.want(200, "POST", "/_sim/clock", "", `{"advance":"1h59m"}`)
	if a.text("now") != "2026-05-04T13:59:00Z" {
		t.Errorf("got %s", a.raw)
	}
	b.want(200, "GET", "/2/users/me", token, "")
	b.want(200, "POST", "/_sim/clock", "", `{"now":"2026-05-04T14:00:00Z"}`)
	b.want(401, "GET", "/2/users/me", token, "")
	for _, body := range []string{`{}`, `{"advance":"later"}`, `{"advance":"1h","now":"2026-05-04T14:00:00Z"}`, `no`} {
		b.want(400, "POST", "/_sim/clock", "", body)
	}
	if b.seen("clock.set") != 2 {
		t.Error("the ledger does not tell")
	}
}

func TestLedgerOverHTTP(t *testing.T) {
	b := open(t, xsim.Options{})
	b.post(b.as(ada), "one")
	b.post(b.as(grace), "two")
	a := b.want(200, "GET", "/_sim/ledger?type=post.", "", "")
	lines := strings.Split(strings.TrimSpace(string(a.raw)), "\n")
	if len(lines) != 2 || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("got %s", a.raw)
	}
	one := answer{raw: []byte(lines[0])}
	if one.text("type") != "post.created" || one.text("user") != ada ||
		one.text("app") != "sim-client" || one.text("at") == "" {
		t.Errorf("got %s", one.raw)
	}
	rest := b.want(200, "GET", "/_sim/ledger?since="+a.header.Get("X-Sim-Ledger-Length"), "", "")
	if len(rest.raw) != 0 {
		t.Errorf("since the end: %s", rest.raw)
	}
	b.want(400, "GET", "/_sim/ledger?since=x", "", "")
	b.want(404, "DELETE", "/_sim/ledger", "", "")
}

func TestUsersAndAppsOverHTTP(t *testing.T) {
	b := open(t, xsim.Options{})
	u := b.want(201, "POST", "/_sim/users", "", `{"username":"zoe"}`)
	list := b.want(200, "GET", "/_sim/users", "", "")
	if list.count("users") != 5 || list.text("users.4.id") != u.text("id") {
		t.Errorf("users: %s", list.raw)
	}
	b.want(201, "POST", "/_sim/apps", "", `{"client_id":"second","client_secret":"s","bearer":"second-bearer"}`)
	b.want(200, "GET", "/2/users/"+u.text("id"), "second-bearer", "")
	apps := b.want(200, "GET", "/_sim/apps", "", "")
	if strings.Contains(string(apps.raw), "second-bearer") {
		t.Errorf("apps: %s", apps.raw)
	}
	if _, err := b.Issue("second", u.text("id"), []string{"tweet.read"}); err != nil {
		t.Error(err)
	}
	for _, wrong := range [][3]string{
		{"third", ada, "tweet.read"}, {"second", "1", "tweet.read"}, {"second", ada, "all"},
	} {
		if _, err := b.Issue(wrong[0], wrong[1], []string{wrong[2]}); err == nil {
			t.Errorf("issued for %v", wrong)
		}
	}
	help := b.want(200, "GET", "/_sim/", "", "")
	if help.count("kinds_of_mischief") != len(xsim.Kinds()) {
		t.Errorf("help: %s", help.raw)
	}
}

func TestManyAtOnce(t *testing.T) {
	b := open(t, xsim.Options{})
	b.want(http.StatusOK, "POST", "/_sim/settings", "", `{"windows":false}`)
	token := b.issue(ada, strings.Fields(allScopes)...)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if _, err := b.send(b.request("POST", "/2/tweets", token.Access, `{"text":"same"}`)); err != nil {
					t.Error(err)
				}
				b.Ledger()
			}
		})
	}
	all.Wait()
	if n := b.seen("post.created"); n != 1 {
		t.Errorf("the same text was posted %d times", n)
	}
	var refreshed sync.WaitGroup
	for range 8 {
		refreshed.Go(func() { b.token(renewal(token.Refresh)) })
	}
	refreshed.Wait()
	if b.seen("token.refreshed") != 1 || b.seen("family.killed") != 1 {
		t.Errorf("%d refreshes, %d killed", b.seen("token.refreshed"), b.seen("family.killed"))
	}
}
