package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	appendPath = "/2/media/upload/1/append"
	postPath   = "/2/tweets"
)

// A taker is an X that takes bodies and remembers what it saw of them.
type taker struct {
	saw    chan sight
	refuse bool // answers without reading
}

type sight struct {
	n   int64
	err error
}

func newTaker() *taker { return &taker{saw: make(chan sight, 100)} }

func (x *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if x.refuse {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"title":"Forbidden"}`)
		return
	}
	n, err := io.Copy(io.Discard, r.Body)
	x.saw <- sight{n, err}
	if err == nil {
		_, _ = fmt.Fprintf(w, `{"bytes":%d}`, n)
	}
}

// saying reports whether the answer is X's. X may have been sent the whole body.
func (x *taker) saying(answer string) bool { return strings.Contains(answer, `{"title":"Forbidden"}`) }

// look returns what X saw next, or fails.
func (x *taker) look(t *testing.T) sight {
	t.Helper()
	select {
	case s := <-x.saw:
		return s
	case <-time.After(30 * time.Second):
		t.Fatal("nothing reached X")
		return sight{}
	}
}

// upload is the head of an upload on a raw connection.
func (h *house) upload(framing string) string {
	return "POST " + appendPath + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + h.sk +
		"\r\nContent-Type: application/octet-stream\r\n" + framing + "\r\n\r\n"
}

func TestTruncatedUploadsNeverLookWhole(t *testing.T) {
	x := newTaker()
	h := build(t, plan{x: x})
	for name, text := range map[string]string{
		"chunked, between chunks": h.upload("Transfer-Encoding: chunked") + "5\r\nhello\r\n",
		"chunked, in a chunk":     h.upload("Transfer-Encoding: chunked") + "5\r\nhe",
		"chunked, before the end": h.upload("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n",
		"declared":                h.upload("Content-Length: 20000") + strings.Repeat("x", 15000),
	} {
		for _, half := range []bool{false, true} {
			c := dial(t, h.public)
			_, err := io.WriteString(c, text)
			must(t, err)
			time.Sleep(30 * time.Millisecond)
			if half {
				must(t, c.(interface{ CloseWrite() error }).CloseWrite())
			} else {
				must(t, c.Close())
			}
			select {
			case s := <-x.saw:
				if s.err == nil {
					t.Errorf("%s, half %v: X took %d bytes for a whole upload", name, half, s.n)
				}
			case <-time.After(200 * time.Millisecond): // not even begun is fine
			}
		}
	}
	must(t, drained(x))
}

// TestHalfAPost: a JSON body is held until it is whole, so X hears nothing of
// half of one.
func TestHalfAPost(t *testing.T) {
	x := newTaker()
	h := build(t, plan{x: x})
	for _, body := range []string{
		"Transfer-Encoding: chunked\r\n\r\nd\r\n{\"text\":\"hi\"}\r\n", "Content-Length: 20\r\n\r\n{\"text\":\"hi\"}",
	} {
		c := dial(t, h.public)
		_, err := io.WriteString(c, "POST "+postPath+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+h.sk+
			"\r\nContent-Type: application/json\r\n"+body)
		must(t, err)
		must(t, c.(interface{ CloseWrite() error }).CloseWrite())
		b, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || len(x.saw) > 0 {
			t.Errorf("%q: %.200q, X saw %d", body, b, len(x.saw))
		}
	}
}

func drained(x *taker) error {
	for len(x.saw) > 0 {
		if s := <-x.saw; s.err == nil {
			return fmt.Errorf("X took %d bytes for a whole upload", s.n)
		}
	}
	return nil
}

func TestWholeUploads(t *testing.T) {
	x := newTaker()
	h := build(t, plan{x: x})
	size := int64(5 << 20)
	for name, body := range map[string]io.Reader{
		"declared": bytes.NewReader(make([]byte, size)),
		"chunked":  io.LimitReader(bytes.NewReader(make([]byte, size)), size),
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", h.public+appendPath, body)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+h.sk)
		req.Header.Set("Content-Type", "application/octet-stream")
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, res.Body.Close())
		if s := x.look(t); s.n != size || s.err != nil || res.StatusCode != http.StatusOK || res.Close {
			t.Errorf("%s: X saw %+v, status %d, close %v", name, s, res.StatusCode, res.Close)
		}
	}
	// curl asks before it sends a large body.
	c := dial(t, h.public)
	_, err := io.WriteString(c, h.upload("Expect: 100-continue\r\nContent-Length: 5"))
	must(t, err)
	line := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	_, err = io.ReadFull(c, line)
	must(t, err)
	_, err = io.WriteString(c, "hello")
	must(t, err)
	if s := x.look(t); s.n != 5 || s.err != nil || string(line) != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Errorf("asked before: %q, X saw %+v", line, s)
	}
	again := bufio.NewReader(c) // and again on the same connection, in chunks
	for range 2 {
		res, err := http.ReadResponse(again, nil)
		must(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		must(t, err)
		must(t, res.Body.Close())
		_, err = io.WriteString(c, h.upload("Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\n\r\n")
		must(t, err)
		if s := x.look(t); s.n != 5 || s.err != nil {
			t.Errorf("on a used connection: X saw %+v", s)
		}
	}
	// Two on one connection, the second right behind the first, and a last request.
	one := h.upload("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n"
	c = dial(t, h.public)
	_, err = io.WriteString(c, one+h.upload("Content-Length: 5")+"hello"+"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	must(t, err)
	if got, err := io.ReadAll(c); err != nil || strings.Count(string(got), "HTTP/1.1 200") != 3 {
		t.Errorf("pipelined: %v: %.600q", err, got)
	}
}

func TestEarlyRefusalNeverDesyncs(t *testing.T) {
	x := newTaker()
	x.refuse = true
	h := build(t, plan{x: x})
	pad := strings.Repeat("A", 1<<16)
	bad := strings.Replace(h.upload("Content-Length: 70000"), h.sk, "nonsense", 1)
	for name, text := range map[string]string{
		"chunked":      h.upload("Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled),
		"declared":     h.upload(fmt.Sprintf("Content-Length: %d", len(pad+smuggled))) + pad + smuggled,
		"at the gate":  bad + pad + smuggled,
		"no such path": strings.Replace(bad, appendPath, "/nothing", 1) + pad + smuggled,
	} {
		for range 4 {
			got := raw(t, h.public, text)
			if strings.Count(got, "HTTP/1.1 ") != 1 || strings.Contains(got, `"version"`) ||
				!x.saying(got) && !strings.Contains(got, "Connection: close\r\n") {
				t.Fatalf("%s: %.300q", name, got)
			}
		}
	}
}

// TestEarlyRefusalIsRead: a client that is still sending gets to read why it
// was refused, instead of a reset.
func TestEarlyRefusalIsRead(t *testing.T) {
	h := build(t, plan{wait: func(p *patience) { p.linger = 30 * time.Second }}) // the client may be slow too
	for i := range 10 {
		c := dial(t, h.public)
		text := strings.Replace(h.upload("Content-Length: 8000000"), h.sk, "nonsense", 1)
		_, err := io.WriteString(c, text)
		must(t, err)
		piece := make([]byte, 1<<20)
		for range 7 {
			if _, err := c.Write(piece); err != nil {
				t.Fatalf("%d: writing: %v", i, err)
			}
		}
		b, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 401 ") {
			t.Fatalf("%d: %v %.100q", i, err, b)
		}
	}
}

func TestOversized(t *testing.T) {
	x := newTaker()
	h := build(t, plan{x: x})
	for name, framing := range map[string]string{
		"declared": fmt.Sprintf("Content-Length: %d", uploadLimit+1), "chunked": "Transfer-Encoding: chunked",
	} {
		c := dial(t, h.public)
		_, err := io.WriteString(c, h.upload(framing))
		must(t, err)
		if name == "declared" {
			_, err := io.WriteString(c, "x")
			must(t, err)
		} else {
			go func() {
				_, _ = fmt.Fprintf(c, "%x\r\n", uploadLimit+100)
				_, _ = c.Write(make([]byte, uploadLimit+100))
			}()
		}
		b, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(b), "HTTP/1.1 413 ") {
			t.Errorf("%s: %.200q", name, b)
		}
	}
	if s := x.look(t); s.err == nil {
		t.Error("X took what was too large")
	}
	if a := ask(t, "POST", h.public+"/oauth/token", strings.Repeat("x", tokenLimit+1),
		"Content-Type: application/x-www-form-urlencoded"); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("token call: %d", a.StatusCode)
	}
}

func TestSlowAndStalledBodies(t *testing.T) {
	x := newTaker()
	h := build(t, plan{x: x, wait: func(p *patience) { p.body = 5 * time.Second }})
	stalled, c := dial(t, h.public), dial(t, h.public)
	for _, c := range []net.Conn{stalled, c} {
		must(t, c.SetDeadline(time.Now().Add(5*time.Minute)))
		_, err := io.WriteString(c, h.upload("Content-Length: 20000")+strings.Repeat("x", 10000))
		must(t, err)
	}
	for range 10 { // in all longer than it waits for a piece
		time.Sleep(600 * time.Millisecond)
		_, err := io.WriteString(c, strings.Repeat("x", 1000))
		must(t, err)
	}
	if b, _ := io.ReadAll(stalled); !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
		t.Errorf("stalled: %.200q", b)
	}
	whole, torn := x.look(t), x.look(t)
	if whole.err != nil {
		whole, torn = torn, whole
	}
	if whole.n != 20000 || whole.err != nil || torn.err == nil {
		t.Errorf("of the slow one X saw %+v, of the stalled one %+v", whole, torn)
	}
}
