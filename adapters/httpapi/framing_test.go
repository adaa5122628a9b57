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
	must(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return c
}

// raw sends bytes and returns all that comes until the peer closes, or is
// silent for a moment after it has begun, or for long before.
func raw(t testing.TB, base, text string) string {
	t.Helper()
	c := dial(t, base)
	_, _ = io.WriteString(c, text)
	var got strings.Builder
	b := make([]byte, 4096)
	for patience := 30 * time.Second; ; patience = 200 * time.Millisecond {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(b)
		got.Write(b[:n])
		if err != nil {
			return got.String()
		}
	}
}

const smuggled = "GET /healthz?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

const (
	postHead = "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	getHead  = "GET /healthz HTTP/1.1\r\nHost: a\r\n"
)

// refusedOnce sends what proxies in front could understand differently to both
// doors. It must be answered once, with 400, and the connection closed.
func refusedOnce(t *testing.T, requests map[string]string) {
	t.Helper()
	h := build(t, plan{})
	for name, text := range requests {
		for _, base := range []string{h.public, h.admin} {
			got := raw(t, base, text)
			if n := strings.Count(got, "HTTP/1.1 "); n != 1 || !strings.HasPrefix(got, "HTTP/1.1 400 ") ||
				!strings.Contains(got, "onnection: close") || !strings.Contains(got, problemJSON) ||
				!strings.Contains(got, RequestID+": req_") {
				t.Errorf("%s: %d answers: %.300q", name, n, got)
			}
		}
	}
	if n := len(h.sim.Ledger()); n != h.quiet {
		t.Errorf("%d calls reached X", n-h.quiet)
	}
}

// Attack 28, and 31: two ways to frame one body.
func TestABodyFramedInTwoWaysIsRefused(t *testing.T) {
	refusedOnce(t, map[string]string{
		"CL+TE":             postHead + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"TE+CL":             postHead + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled,
		"CL+TE spelt _":     postHead + "Content-Length: 4\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"two CL":            postHead + "Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc" + smuggled,
		"two same CL":       postHead + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + smuggled,
		"xchunked":          postHead + "Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + smuggled,
		"identity":          postHead + "Transfer-Encoding: identity\r\n\r\nabc" + smuggled,
		"chunked, identity": postHead + "Transfer-Encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"chunked, chunked":  postHead + "Transfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"gzip, chunked":     postHead + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"two TE":            postHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"vertical tab":      postHead + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + smuggled,
		"TE on 1.0":         "POST /oauth/token HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
	})
}

// Attack 31.
func TestAContentLengthThatIsNoPlainNumberIsRefused(t *testing.T) {
	requests := map[string]string{}
	for _, length := range []string{
		"21000000000000000000", "+4", "4, 4", "4,4", "-1", "0x3", "4 4", "4.0", "1e1", "", "\xef\xbc\x94", "4;", "9223372036854775808",
		"18446744073709551620",
	} {
		requests["Content-Length: "+length] = postHead + "Content-Length: " + length + "\r\n\r\nabcd"
	}
	refusedOnce(t, requests)
}

// Attack 34.
func TestARequestLineOrHeaderWithExtraSpaceIsRefused(t *testing.T) {
	refusedOnce(t, map[string]string{
		"two spaces":         "GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"two spaces later":   "GET /healthz  HTTP/1.1\r\nHost: a\r\n\r\n",
		"a space at the end": "GET /healthz HTTP/1.1 \r\nHost: a\r\n\r\n",
		"a tab":              "GET\t/healthz\tHTTP/1.1\r\nHost: a\r\n\r\n",
		"a space first":      " GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"no version":         "GET /healthz\r\nHost: a\r\n\r\n",
		"space before colon": postHead + "Transfer-Encoding : chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"tab before colon":   getHead + "X-A\t: 1\r\n\r\n",
		"folded line":        getHead + "X-A: 1\r\n 2\r\n\r\n",
		"folded with a tab":  getHead + "X-A: 1\r\n\t2\r\n\r\n",
		"folded first line":  "GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n",
		"name with space":    getHead + "X A: 1\r\n\r\n",
		"no colon":           getHead + "X-A\r\n\r\n",
		"no name":            getHead + ": 1\r\n\r\n",
		"HTTP/9.9":           "GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
		"http/1.1":           "GET /healthz http/1.1\r\nHost: a\r\n\r\n",
		"unknown method":     "BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"small method":       "get /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
	})
}

