package httpapi

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	downloadPath = "/2/chat/media/1/k"
	streamPath   = "/2/tweets/sample/stream"
	waitPath     = "/2/users/me"
)

// A giver is an X whose replies are odd.
type giver struct {
	left    chan string // paths whose client has gone
	started chan string
	release chan struct{}
}

func newGiver() *giver {
	return &giver{left: make(chan string, 100), started: make(chan string, 100), release: make(chan struct{})}
}

func (x *giver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	x.started <- r.URL.Path
	w.Header().Set("Content-Type", "application/octet-stream")
	switch {
	case r.URL.Path == streamPath:
		if r.URL.RawQuery == "" {
			_, _ = io.WriteString(w, "{}\r\n")
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		x.left <- r.URL.Path
	case r.URL.Path == downloadPath && r.URL.RawQuery == "":
		w.Header().Set("Content-Length", fmt.Sprint(64<<20))
		piece := make([]byte, 64<<10)
		for range 1024 {
			if _, err := w.Write(piece); err != nil {
				x.left <- r.URL.Path
				return
			}
		}
	case r.URL.RawQuery == "declared=1":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case r.URL.RawQuery == "chunked=1":
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case r.URL.RawQuery == "nothing=1":
		w.WriteHeader(http.StatusNoContent)
	default:
		select {
		case <-r.Context().Done():
			x.left <- r.URL.Path
		case <-x.release:
			_, _ = io.WriteString(w, "released")
		}
	}
}

func wait(t *testing.T, c <-chan string, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		t.Fatal("not in time: " + what)
	}
}

func TestClientGoneCancelsWhatOnlyReadsOrStreams(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x})
	head := " HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer "
	for name, text := range map[string]string{
		"read":   "GET " + waitPath + head + h.sk + "\r\n\r\n",
		"upload": h.upload("Content-Length: 5") + "hello",
		"stream": "GET " + streamPath + head + h.appOnly + "\r\n\r\n",
	} {
		c := dial(t, h.public)
		_, err := io.WriteString(c, text)
		must(t, err)
		wait(t, x.started, name+" reaches X")
		time.Sleep(20 * time.Millisecond)
		must(t, c.Close())
		wait(t, x.left, name+" is cancelled at X")
	}
}

func TestAWriteGoesOnWithoutItsClient(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x})
	c := dial(t, h.public)
	_, err := io.WriteString(c, "POST "+postPath+" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer "+h.sk+"\r\nContent-Length: 2\r\n\r\n{}")
	must(t, err)
	wait(t, x.started, "the post reaches X")
	must(t, c.Close())
	select {
	case <-x.left:
		t.Fatal("the post is cancelled at X")
	case <-time.After(50 * time.Millisecond):
	}
	close(x.release)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		t.Errorf("the post did not end: %v", err)
	}
}

func TestBrokenReplyIsVisible(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x})
	for _, how := range []string{"declared=1", "chunked=1"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", h.public+downloadPath+"?"+how, nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+h.sk)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // it broke off before its first piece was passed on: that shows too
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil {
			t.Errorf("%s: %q looks whole", how, b)
		}
	}
	if a := h.act("GET", downloadPath+"?nothing=1", ""); a.StatusCode != http.StatusNoContent || a.body != "" {
		t.Errorf("no content: %d %q", a.StatusCode, a.body)
	}
}

// TestDownloadIsNotKept reads 64 MiB slowly: it takes longer than the door waits
// for one piece to be taken.
func TestDownloadIsNotKept(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x, wait: func(p *patience) { p.write = 5 * time.Second }})
	req, err := http.NewRequestWithContext(t.Context(), "GET", h.public+downloadPath, nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+h.sk)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	n := int64(0)
	for err == nil {
		var piece int64
		piece, err = io.CopyN(io.Discard, res.Body, 2<<20)
		n += piece
		time.Sleep(220 * time.Millisecond)
	}
	must(t, res.Body.Close())
	runtime.ReadMemStats(&after)
	if n != 64<<20 || res.ContentLength != 64<<20 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes of %d came: %v", n, res.ContentLength, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("64 MiB through the door took %d bytes of memory", used)
	}
}

func TestStuckReaderIsCutOff(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x, wait: func(p *patience) { p.write = 200 * time.Millisecond }})
	c := dial(t, h.public)
	_, err := io.WriteString(c, "GET "+downloadPath+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+h.sk+"\r\n\r\n")
	must(t, err)
	wait(t, x.left, "X stops sending to a client that does not read")
}

func TestStreamFlushes(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x})
	c := dial(t, h.public)
	_, err := io.WriteString(c, "GET "+streamPath+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+h.appOnly+"\r\n\r\n")
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	b := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "{}\r\n" {
		t.Errorf("the first line did not come: %q %v", b, err)
	}
	must(t, c.Close())
	_ = res.Body.Close()

	c = dial(t, h.public) // a stream on which nothing happens has begun too
	_, err = io.WriteString(c, "GET "+streamPath+"?quiet=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+
		h.appOnly+"\r\n\r\n")
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	b = make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 200" {
		t.Errorf("a quiet stream did not begin: %q %v", b, err)
	}
}

