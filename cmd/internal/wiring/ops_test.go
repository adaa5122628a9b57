package wiring_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/xapi"
)

func TestReadinessNamesWhatDoesNotAnswer(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		at, down := serveX(t, xsim.New(xsim.Options{}))
		h := open(t, settings(t, e, at))
		ready := func(x string) {
			t.Helper()
			for _, door := range []string{h.public, h.admin} {
				a := ask(t, h.client, "GET", door+"/readyz", "")
				want(t, http.StatusOK, a)
				if a.text("status") != "ok" || a.text("parts.0.name") != "x" || a.text("parts.0.status") != x ||
					a.text("parts.1.name") != e.name || a.text("parts.1.status") != "ok" ||
					a.text("parts.2.name") != "keyset" || a.text("parts.2.status") != "ok" || a.field("parts.3") != nil {
					t.Errorf("%s says %s", door, a.body)
				}
				// Why it does not answer is for operators.
				if told := a.text("parts.0.error") != ""; told != (x != "ok" && door == h.admin) {
					t.Errorf("%s says %s", door, a.body)
				}
			}
		}
		alive := func() {
			t.Helper()
			for _, door := range []string{h.public, h.admin} {
				a := ask(t, h.client, "GET", door+"/healthz", "")
				if a.status != http.StatusOK || a.text("status") != "ok" || a.text("version") != "test" {
					t.Errorf("%s says %d %s", door, a.status, a.body)
				}
			}
		}
		ready("ok")
		alive()
		app := h.register(t, pageA, "")
		down()
		eventually(t, "Perch asks X again", func() bool { // it keeps an answer for two seconds
			return ask(t, h.client, "GET", h.public+"/readyz", "").text("parts.0.status") != "ok"
		})
		ready("unavailable")
		alive()
		a := h.act(t, app.sk, "", "GET", "/2/usage/tweets", "")
		if a.status != http.StatusServiceUnavailable || a.problem() != "x-unreachable" ||
			!strings.Contains(a.text("detail"), "safe to try again") {
			t.Errorf("a call while X is down: %d %s", a.status, a.body)
		}
	})
}

// A call under way when the house is to be left is finished, streams end at
// once, and nobody new comes in.
func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		arrived, release := make(chan struct{}), make(chan struct{})
		line := &tap{x: x, arrived: func(r *http.Request) { // X takes its time over posts
			if r.URL.Path == "/2/tweets" {
				close(arrived)
				<-release
			}
		}}
		at, _ := serveX(t, line)
		goOn := sync.OnceFunc(func() { close(release) })
		t.Cleanup(goOn)
		h := open(t, settings(t, e, at))
		app := h.register(t, pageA, "")
		grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))

		stream, post := make(chan answer, 1), make(chan answer, 1)
		go func() { stream <- h.act(t, app.sk, "", "GET", "/2/tweets/sample/stream", "") }()
		eventually(t, "the stream is open", func() bool { return len(happened(x, "connection.opened")) == 1 })
		go func() { post <- h.act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"in time"}`) }()
		<-arrived
		shut := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			shut <- h.Public.Shutdown(ctx)
		}()
		eventually(t, "the door is shut", func() bool { return !opens(t, h.public) })
		<-stream
		eventually(t, "X is rid of the stream", func() bool { return len(happened(x, "connection.closed")) == 1 })
		select {
		case a := <-post:
			t.Fatalf("the post was cut off: %d %s %v", a.status, a.body, a.err)
		case err := <-shut:
			t.Fatalf("Shutdown did not wait: %v", err)
		default:
		}
		goOn()
		want(t, http.StatusCreated, <-post)
		if err := <-shut; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if n := len(happened(x, "post.created")); n != 1 {
			t.Errorf("%d posts were made", n)
		}
		if opens(t, h.public) {
			t.Error("the door is open again")
		}
	})
}

// opens reports whether somebody can still come in.
func opens(t *testing.T, door string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(door, "http://"))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// The operators' door serves nothing of X, and the public one nothing of the operators'.
func TestTheDoorsAreApart(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		app := h.register(t, pageA, "")
		for _, act := range xapi.All()[:10] {
			a := send(t, h.client, act.Method, h.admin+act.Path, "", "Authorization: Bearer "+app.sk)
			if a.err == nil && a.status < http.StatusBadRequest {
				t.Errorf("the operators' door serves %s", act.ID)
			}
		}
		for _, path := range []string{"/admin/v1/apps", "/admin/v1/xapps", "/admin/v1/grants"} {
			for _, token := range []string{adminToken, app.sk} {
				a := ask(t, h.client, "GET", h.public+path, "", "Authorization: Bearer "+token)
				if a.status != http.StatusNotFound || a.problem() != "no-such-path" {
					t.Errorf("the public door at %s: %d %s", path, a.status, a.body)
				}
				wanted := http.StatusOK
				if token != adminToken {
					wanted = http.StatusUnauthorized
				}
				want(t, wanted, ask(t, h.client, "GET", h.admin+path, "", "Authorization: Bearer "+token))
			}
		}
	})
}
