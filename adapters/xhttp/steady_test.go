package xhttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

func calls(t *testing.T) map[string]func() ports.Call {
	t.Helper()
	return map[string]func() ports.Call{
		"a read":          func() ports.Call { return readMe(t) },
		"a stream":        func() ports.Call { return ports.Call{Action: action(t, "streamPosts")} },
		"a post":          func() ports.Call { return posting(t) },
		"a bodyless post": func() ports.Call { return finalizing(t) },
		"a delete": func() ports.Call {
			return ports.Call{Action: action(t, "deletePosts"), Params: map[string]string{"id": "1"}}
		},
		"an idempotent put": func() ports.Call {
			return ports.Call{
				Action: action(t, "hidePostsReply"), Params: map[string]string{"tweet_id": "1"},
				Body: strings.NewReader(`{"hidden":true}`), Length: 15,
			}
		},
	}
}

func posting(t *testing.T) ports.Call {
	t.Helper()
	return ports.Call{
		Action: action(t, "createPosts"), Body: strings.NewReader(`{"text":"hi"}`), Length: 13, Token: secret.New("x"),
	}
}

func finalizing(t *testing.T) ports.Call {
	t.Helper()
	return ports.Call{
		Action: action(t, "finalizeMediaUpload"), Params: map[string]string{"id": "1"}, Token: secret.New("x"),
	}
}

func TestOnlyAReadIsRepeated(t *testing.T) {
	failures := map[string]http.HandlerFunc{
		"502": status(502, ""), "503": status(503, ""), "504": status(504, ""), "cut": cut(""),
		"a page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	for name, fail := range failures {
		for kind, call := range calls(t) {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				want := int64(1)
				if kind == "a read" {
					want = 3
				}
				if n := executions(t, server, fail, call()); n != want {
					t.Errorf("HTTP/1.1: X was asked %d times, want %d", n, want)
				}
				if n := executions(t, server2, fail, call()); n != want {
					t.Errorf("HTTP/2: X was asked %d times, want %d", n, want)
				}
			})
		}
	}
}

func status(status int, after string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
	}
}

// executions makes the call over a connection that was used before and counts
// how often the server got it.
func executions(
	t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server, fail http.HandlerFunc, c ports.Call,
) int64 {
	t.Helper()
	var n atomic.Int64
	g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodHead {
			return
		}
		n.Add(1)
		fail(w, r)
	}))
	connect(t, g)
	reply, err := g.Do(t.Context(), c)
	if err == nil {
		_ = reply.Body.Close()
	}
	if errors.Is(err, ports.ErrUnsent) {
		t.Errorf("what X got is called unsent: %v", err)
	}
	return n.Load()
}

// away lets nobody be there at some of the gateway's dials, counted from one.
func away(t *testing.T, g *Gateway, at func(dial int64) bool) {
	t.Helper()
	dial, elsewhere := g.transport.DialContext, strings.TrimPrefix(nowhere(t), "http://")
	var dials atomic.Int64
	g.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if at(dials.Add(1)) {
			address = elsewhere
		}
		return dial(ctx, network, address)
	}
}

// X performs a read, loses its answer, and is gone when it is asked again.
func TestAReadWhoseAnswerIsLostIsNotUnsent(t *testing.T) {
	for name, v := range map[string]struct {
		fail   http.HandlerFunc
		slug   string
		status int
	}{
		"no answer": {cut(""), "x-no-answer", 0},
		"a failure": {status(503, ""), "", 503},
	} {
		g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			v.fail(w, r)
		}))
		away(t, g, func(dial int64) bool { return dial > 1 })
		reply, err := g.Do(t.Context(), readMe(t))
		if errors.Is(err, ports.ErrUnsent) || fault.SlugOf(err) != v.slug || reply.Status != v.status || reply.Lost != 0 {
			t.Errorf("%s: %d, %d lost, %v", name, reply.Status, reply.Lost, err)
		}
		if err == nil {
			if _, err := io.ReadAll(reply.Body); err != nil {
				t.Errorf("%s: the answer cannot be read any more: %v", name, err)
			}
		}
	}
}