// Attack 26: the way in. What goes out is written by the same server, which
// refuses such values too.
func TestLineBreaksAndNULInHeadersAreRefused(t *testing.T) {
	refusedOnce(t, map[string]string{
		"bare LF, first line":  "GET /healthz HTTP/1.1\nHost: a\r\n\r\n",
		"bare LF, long line":   "GET /" + strings.Repeat("a", 300) + " HTTP/1.1\nHost: a\r\n\r\n",
		"bare LF before":       "\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
		"bare LF in a header":  "GET /healthz HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n",
		"bare LF at the end":   "GET /healthz HTTP/1.1\r\nHost: a\r\n\n\r\n\r\n",
		"bare CR in a value":   getHead + "X-A: 1\rX-B: 2\r\n\r\n",
		"NUL in a value":       getHead + "X-A: 1\x002\r\n\r\n",
		"NUL in a grant":       getHead + "Perch-Grant: g\x00\r\n\r\n",
		"CR in a grant":        getHead + "Perch-Grant: g\rX: y\r\n\r\n",
		"escape in an origin":  getHead + "Origin: https://a\x1b\r\n\r\n",
		"DEL in a value":       getHead + "X-A: \x7f\r\n\r\n",
		"NUL in a name":        getHead + "X\x00A: 1\r\n\r\n",
		"name with umlaut":     getHead + "X-\xc3\xa4: 1\r\n\r\n",
		"name with a dot":      getHead + "X.A: 1\r\n\r\n",
		"name with a slash":    getHead + "X/A: 1\r\n\r\n",
		"name with quotes":     getHead + "\"X\": 1\r\n\r\n",
		"LF in the redirect":   "GET /oauth/authorize?redirect_uri=https://a/\nSet-Cookie:x HTTP/1.1\r\nHost: a\r\n\r\n",
		"escapes in the path":  "GET /oauth%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
		"CR in the target":     "GET /healthz\rX HTTP/1.1\r\nHost: a\r\n\r\n",
		"NUL in the target":    "GET /healthz\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
		"umlaut in the method": "G\xc3\x84T /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
	})
}

// Attack 21.
func TestAHostOrTargetThatNamesSomebodyElseIsRefused(t *testing.T) {
	requests := map[string]string{
		"two Host":  getHead + "Host: b\r\n\r\n",
		"no Host":   "GET /healthz HTTP/1.1\r\n\r\n",
		"asterisk":  "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"authority": "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
	}
	for _, host := range []string{
		"", "a:80:90", "u@a", "a/b", "a%0d", "\\\\evil", "a\\evil", "a b", "a,b", "a#b", "a?b", "[::1", "::1", "a:", "a:0", "a:65536",
		"a:+80", "[fe80::1%25eth0]", "http://a", "a:80a", "\"a\"", strings.Repeat("a", 254),
	} {
		requests["Host: "+host] = "GET /healthz HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	}
	for _, target := range []string{
		"http://evil/healthz", "http://a/healthz", "https://evil/2/users/me", "http://evil/2/x", "\\\\evil", "\\\\evil\\2\\x", "//evil/2/users/me",
		"/\\evil", "evil", "a:80", "?x", "#x", "http:/healthz", "file:///etc/passwd", "/http://evil/2/users/me",
	} {
		requests["target "+target] = "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	refusedOnce(t, requests)
}

// Attack 23.
func TestASensitiveHeaderThatComesTwiceIsRefused(t *testing.T) {
	requests := map[string]string{}
	for _, name := range []string{
		"Authorization", "Proxy-Authorization", "Perch-Grant", "Perch-Anything", "Idempotency-Key", "Content-Type", "Content-Encoding",
		"Origin", "Referer", "Cookie", "DPoP", "X-Csrf-Token", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest",
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Access-Control-Request-Method",
		"Access-Control-Request-Headers", "Access-Control-Request-Private-Network", "Expect", "Range", "X-HTTP-Method-Override",
	} {
		one := getHead + name + ": a\r\n"
		requests[name] = one + strings.ToLower(name) + ": b\r\n\r\n"
		requests[name+", the same"] = one + "X-Between: 1\r\n" + name + ": a\r\n\r\n"
		requests[name+", once empty"] = one + strings.ToUpper(name) + ":\r\n\r\n"
		requests[name+", spelt with _"] = one + strings.ReplaceAll(name, "-", "_") + ": b\r\n\r\n"
	}
	refusedOnce(t, requests)
}

// The list of the headers above is the one in headers.go: nothing of it is
// untested, and what is not in it may come twice.
func TestEverySingleHeaderIsOneOfTheTestedOnes(t *testing.T) {
	h := build(t, plan{})
	for _, name := range singles {
		got := raw(t, h.public, getHead+name+": 1\r\n"+name+": 1\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%s twice: %.100q", name, got)
		}
	}
	for _, name := range []string{"Accept", "Accept-Language", "Via", "Forwarded", "X-Request-Id", "User-Agent", "X_a"} {
		got := raw(t, h.public, getHead+name+": 1\r\n"+name+": 1\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%s twice: %.100q", name, got)
		}
	}
}

