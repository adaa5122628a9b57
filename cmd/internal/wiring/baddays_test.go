package wiring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/domain/oauth"
)

// X refuses the tokens of everybody, fresh ones too, though its token endpoint is
// well: nobody is to connect again for that, and neither is asked much.
func TestA401StormIsAnOutageOfX(t *testing.T) {
	const users = 12
	s := suffer(t, func(cfg *config.Config) { cfg.X.Rest = 15 * time.Second }) // all of them come before it is over
	grants := make([]string, users)
	for i := range grants {
		u := xsim.User{ID: fmt.Sprintf("15%017d", i), Username: fmt.Sprintf("user%d", i), Name: "One"}
		add(t, s.x, u)
		grants[i] = s.adopt(t, s.app, u.ID, issue(t, s.x, "sim-client", u.ID), time.Now().Add(time.Hour))
	}
	s.begin(misfortune{mischief: xsim.Mischief{Kind: "unauthorized"}})
	var last end
	for _, s.grant = range grants {
		last = s.post(t)
	}
	if want := (end{503, "x-auth-outage", "15", 0}); !want.like(last) {
		t.Errorf("the last user got %+v", last)
	}
	if n, refreshed := s.asked.Load(), s.told("grant.refresh"); n > 11 || refreshed != 5 { // user1 has just been here
		t.Errorf("X was asked %d times, and for %d fresh tokens", n, refreshed)
	}
	listed := s.operator(t, http.StatusOK, "GET", "/admin/v1/grants?limit=100", nil)
	for i := range users {
		if state := listed.text(fmt.Sprintf("data.%d.state", i)); state != string(oauth.Active) {
			t.Errorf("a grant is %q", state)
		}
	}
	s.x.ClearMischief()
	for _, s.grant = range grants {
		eventually(t, "everybody posts again", func() bool { return s.post(t).status == http.StatusCreated })
	}
	if opened, closed := s.told("x.auth_outage.open"), s.told("x.auth_outage.close"); opened != 1 || closed != 1 {
		t.Errorf("%d alerts that it began, %d that it ended", opened, closed)
	}
}

// add makes one more user at X.
func add(t *testing.T, x *xsim.Sim, u xsim.User) {
	t.Helper()
	at, _ := serveX(t, x)
	want(t, http.StatusCreated, ask(t, http.DefaultClient, "POST", at+"/_sim/users", jsonOf(t, u)))
}

// A cap on reads is not met again and again, and leaves posts alone.
func TestAUsedUpCapIsLeftAlone(t *testing.T) {
	s := suffer(t)
	s.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: "usage_cap", Times: 1})
	if got := s.read(t); !(end{429, "x-usage-cap", "3600", 1}).like(got) {
		t.Errorf("the first read got %+v", got)
	}
	for range 5 {
		if got := s.read(t); !(end{429, "x-usage-cap", "3600", 0}).like(got) {
			t.Errorf("a later read got %+v", got)
		}
	}
	if got := s.post(t); got.status != http.StatusCreated {
		t.Errorf("a post got %+v", got)
	}
	if n := s.told("x.usage_cap.open"); n != 1 {
		t.Errorf("%d alerts", n)
	}
	held := s.operator(t, http.StatusOK, "GET", "/admin/v1/x", nil)
	if held.text("data.0.event") != "x.usage_cap" || held.text("data.0.x_app") != "default" || held.text("data.0.group") != "reads" ||
		held.text("data.0.cause") == "" || held.field("data.1") != nil {
		t.Errorf("operators see %s", held.body)
	}
	for _, door := range []string{s.public, s.admin} {
		eventually(t, door+" says that X refuses something", func() bool { // X may have been slow to answer
			a := ask(t, s.client, "GET", door+"/readyz", "")
			return a.status == http.StatusOK && a.text("status") == "ok" && a.text("parts.0.status") == "degraded"
		})
	}
}

// Uploads that are slow, and more than may be under way, take no room from posts.
func TestSlowUploadsDoNotStarvePosts(t *testing.T) {
	x := xsim.New(xsim.Options{})
	arrived, release := make(chan struct{}, 4), make(chan struct{})
	at, _ := serveX(t, &tap{x: x, arrived: func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/append") {
			arrived <- struct{}{}
			<-release
		}
	}})
	goOn := sync.OnceFunc(func() { close(release) })
	t.Cleanup(goOn)
	cfg := settings(t, environments()[0], at)
	cfg.X.Uploads, cfg.X.Calls = 1, 1
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	media := h.act(t, app.sk, grant, "POST", "/2/media/upload/initialize",
		`{"media_type":"image/png","media_category":"tweet_image","total_bytes":20}`).text("data.id")
	uploaded := make(chan []answer, 1)
	go func() {
		uploaded <- together(4, func(i int) answer {
			return h.act(t, app.sk, grant, "POST", "/2/media/upload/"+media+"/append",
				fmt.Sprintf(`{"media":"aGVsbG8=","segment_index":%d}`, i))
		})
	}()
	<-arrived
	for i := range 5 {
		want(t, http.StatusCreated, h.act(t, app.sk, grant, "POST", "/2/tweets", fmt.Sprintf(`{"text":"number %d"}`, i)))
	}
	goOn()
	want(t, http.StatusOK, <-uploaded...)
}

// A client that leaves does not take back what X has been asked: what came of it
// is written down.
func TestWhatXWasAskedIsKnownThoughTheClientLeft(t *testing.T) {
	x := xsim.New(xsim.Options{})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(left) })
	t.Cleanup(goOn)
	at, _ := serveX(t, &tap{x: x, arrived: func(r *http.Request) {
		if r.URL.Path == "/2/tweets" {
			leave()
			<-left
		}
	}})
	h := open(t, settings(t, environments()[0], at))
	app := h.register(t, pageA, "")
	grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	req, err := http.NewRequestWithContext(ctx, "POST", h.public+"/2/tweets", strings.NewReader(`{"text":"bye"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + app.sk}, "Perch-Grant": {grant}, "Content-Type": {"application/json"},
	}
	if res, err := h.client.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatalf("the client did not leave: %d", res.StatusCode)
	}
	goOn()
	eventually(t, "the post is written down", func() bool { return h.told("createPosts") == 1 })
	for line := range bytes.Lines(h.log.bytes()) {
		var e struct {
			Action, Outcome string
			Status          int
		}
		if json.Unmarshal(line, &e) == nil && e.Action == "createPosts" && (e.Outcome != "done" || e.Status != 201) {
			t.Errorf("it is written down as %s", line)
		}
	}
}
