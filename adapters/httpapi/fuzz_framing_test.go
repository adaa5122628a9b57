package httpapi

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// FuzzHead: of a header block that is let through, fasthttp and net/http read
// the same of everything that must not come twice.
func FuzzHead(f *testing.F) {
	f.Fuzz(func(t *testing.T, block []byte) {
		if end := bytes.Index(block, []byte("\r\n\r\n")); end >= 0 {
			block = block[:end+2]
		}
		block = append(bytes.TrimPrefix(block, []byte("\r\n")), "\r\n"...)
		text := append([]byte("POST / HTTP/1.1\r\n"), block...)
		var fast fasthttp.RequestHeader
		if fast.Read(bufio.NewReaderSize(bytes.NewReader(text), maxHeader)) != nil || checkHeaders(fast.RawHeaders()) != nil {
			return
		}
		slow, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(text), maxHeader))
		if err != nil {
			t.Fatalf("%q is let through, and net/http says %v", block, err)
		}
		for _, name := range singles {
			if name == "host" {
				slow.Header.Set(name, slow.Host) // where net/http keeps it
			}
			if name == "content-length" || name == "transfer-encoding" {
				continue // see below
			}
			if all := slow.Header.Values(name); len(all) > 1 {
				t.Errorf("%q is let through with two %s", block, name)
			}
			if one, other := slow.Header.Get(name), string(fast.Peek(name)); one != other {
				t.Errorf("%q: %s is %q for net/http and %q for fasthttp", block, name, one, other)
			}
		}
		if chunked := len(slow.TransferEncoding) > 0; chunked != (fast.ContentLength() == -1) ||
			!chunked && slow.ContentLength != int64(max(fast.ContentLength(), 0)) {
			t.Errorf("%q: the body has %d %v for net/http and %d for fasthttp",
				block, slow.ContentLength, slow.TransferEncoding, fast.ContentLength())
		}
	})
}

// FuzzRequests sends raw bytes. Every request that a handler sees is one that
// net/http reads at the same place in the same bytes, with the same body: who
// stands in front of Perch and who stands behind see the same requests.
func FuzzRequests(f *testing.F) {
	seen := &sightings{}
	s := newServer(Config{PublicURL: "http://localhost"}, Services{}, slog.New(slog.DiscardHandler))
	s.wait.linger = 50 * time.Millisecond
	var table []route
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		table = append(table, route{m, "/*", guardAnyone, shareNobody, jsonLimit, problems, seen.handle})
	}
	s.mount(table)
	ln := listenLocal(f)
	run(f, s, ln)
	f.Fuzz(func(t *testing.T, stream []byte) {
		seen.take()
		c, err := net.Dial("tcp", ln.Addr().String())
		must(t, err)
		defer func() { _ = c.Close() }()
		must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		_, _ = c.Write(stream)
		_ = c.(*net.TCPConn).CloseWrite()
		replies, err := io.ReadAll(c)
		if err != nil && len(replies) == 0 && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("%q: %v", stream, err)
		}
		r := bufio.NewReader(bytes.NewReader(stream))
		for i, one := range seen.take() {
			skipEmptyLines(r)
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Fatalf("request %d of %q is %+v, and net/http says %v", i, stream, one, err)
			}
			body, err := io.ReadAll(req.Body)
			if req.Method != one.method || req.RequestURI != one.target {
				t.Fatalf("request %d of %q is %+v, and %s %q for net/http", i, stream, one, req.Method, req.RequestURI)
			}
			if one.err == nil && (err != nil || string(body) != one.body) {
				t.Fatalf("request %d of %q has the body %q, and %q, %v for net/http", i, stream, one.body, body, err)
			}
			if one.err != nil && answers(replies) > i+1 {
				t.Fatalf("%q goes on after the body of request %d broke off: %v", stream, i, one.err)
			}
		}
	})
}

// skipEmptyLines passes over what RFC 9112 section 2.2 has a server ignore in
// front of a request, which net/http leaves to its server.
func skipEmptyLines(r *bufio.Reader) {
	for {
		if b, err := r.Peek(1); err != nil || b[0] != '\r' && b[0] != '\n' {
			return
		}
		_, _ = r.Discard(1)
	}
}

// answers counts replies, without those that only say go on.
func answers(replies []byte) int {
	return bytes.Count(replies, []byte("HTTP/1.1 ")) - bytes.Count(replies, []byte("HTTP/1.1 100 "))
}

// sightings are the requests that reached a handler.
type sightings struct {
	mu  sync.Mutex
	all []heard
}

func (s *sightings) handle(_ *Server, r *request) error {
	b, err := r.readAll()
	target := r.path
	if raw := string(r.c.Request().Header.RequestURI()); strings.Contains(raw, "?") {
		target += "?" + r.query
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, heard{method: r.method, target: target, body: string(b), err: err})
	return err
}

func (s *sightings) take() []heard {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}