func TestAnswersThatAreLostAreCounted(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusTeapot)
	}
	torn := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":`)
	}
	for name, v := range map[string]struct {
		tries []http.HandlerFunc
		lost  int
	}{
		"at once":             {[]http.HandlerFunc{status(200, "")}, 0},
		"lost twice":          {[]http.HandlerFunc{cut(""), torn, status(200, "")}, 2},
		"failures are heard":  {[]http.HandlerFunc{status(502, ""), status(503, ""), status(200, "")}, 0},
		"lost, then refused":  {[]http.HandlerFunc{cut(""), status(401, "")}, 1},
		"lost, then a page":   {[]http.HandlerFunc{cut(""), page}, 1},
		"lost three times":    {[]http.HandlerFunc{cut(""), cut(""), cut("")}, 2},
		"a failure, then two": {[]http.HandlerFunc{status(502, ""), cut(""), cut("")}, 1},
	} {
		var n atomic.Int64
		g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
			v.tries[n.Add(1)-1](w, r)
		}))
		reply, err := g.Do(t.Context(), readMe(t))
		if err == nil {
			_ = reply.Body.Close()
		}
		if reply.Lost != v.lost || int(n.Load()) != len(v.tries) {
			t.Errorf("%s: asked %d times, %d lost, %v", name, n.Load(), reply.Lost, err)
		}
	}
}

func TestOtherAnswersAreNotRepeated(t *testing.T) {
	for _, fail := range []http.HandlerFunc{status(500, ""), status(429, ""), status(401, ""), status(503, "60")} {
		if n := executions(t, server, fail, readMe(t)); n != 1 {
			t.Errorf("X was asked %d times", n)
		}
	}
}

func TestAReadThatWorksTheThirdTime(t *testing.T) {
	var n atomic.Int64
	g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	if reply, _ := perform(t, g, readMe(t)); reply.Status != http.StatusOK {
		t.Errorf("status %d", reply.Status)
	}
}

func TestWhatWasNotSentIsSentAgain(t *testing.T) {
	var posts atomic.Int64
	g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) == `{"text":"hi"}` {
			posts.Add(1)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	away(t, g, func(dial int64) bool { return dial <= 2 }) // X comes up after that
	reply, err := g.Do(t.Context(), posting(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = reply.Body.Close()
	if reply.Status != http.StatusCreated || posts.Load() != 1 {
		t.Errorf("status %d after %d posts", reply.Status, posts.Load())
	}
}

func TestUnsentSaysSo(t *testing.T) {
	g := at(t, nowhere(t))
	for kind, call := range calls(t) {
		_, err := g.Do(t.Context(), call())
		if !errors.Is(err, ports.ErrUnsent) || !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := g.Do(ctx, posting(t))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a call that had ended: %v", err)
	}
}

func TestAPauseEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if rest(ctx, time.Hour) {
		t.Error("it went on trying")
	}
}

func TestASilentXIsGivenUp(t *testing.T) {
	var n atomic.Int64
	arrived, release := make(chan struct{}, 9), make(chan struct{})
	s := server(t, func(http.ResponseWriter, *http.Request) {
		n.Add(1)
		arrived <- struct{}{}
		<-release
	})
	g, err := New(Config{APIURL: s.URL, WaitTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.Do(t.Context(), readMe(t))
	<-arrived
	close(release)
	if !errors.Is(err, fault.Unavailable) || errors.Is(err, ports.ErrUnsent) || n.Load() != 1 {
		t.Errorf("asked %d times: %v", n.Load(), err)
	}
}

func TestPing(t *testing.T) {
	for code, well := range map[int]bool{200: true, 301: true, 401: true, 404: true, 429: true, 500: false, 503: false} {
		if err := gateway(t, server(t, status(code, ""))).Ping(t.Context()); (err == nil) != well {
			t.Errorf("%d: %v", code, err)
		}
	}
	if err := at(t, nowhere(t)).Ping(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestANameThatNobodyKnowsIsUnsent(t *testing.T) {
	g := at(t, "https://x.invalid") // RFC 2606 section 2: it never is one
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := g.Do(ctx, posting(t))
	if !errors.Is(err, ports.ErrUnsent) || !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}
