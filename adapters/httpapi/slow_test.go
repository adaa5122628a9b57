package httpapi

import (
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Attack 60: Fiber's own reader of forms sizes lists by such names. Ours
// knows no lists: the names are unknown parameters, or none.
func TestAFormKeyThatNamesAPlaceInAListIsRefused(t *testing.T) {
	h := build(t, plan{})
	for _, key := range []string{
		"a.18446744073704", "a[-1]", "a[18446744073704]", "grant_type.18446744073704", "grant_type[-1]", "grant_type[0]", "a[][][]", "a[b].c[0]",
		"\x00", "a\x00b", "[", "]", ".", "a..b",
	} {
		for _, path := range []string{"/oauth/token", "/2/oauth2/token", "/oauth/revoke", "/2/oauth2/revoke"} {
			form := url.QueryEscape(key) + "=x&client_id=" + h.pk
			a := ask(t, "POST", h.public+path, form, "Content-Type: application/x-www-form-urlencoded")
			if a.StatusCode != 400 {
				t.Errorf("%s at %s: %d %s", key, path, a.StatusCode, a.body)
			}
		}
	}
}

// Attack 63: slow headers, slow bodies, and bodies in a million pieces.
func TestSlowAndChoppedRequestsAreCutWithAReason(t *testing.T) {
	h := build(t, plan{wait: func(w *patience) {
		w.header, w.body, w.small = 4*time.Second, 3*time.Second, 5*time.Second
	}})
	token := "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	var all sync.WaitGroup
	for name, c := range map[string]struct {
		begin, drip, want string
	}{
		"a header that stops":        {"GET /healthz HTTP/1.1\r\nX-A: ", "", "HTTP/1.1 408 "},
		"a header that drips":        {"GET /healthz HTTP/1.1\r\nX-A: ", "a", "HTTP/1.1 408 "},
		"a declared body that stops": {token + "Content-Length: 9\r\n\r\n{\"a", "", "HTTP/1.1 408 "},
		"a declared body that drips": {token + "Content-Length: 9000\r\n\r\n{\"a", "a", "HTTP/1.1 408 "},
		"chunks that stop":           {token + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "", "HTTP/1.1 408 "},
		"chunks that drip":           {token + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "1\r\na\r\n", "HTTP/1.1 408 "},
	} {
		conn := dial(t, h.public)
		_, err := io.WriteString(conn, c.begin)
		must(t, err)
		all.Go(func() {
			if got := dripped(conn, c.drip); !strings.HasPrefix(got, c.want) || strings.Count(got, "HTTP/1.1 ") != 1 ||
				!strings.Contains(got, "onnection: close") {
				t.Errorf("%s: %.300q", name, got)
			}
		})
	}
	all.Wait()
}

// dripped sends more and more of a request until it is answered, and returns the answer.
func dripped(conn net.Conn, drip string) string {
	ended := make(chan struct{})
	go func() {
		for drip != "" {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = io.WriteString(conn, drip)
			}
		}
	}()
	got, _ := io.ReadAll(conn)
	close(ended)
	return string(got)
}

func TestABodyInAMillionPiecesIsRefusedAtItsLimit(t *testing.T) {
	h := build(t, plan{})
	c := dial(t, h.public)
	go func() {
		_, _ = io.WriteString(c, "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+
			strings.Repeat("1\r\na\r\n", 1_000_000)+"0\r\n\r\n")
	}()
	b, err := io.ReadAll(c)
	if got := string(b); !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, strconv.Itoa(tokenLimit)) {
		t.Errorf("%v: %.300q", err, got)
	}
}

// A request that came together with the one before it is under way like any other:
// its connection makes no room for others while its body is still to come.
func TestAPipelinedRequestIsUnderWayToo(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x, plain: true, limits: Limits{Connections: 1}, wait: func(w *patience) {
		w.body, w.small = time.Hour, time.Hour
	}})
	c := dial(t, h.public)
	post := "POST " + postPath + " HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer " + h.sk + "\r\n"
	_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"+post+"Content-Length: 4\r\n\r\n{ ")
	must(t, err)
	w := func() *crowd { h.server.mu.Lock(); defer h.server.mu.Unlock(); return h.server.ln.crowd }()
	waiting := func() int { w.mu.Lock(); defer w.mu.Unlock(); return w.all[fresh].Len() + w.all[idle].Len() }
	calm := 0 // between the two it waits for a moment, and there is no telling when the second begins
	until(t, "its connection waits no longer", func() bool {
		if calm++; h.inside() != 1 || waiting() > 0 {
			calm = 0
		}
		return calm > 30
	})
	if !closed(dial(t, h.public)) {
		t.Error("another connection takes its place")
	}
	_, err = io.WriteString(c, " }")
	must(t, err)
	wait(t, x.started, "the second reaches X")
	close(x.release)
}
