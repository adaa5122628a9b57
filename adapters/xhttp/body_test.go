package xhttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

func TestATornReplyIsSeenAsTorn(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		for name, declared := range map[string]string{"a length": "100", "no length": ""} {
			var asked atomic.Int64
			g := gateway(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				if declared != "" {
					w.Header().Set("Content-Length", declared)
				}
				_, _ = w.Write([]byte(`{"data":`))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}))
			broken(t, name, g, readMe(t))
			if n := asked.Swap(0); n != 3 {
				t.Errorf("%s: X was asked for a read %d times", name, n)
			}
			broken(t, name, g, posting(t))
			if n := asked.Load(); n != 1 {
				t.Errorf("%s: X was asked for a post %d times", name, n)
			}
			reply, err := g.Do(t.Context(), download(t))
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(reply.Body); err == nil {
				t.Errorf("%s: half a file ended cleanly with %q", name, body)
			}
			_ = reply.Body.Close()
		}
	})
}

// broken makes the call, whose answer is known by its status only.
func broken(t *testing.T, name string, g *Gateway, c ports.Call) {
	t.Helper()
	reply, err := g.Do(t.Context(), c)
	if !errors.Is(err, fault.Upstream) || fault.SlugOf(err) != "x-broken-answer" || errors.Is(err, ports.ErrUnsent) ||
		reply.Status != http.StatusOK || reply.Whole != nil {
		t.Errorf("%s: %+v, error %v", name, reply, err)
	}
}

func download(t *testing.T) ports.Call {
	t.Helper()
	return ports.Call{Action: action(t, "dmConversationsMediaDownload"), Params: map[string]string{
		"dm_id": "1", "media_id": "2", "resource_id": "3",
	}}
}

func TestWhatSaysItIsJSONIs(t *testing.T) {
	for name, v := range map[string]struct {
		kind, body string
		status     int
		sound      bool
	}{
		"JSON":                       {"application/json; charset=utf-8", `{"data":1}`, 200, true},
		"half":                       {"application/json; charset=utf-8", `{"data":`, 200, false},
		"half a problem":             {"application/problem+json", `{"data":`, 200, false},
		"nothing":                    {"application/json", "", 200, false},
		"nothing, and none expected": {"application/json", "", 204, true},
		"nothing beside an error":    {"application/json", "", 413, true},
		"text":                       {"text/plain", "hello", 200, true},
	} {
		g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", v.kind)
			w.WriteHeader(v.status)
			_, _ = w.Write([]byte(v.body))
		}))
		if !v.sound {
			broken(t, name, g, posting(t))
			continue
		}
		if reply, body := perform(t, g, posting(t)); body != v.body || string(reply.Whole) != v.body || reply.Whole == nil {
			t.Errorf("%s became %q", name, body)
		}
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatXPackedIsUnpacked(t *testing.T) {
	packed := gzipped(t, `{"data":1}`)
	bomb := gzipped(t, strings.Repeat(" ", mostWhole+1))
	for name, v := range map[string]struct{ encoding, body, want, left string }{
		"gzip":               {"gzip", packed, `{"data":1}`, ""},
		"its other name":     {"X-GZIP", packed, `{"data":1}`, ""},
		"one that is cut":    {"gzip", packed[:len(packed)-5], "", ""},
		"what is none":       {"gzip", `{"data":1}`, "", ""},
		"half, packed whole": {"gzip", gzipped(t, `{"data":`), "", ""},
		"one that is huge":   {"gzip", bomb, bomb, "gzip"},
		"another":            {"br", "brotli", "brotli", "br"},
	} {
		g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", v.encoding)
			_, _ = io.WriteString(w, v.body)
		}))
		if v.want == "" {
			broken(t, name, g, posting(t))
			continue
		}
		reply, body := perform(t, g, posting(t))
		if left := strings.Join(reply.Header["Content-Encoding"], ""); body != v.want || string(reply.Whole) != v.want ||
			reply.Length != int64(len(v.want)) || left != v.left {
			t.Errorf("%s became %d bytes of %d in %q", name, len(body), reply.Length, left)
		}
	}
}

func TestAnAnswerThatIsTooLongStillComes(t *testing.T) {
	long := strings.Repeat("x", mostWhole+1)
	for name, declare := range map[string]bool{"declared": true, "not declared": false} {
		g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
			if declare {
				w.Header().Set("Content-Length", strconv.Itoa(len(long)))
			}
			_, _ = io.WriteString(w, long)
		}))
		if reply, body := perform(t, g, readMe(t)); reply.Whole != nil || body != long {
			t.Errorf("%s: %d bytes, kept %d", name, len(body), len(reply.Whole))
		}
	}
}

func TestABodyThatStallsIsGivenUp(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		for name, drip := range map[string]time.Duration{"silent": time.Hour, "in drops": 20 * time.Millisecond} {
			var asked atomic.Int64
			gone := make(chan struct{})
			g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(gone)
				asked.Add(1)
				for {
					_, _ = w.Write([]byte(" "))
					_ = http.NewResponseController(w).Flush()
					select {
					case <-time.After(drip):
					case <-r.Context().Done():
						return
					}
				}
			}))
			g.patience = 100 * time.Millisecond
			broken(t, name, g, readMe(t))
			<-gone
			if n := asked.Load(); n != 1 {
				t.Errorf("%s: X was asked %d times", name, n)
			}
		}
	})
}