func TestTooManyOrTooLargeHeadersAreRefused(t *testing.T) {
	h := build(t, plan{})
	many := func(n int) string { return getHead + strings.Repeat("X-A: 1\r\n", n-2) + "Connection: close\r\n\r\n" }
	for name, c := range map[string]struct{ text, status string }{
		"100 headers":    {many(maxHeaders), "200"},
		"101 headers":    {many(maxHeaders + 1), "431"},
		"1000 headers":   {many(1000), "431"},
		"10,000 headers": {many(10_000), "431"},
		"a large value":  {getHead + "X-Big: " + strings.Repeat("a", maxHeader) + "\r\n\r\n", "431"},
		"a large name":   {getHead + strings.Repeat("a", maxHeader) + ": 1\r\n\r\n", "431"},
		"a large target": {"GET /" + strings.Repeat("a", maxHeader) + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
		"a large method": {strings.Repeat("A", maxHeader+1) + " / HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
	} {
		if got := raw(t, h.public, c.text); !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: %.200q", name, got)
		}
	}
}

// Attack 32: bodies whose chunks are framed wrongly are taken for no body.
func TestChunksThatAreFramedWronglyAreRefused(t *testing.T) {
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
		"an extension":         "2;a=b\r\n{}\r\n0\r\n\r\n",
		"a spaced extension":   "2; a b\r\n{}\r\n0\r\n\r\n",
		"an empty extension":   "2;\r\n{}\r\n0\r\n\r\n",
		"a long extension":     "2;" + strings.Repeat("a", 300) + "\r\n{}\r\n0\r\n\r\n",
		"last extension":       "2\r\n{}\r\n0;a\r\n\r\n",
		"blank after size":     "2 \r\n{}\r\n0\r\n\r\n",
		"tab after size":       "2\t\r\n{}\r\n0\r\n\r\n",
		"blank after the last": "2\r\n{}\r\n0 \r\n\r\n",
		"a trailer":            "2\r\n{}\r\n0\r\nX-A: x\r\n\r\n",
		"bare LF in a trailer": "2\r\n{}\r\n0\r\nX-A: x\n\r\n",
		"bare LF at the end":   "2\r\n{}\r\n0\r\n\n",
		"trailer is a header":  "2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n",
	} {
		for _, late := range []bool{false, true} {
			c := dial(t, h.public)
			text := head + chunks + smuggled
			if late { // the body comes once its reader waits for it
				_, err := io.WriteString(c, head)
				must(t, err)
				time.Sleep(20 * time.Millisecond)
				text = chunks + smuggled
			}
			_, _ = io.WriteString(c, text)
			b, _ := io.ReadAll(c)
			if got := string(b); strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 400 ") ||
				!strings.Contains(got, "framed") {
				t.Errorf("%s, late %v: %.600q", name, late, got)
			}
		}
	}
	c := dial(t, h.public)
	_, err := io.WriteString(c, head+"2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	must(t, err)
	if good, err := io.ReadAll(c); err != nil || strings.Count(string(good), "HTTP/1.1 ") != 2 {
		t.Errorf("a good chunked body breaks keep-alive: %.400q", good)
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
	must(t, c.SetDeadline(time.Now().Add(2*time.Minute)))
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
