package httpapi

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dial opens a raw connection to a door.
func dial(t testing.TB, base string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", hostOf(base))
	must(t, err)
	if strings.HasPrefix(base, "https://") {
		secure := tls.Client(c, &tls.Config{RootCAs: trusted().roots, ServerName: "127.0.0.1"})
		must(t, secure.Handshake())
		c = secure
	}
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	return c
}

// raw sends bytes and returns all that comes until the peer closes, or is
// silent for a moment.
func raw(t testing.TB, base, text string) string {
	t.Helper()
	c := dial(t, base)
	_, _ = io.WriteString(c, text)
	var got strings.Builder
	b := make([]byte, 4096)
	for {
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Read(b)
		got.Write(b[:n])
		if err != nil {
			return got.String()
		}
	}
}

const smuggled = "GET /healthz?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// TestFraming sends what proxies in front could understand differently. Each
// must be answered at most once, and what is malformed with 400.
func TestFraming(t *testing.T) {
	h := build(t, plan{})
	post := "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	get := "GET /healthz HTTP/1.1\r\nHost: a\r\n"
	for name, text := range map[string]string{
		"CL+TE":                   post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"TE+CL":                   post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled,
		"two CL":                  post + "Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc" + smuggled,
		"two same CL":             post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + smuggled,
		"list of CL":              post + "Content-Length: 3, 3\r\n\r\nabc",
		"CL with sign":            post + "Content-Length: +3\r\n\r\nabc",
		"negative CL":             post + "Content-Length: -1\r\n\r\nabc",
		"huge CL":                 post + "Content-Length: 21000000000000000000\r\n\r\nabc",
		"hex CL":                  post + "Content-Length: 0x3\r\n\r\nabc",
		"xchunked":                post + "Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + smuggled,
		"chunked, identity":       post + "Transfer-Encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"gzip, chunked":           post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"identity":                post + "Transfer-Encoding: identity\r\n\r\n" + smuggled,
		"empty TE":                post + "Transfer-Encoding:\r\n\r\n" + smuggled,
		"two TE":                  post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"space before colon":      post + "Transfer-Encoding : chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"TE on 1.0":               "POST /oauth/token HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"folded line":             get + "X-A: 1\r\n 2\r\n\r\n",
		"bare LF in a header":     "GET /healthz HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n",
		"bare CR in a value":      get + "X-A: 1\rX-B: 2\r\n\r\n",
		"NUL in a value":          get + "X-A: 1\x002\r\n\r\n",
		"name with space":         get + "X A: 1\r\n\r\n",
		"name with umlaut":        get + "X-\xc3\xa4: 1\r\n\r\n",
		"two Host":                get + "Host: b\r\n\r\n",
		"no Host":                 "GET /healthz HTTP/1.1\r\n\r\n",
		"Host with two ports":     "GET /healthz HTTP/1.1\r\nHost: a:80:90\r\n\r\n",
		"Host with user":          "GET /healthz HTTP/1.1\r\nHost: u@a\r\n\r\n",
		"Host with path":          "GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"Host with CR":            "GET /healthz HTTP/1.1\r\nHost: a%0d\r\n\r\n",
		"absolute URL":            "GET http://evil/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"absolute URL, same host": "GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"asterisk":                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"authority":               "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
		"two spaces":              "GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"HTTP/9.9":                "GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
		"unknown method":          "BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"two Authorization":       get + "Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
		"two Perch-Grant":         get + "Perch-Grant: a\r\nPerch-Grant: b\r\n\r\n",
		"two Idempotency-Key":     get + "Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n",
		"two Content-Type":        get + "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n",
		"two Origin":              get + "Origin: a\r\nOrigin: b\r\n\r\n",
	} {
		got := raw(t, h.public, text)
		if n := strings.Count(got, "HTTP/1.1 "); n != 1 || !strings.HasPrefix(got, "HTTP/1.1 400 ") ||
			!strings.Contains(got, "onnection: close") || !strings.Contains(got, problemJSON) {
			t.Errorf("%s: %d answers: %.300q", name, n, got)
		}
	}
	if got := raw(t, h.public, get+"X-Big: "+strings.Repeat("a", maxHeader)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("large header: %.100q", got)
	}
}