func TestABodyIsReadNoLongerThanItsCallLasts(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		gone := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			defer close(gone)
			_ = http.NewResponseController(w).Flush()
			cancel()
			<-r.Context().Done()
		}))
		g.patience = time.Hour
		if _, err := g.Do(ctx, readMe(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		<-gone
	})
}

func TestAReplyIsNoLongerThanItSays(t *testing.T) {
	url, _ := wireServer(t, func(_ int64, c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
		_, _ = c.Read(make([]byte, 4096))
	})
	for range 3 { // each on a connection of its own: what waits on an old one is net/http's to notice
		if reply, body := perform(t, at(t, url), readMe(t)); body != "{}" || reply.Length != 2 {
			t.Errorf("got %q of length %d", body, reply.Length)
		}
	}
}

func TestALongHeaderIsRefused(t *testing.T) {
	g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Access-Level", strings.Repeat("a", 300<<10))
	}))
	if _, err := g.Do(t.Context(), readMe(t)); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestAStreamArrivesPieceByPieceAndEndsWithItsContext(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		next, gone := make(chan string), make(chan struct{})
		g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			defer close(gone)
			for {
				_ = http.NewResponseController(w).Flush()
				select {
				case piece := <-next:
					_, _ = w.Write([]byte(piece))
				case <-r.Context().Done():
					return
				}
			}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		reply, err := g.Do(ctx, ports.Call{Action: action(t, "streamPosts"), Token: secret.New("x")})
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []string{"{\"data\":1}\r\n", "\r\n"} {
			next <- piece
			got := make([]byte, len(piece))
			if _, err := io.ReadFull(reply.Body, got); err != nil || string(got) != piece {
				t.Errorf("got %q, error %v", got, err)
			}
		}
		cancel()
		if _, err := reply.Body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
		<-gone
		_ = reply.Body.Close()
	})
}

func TestClosingAReplyEndsTheCall(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		gone := make(chan struct{})
		g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		}))
		reply, err := g.Do(t.Context(), download(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close()
		_ = reply.Body.Close()
		<-gone
	})
}

// A leaky body counts its reads and fails after some bytes.
type leaky struct {
	left  int
	err   error
	reads atomic.Int64
}

func (l *leaky) Read(p []byte) (int, error) {
	l.reads.Add(1)
	if l.left == 0 {
		return 0, l.err
	}
	n := min(len(p), l.left)
	l.left -= n
	return n, nil
}

func upload(t *testing.T, body io.Reader, n int64) ports.Call {
	t.Helper()
	return ports.Call{
		Action: action(t, "appendMediaUpload"), Params: map[string]string{"id": "1"},
		Type: "multipart/form-data; boundary=b", Body: body, Length: n, Token: secret.New("x"),
	}
}

func TestAFailingBodyGivesItsOwnFault(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		var whole atomic.Int64
		g := gateway(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				whole.Add(1)
			}
		}))
		tooLarge := fault.New(fault.TooLarge, "too large")
		for name, c := range map[string]struct {
			body *leaky
			n    int64
			want error
		}{
			"a fault":               {&leaky{left: 70_000, err: tooLarge}, 100_000, tooLarge},
			"a fault, no length":    {&leaky{left: 70_000, err: tooLarge}, -1, tooLarge},
			"a fault at once":       {&leaky{err: tooLarge}, 100, tooLarge},
			"too short":             {&leaky{left: 70_000, err: io.EOF}, 100_000, io.ErrUnexpectedEOF},
			"too short to be one":   {&leaky{err: io.EOF}, 5, io.ErrUnexpectedEOF},
			"torn, no length given": {&leaky{left: 10, err: io.ErrUnexpectedEOF}, -1, io.ErrUnexpectedEOF},
		} {
			_, err := g.Do(t.Context(), upload(t, c.body, c.n))
			if !errors.Is(err, c.want) || errors.Is(err, ports.ErrUnsent) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := whole.Load(); n != 0 {
			t.Errorf("X took %d torn bodies for whole ones", n)
		}
	})
}

func TestALongBodyIsCutToItsLength(t *testing.T) {
	g, seen := sees(t, server)
	perform(t, g, upload(t, strings.NewReader("abcdef"), 3))
	if got := <-seen; got.Body != "abc" {
		t.Errorf("X saw %q", got.Body)
	}
}

func TestABodyIsLeftAloneAfterTheReply(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		g := gateway(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}))
		body := &leaky{left: 1 << 40}
		reply, err := g.Do(t.Context(), upload(t, body, -1))
		if err != nil {
			return // HTTP/1.1 leaves it open which comes first, the answer or the hang-up
		}
		if reply.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", reply.Status)
		}
		_ = reply.Body.Close()
		before := body.reads.Load()
		time.Sleep(20 * time.Millisecond)
		if after := body.reads.Load(); after > before+1 { // one may have been under way
			t.Errorf("%d reads after the reply was closed", after-before)
		}
	})
}

func TestADetachedBodyIsNotRead(t *testing.T) {
	body := &leaky{left: 10}
	out := bodyOf(upload(t, body, 10))
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 5)); n != 0 || err == nil || body.reads.Load() != 0 {
		t.Errorf("%d bytes in %d reads, error %v", n, body.reads.Load(), err)
	}
}

func TestAStalledBodyDoesNotHoldTheCall(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		g := gateway(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		}))
		stalled, w := io.Pipe()
		defer func() { _ = w.Close() }()
		err := overdue(t, func(ctx context.Context) error { return drop(g.Do(ctx, upload(t, stalled, 100))) })
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ports.ErrUnsent) {
			t.Errorf("got %v", err)
		}
	})
}
