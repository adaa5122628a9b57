package wiring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

// X refuses the tokens of everybody, fresh ones too, though its token endpoint is
// well: nobody is to connect again for that, and neither is asked much.
func TestA401StormIsAnOutageOfX(t *testing.T) {
	const users = 12
	s := suffer(t)
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
	if want := (end{503, "x-auth-outage", "1", 0}); last != want {
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
	if got := s.read(t); got != (end{429, "x-usage-cap", "3600", 1}) {
		t.Errorf("the first read got %+v", got)
	}
	for range 5 {
		if got := s.read(t); got != (end{429, "x-usage-cap", "3600", 0}) {
			t.Errorf("a later read got %+v", got)
		}
	}
	if got := s.post(t); got.status != http.StatusCreated {
		t.Errorf("a post got %+v", got)
	}
	if n := s.told("x.usage_cap.open"); n != 1 {
		t.Errorf("%d alerts", n)
	}
}

// Uploads that are slow, and more than may be under way, take no room from posts.
func TestSlowUploadsDoNotStarvePosts(t *testing.T) {
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	cfg := settings(t, environments()[0], at)
	cfg.X.Uploads, cfg.X.Calls = 1, 1
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	x.Mischief(xsim.Mischief{Match: "appendMediaUpload", Kind: "slow", Delay: 400 * time.Millisecond})
	media := h.act(t, app.sk, grant, "POST", "/2/media/upload/initialize",
		`{"media_type":"image/png","media_category":"tweet_image","total_bytes":20}`).text("data.id")
	uploaded := make(chan []answer, 1)
	go func() {
		uploaded <- together(4, func(i int) answer {
			return h.act(t, app.sk, grant, "POST", "/2/media/upload/"+media+"/append",
				fmt.Sprintf(`{"media":"aGVsbG8=","segment_index":%d}`, i))
		})
	}()
	eventually(t, "an upload is under way", func() bool { return h.told("initializeMediaUpload") == 1 })
	for i := range 5 {
		want(t, http.StatusCreated, h.act(t, app.sk, grant, "POST", "/2/tweets", fmt.Sprintf(`{"text":"number %d"}`, i)))
	}
	select {
	case <-uploaded:
		t.Error("the posts waited for all the uploads")
	default:
		want(t, http.StatusOK, <-uploaded...)
	}
}

// A client that leaves does not take back what X has been asked: what came of it
// is written down.
func TestWhatXWasAskedIsKnownThoughTheClientLeft(t *testing.T) {
	s := suffer(t)
	s.begin(misfortune{mischief: xsim.Mischief{Kind: "slow", Delay: patience / 2}})
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", s.public+"/2/tweets", strings.NewReader(`{"text":"bye"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + s.app.sk}, "Perch-Grant": {s.grant}, "Content-Type": {"application/json"},
	}
	go func() {
		for s.asked.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		leave()
	}()
	if res, err := s.client.Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatalf("the client did not leave: %d", res.StatusCode)
	}
	eventually(t, "the post is written down", func() bool { return s.told("createPosts") == 1 })
	for line := range bytes.Lines(s.log.bytes()) {
		var e struct {
			Action, Outcome string
			Status          int
		}
		if json.Unmarshal(line, &e) == nil && e.Action == "createPosts" && (e.Outcome != "done" || e.Status != 201) {
			t.Errorf("it is written down as %s", line)
		}
	}
}