// TestChunks sends chunked bodies with broken framing: none is taken for a body.
func TestChunks(t *testing.T) {
	h := build(t, plan{})
	head := "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, chunks := range map[string]string{
		"bare LF after size":   "2\n{}\r\n0\r\n\r\n",
		"0x":                   "0x2\r\n{}\r\n0\r\n\r\n",
		"sign":                 "+2\r\n{}\r\n0\r\n\r\n",
		"LF in extension":      "2;a=b\nc\r\n{}\r\n0\r\n\r\n",
		"space, extension":     "2 ;a\r\n{}\r\n0\r\n\r\n",
		"size too large":       "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
		"data beyond the size": "2\r\n{}x\r\n0\r\n\r\n",
		"trailer is a header":  "2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n",
	} {
		got := raw(t, h.public, head+chunks+smuggled)
		if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "invalid_request") ||
			!strings.Contains(got, "framed") {
			t.Errorf("%s: %.400q", name, got)
		}
	}
	good := raw(t, h.public, head+"2\r\n{}\r\n0\r\n\r\n"+smuggled)
	if strings.Count(good, "HTTP/1.1 ") != 2 {
		t.Errorf("a good chunked body breaks keep-alive: %.400q", good)
	}
}

func TestPaths(t *testing.T) {
	h := build(t, plan{})
	for _, path := range []string{
		"/2/tweets/../oauth2/revoke", "/2/tweets/%2e%2e/oauth2/revoke", "/2/users/..%2fme", "/2/%2f..%2fme",
		"/2/users/%2E%2E/me", "/%61dmin", "//admin", "/./admin", "/admin%2fx", "/admin;x", "/x/../admin", "/2//users",
		"/2/users/a%00", "/2/users/a%0a", "/2/users/\\..\\me", "/2/users/a%5cb", "/2/users/a%5Cb", "/2/users/%zz",
		"/2/users/%", "/2/users/%4", "/2/users/%c3%a4", "/2/users/\xc3\xa4", "/2/users/a|b", "/2/users/me#x",
		"/2/users/me?a#b", "/2/users/me?\xc3\xa4", "/2/users/a%3Bb", "/2/users/%7Ea", "/2/users/<a>", "/2/users/{a}",
	} {
		got := raw(t, h.public, "GET "+path+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+h.sk+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%s: %.60q", path, got)
		}
	}
	for path, status := range map[string]string{
		"/2/users/me/": "404", "/ADMIN": "404", "/2": "404", "/2/": "404", "/": "404", "/2/users/a%252e": "200",
		"/2/users/me": "200", "/2/users/1%2C2": "200", "/2/users/me?x=%2e%2e": "200", "/2/Users/me": "404",
	} {
		got := raw(t, h.public, "GET "+path+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+h.sk+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+status) {
			t.Errorf("%s: %.60q", path, got)
		}
	}
	for _, e := range h.sim.Ledger() {
		if strings.Contains(e.Type, "revoke") {
			t.Errorf("something reached X: %+v", e)
		}
	}
}

// TestKeptStrings keeps what handlers took from many requests on one connection
// and looks at it after the last.
func TestKeptStrings(t *testing.T) {
	h := build(t, plan{})
	var kept []*request
	s := newServer(Config{}, h.services, h.server.log)
	s.mount([]route{{"POST", "/x/:id", guardAnyone, shareNobody, jsonLimit, problems, func(_ *Server, r *request) error {
		r.id = r.param("id") + r.header("Authorization") + r.c.Cookies("c") // stands in for whatever is kept
		b, err := r.readAll()
		r.origin += string(b)
		kept = append(kept, r)
		return err
	}}})
	ln := listenLocal(t)
	run(t, s, ln)
	c := dial(t, "http://"+ln.Addr().String())
	must(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	answers := bufio.NewReader(c)
	const n = 2000
	for i := range n {
		_, err := fmt.Fprintf(c, "POST /x/id%05d?q=%05d HTTP/1.1\r\nHost: a\r\nOrigin: o%05d\r\nAuthorization: k%05d\r\n"+
			"Cookie: c=c%05d\r\nContent-Length: 6\r\n\r\nb%05d", i, i, i, i, i, i)
		must(t, err)
		res, err := http.ReadResponse(answers, nil)
		must(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		must(t, err)
		must(t, res.Body.Close())
	}
	for i, r := range kept {
		want := fmt.Sprintf("id%05dk%05dc%05d o%05db%05d /x/id%05d q=%05d POST", i, i, i, i, i, i, i)
		if got := r.id + " " + r.origin + " " + r.path + " " + r.query + " " + r.method; got != want {
			t.Fatalf("request %d reads %q", i, got)
		}
	}
	if len(kept) != n {
		t.Errorf("%d of %d requests", len(kept), n)
	}
}