// X packs what nobody asked it to pack.
func TestATroubleThatXPackedIsReadable(t *testing.T) {
	for encoding, slug := range map[string]string{"gzip": "x-usage-cap", "br": "x-rate-limit"} {
		h := build(t, plan{x: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Content-Encoding", encoding)
			w.WriteHeader(http.StatusTooManyRequests)
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, `{"title":"UsageCapExceeded","period":"Monthly","scope":"Product"}`)
			_ = z.Close()
		})})
		a := h.act("GET", "/2/users/me", "", "Accept-Encoding: gzip")
		if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Content-Encoding") != "" ||
			a.json(t)["type"] != "urn:perch:problem:"+slug {
			t.Errorf("%s: %d %v %q", encoding, a.StatusCode, a.Header, a.body)
		}
	}
}

func TestReserved(t *testing.T) {
	for _, name := range []string{
		"Set-Cookie", "Access-Control-Allow-Origin", "access-control-anything", "Content-Length", "Location", "Vary",
		"Transfer-Encoding", "Connection", RequestID,
	} {
		if !reserved(name) {
			t.Errorf("X may set %s", name)
		}
	}
	for _, name := range []string{"Content-Type", "X-Rate-Limit-Reset", "Retry-After", "Content-Encoding"} {
		if reserved(name) {
			t.Errorf("X may not set %s", name)
		}
	}
}

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x})
	idle := dial(t, h.public) // has sent nothing and must not hold anything up
	answers := make(chan answer, 1)
	go func() { answers <- h.act("GET", waitPath, "") }()
	wait(t, x.started, "the read reaches X")
	go func() {
		req, _ := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", h.public+streamPath, nil)
		req.Header.Set("Authorization", "Bearer "+h.appOnly)
		if res, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}()
	wait(t, x.started, "the stream reaches X")
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		done <- h.server.Shutdown(ctx)
	}()
	wait(t, x.left, "the stream ends at once")
	until(t, "it accepts nobody", func() bool {
		c, err := net.Dial("tcp", hostOf(h.public))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(x.release)
	if a := <-answers; a.StatusCode != http.StatusOK || a.body != "released" {
		t.Errorf("the request under way: %d %q", a.StatusCode, a.body)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection: %v", err)
	}
}

func TestShutdownCutsWhatTakesTooLong(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x})
	c := dial(t, h.public)
	_, err := io.WriteString(c, "GET "+waitPath+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+h.sk+"\r\n\r\n")
	must(t, err)
	wait(t, x.started, "the read reaches X")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	wait(t, x.left, "the read is cut off")
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
}

// TestLeaks sends everything a client could want to slip through, to an X that
// answers with everything it could slip back.
func TestLeaks(t *testing.T) {
	var seen http.Header
	var query string
	h := build(t, plan{x: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, query = r.Header.Clone(), r.URL.RawQuery
		for _, name := range []string{
			"Set-Cookie", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Location",
			"Server", "Strict-Transport-Security", "Www-Authenticate", "X-Powered-By", "Perch-Request-Id",
		} {
			w.Header().Set(name, "canary")
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("X-Rate-Limit-Remaining", "7")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, `{"title":"X's own problem"}`)
	})})
	canaries := []string{
		"Cookie: __cf_bm=canary", "Proxy-Authorization: canary", "X-Csrf-Token: canary", "Idempotency-Key: canary",
		"X-Idempotency-Key: canary", "X-Forwarded-For: canary", "X-Forwarded-Host: canary", "Forwarded: canary",
		"Base-Url-Override: http://evil", "X-Portkey-Custom-Host: http://evil", "Referer: https://canary",
		"Perch-Grant: " + string(h.grant), "User-Agent: canary", "X-Http-Method-Override: DELETE", "Accept-Encoding: canary",
	}
	a := h.act("POST", postPath+"?a=1", `{"text":"hi"}`, canaries...)
	for name, values := range seen {
		if v := strings.Join(values, " "); strings.Contains(v, "canary") || strings.Contains(v, "evil") ||
			strings.Contains(v, h.sk) || strings.Contains(v, string(h.grant)) || strings.Contains(strings.ToLower(name), "idempotency") {
			t.Errorf("X got %s: %s", name, v)
		}
	}
	if query != "a=1" {
		t.Errorf("X got the query %q", query)
	}
	for name, values := range a.Header {
		if strings.Contains(strings.Join(values, " "), "canary") {
			t.Errorf("the client got %s: %v", name, values)
		}
	}
	if a.StatusCode != http.StatusTeapot || a.body != `{"title":"X's own problem"}` ||
		a.Header.Get("X-Rate-Limit-Remaining") != "7" || a.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("X's answer did not come through: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if log := h.log.String(); strings.Contains(log, h.sk) || strings.Contains(log, xAccess) {
		t.Error("the log has a secret in it")
	}
}
