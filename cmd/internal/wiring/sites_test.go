package wiring_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"perch/adapters/xhttp/xsim"
	"perch/ports/conformance"
)

// Who is where. The pages and Perch are of one site, X and the attacker of others.
const (
	perchHost = "api.perch.test"
	pageHost  = "app.perch.test"
	xHost     = "x.elsewhere.test"
	evilHost  = "evil.test"
)

// Sites are Perch, X in a box, a page and its neighbours, all by name at one
// port of loopback, over TLS.
type sites struct {
	port, other string // of the listeners
	house       *house
	x           *xsim.Sim
	inside      *httputil.ReverseProxy // to Perch
	page        string                 // what the pages are; set before the browser comes

	mu    sync.Mutex
	calls []siteCall
}

// A siteCall is what reached Perch of one call of a browser.
type siteCall struct {
	method, path, origin, site string
	held                       bool // the session cookie came along
}

func (s *sites) at(host string) string { return "https://" + host + ":" + s.port }

// openSites opens them all. Perch is where the public URL says.
func openSites(t *testing.T) *sites {
	t.Helper()
	front, second := listen(t), listen(t)
	s := &sites{x: xsim.New(xsim.Options{})}
	_, s.port, _ = net.SplitHostPort(front.Addr().String())
	_, s.other, _ = net.SplitHostPort(second.Addr().String())

	at, _ := serveX(t, s.x)
	cfg := settings(t, environments()[0], at)
	cfg.PublicURL, cfg.X.AuthorizeURL = s.at(perchHost), s.at(xHost)+"/i/oauth2/authorize"
	s.house = open(t, cfg)
	inside, err := url.Parse(s.house.public)
	if err != nil {
		t.Fatal(err)
	}
	s.inside = &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(inside); r.Out.Host = r.In.Host },
		ErrorLog: quietLog(),
	}
	s.house.public, s.page = cfg.PublicURL, fmt.Sprintf(sitePage, cfg.PublicURL)
	s.house.client.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // #nosec G402 -- the certificate is made for the test
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if host, port, _ := net.SplitHostPort(to); strings.HasSuffix(host, ".test") {
				to = net.JoinHostPort("127.0.0.1", port)
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		},
	}
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(certified.Close)
	for _, ln := range []net.Listener{front, second} {
		server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quietLog()}
		go func() { _ = server.Serve(bothWays(ln, certified.TLS)) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	return s
}

// ServeHTTP answers for every host. Whoever is neither Perch nor X has the pages.
func (s *sites) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	switch host {
	case perchHost:
		s.mu.Lock()
		s.calls = append(s.calls, siteCall{
			r.Method, r.URL.Path, r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site"),
			strings.Contains(r.Header.Get("Cookie"), "perch_session_"),
		})
		s.mu.Unlock()
		s.inside.ServeHTTP(w, r)
	case xHost:
		s.x.ServeHTTP(w, r)
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, s.page)
	}
}

// seen returns the calls that reached Perch since the last time.
func (s *sites) seen() []siteCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// sitePage is every page there is: what it does is called by the test.
const sitePage = `<!doctype html><meta charset="utf-8"><title>a page</title><script>
const perch = %q;
const json = (text) => ({method: "POST", credentials: "include", headers: {"Content-Type": "application/json"},
	body: JSON.stringify({text})});

// attempt tries everything a page can and says what it could read.
async function attempt(token) {
	const got = {};
	const call = async (name, path, init) => {
		try {
			const reply = await fetch(perch + path, init);
			got[name] = reply.type === "opaque" ? "opaque" : String(reply.status);
			const left = reply.headers.get("x-rate-limit-remaining");
			if (left) got[name] += " with rates";
		} catch { got[name] = "blocked"; }
	};
	await call("read with a token", "/2/users/me", {headers: {Authorization: "Bearer " + token}});
	await call("read with the cookie", "/2/users/me", {credentials: "include"});
	await call("who is signed in", "/v1/session", {credentials: "include"});
	await call("post", "/2/tweets", json("from " + origin + " " + Math.random()));
	await call("simple post", "/2/tweets", {...json("simple"), headers: {"Content-Type": "text/plain"}});
	await call("blind post", "/2/tweets", {...json("blind"), headers: {}, mode: "no-cors"});
	await call("discovery", "/.well-known/oauth-authorization-server");
	return got;
}

// framed has a sandboxed frame, whose origin is null, attempt it.
function framed(token) {
	return new Promise((done) => {
		addEventListener("message", (e) => done(e.data), {once: true});
		const frame = document.createElement("iframe");
		frame.sandbox = "allow-scripts";
		frame.srcdoc = "<script>" + document.scripts[0].textContent +
			"; attempt(" + JSON.stringify(token) + ").then((got) => parent.postMessage(got, '*'));</" + "script>";
		document.body.append(frame);
	});
}

// attack sends what needs no permission: forms, images, beacons, blind calls.
async function attack() {
	const done = [], text = '{"text":"stolen","more":"';
	for (const kind of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
		const frame = document.createElement("iframe"), form = document.createElement("form"), field = document.createElement("input");
		frame.name = kind;
		Object.assign(form, {method: "POST", enctype: kind, action: perch + "/2/tweets", target: kind});
		Object.assign(field, {type: "hidden", name: text, value: '"}'});
		form.append(field);
		document.body.append(frame, form);
		done.push(new Promise((ended) => { frame.onload = () => frame.dataset.sent && ended(); }));
		frame.dataset.sent = "1";
		form.submit();
	}
	for (const path of ["/2/users/me", "/v1/session", "/v1/session/sign-in?client_id=pk_x"]) {
		const image = new Image();
		done.push(new Promise((ended) => { image.onload = image.onerror = ended; }));
		image.src = perch + path;
		document.body.append(image);
	}
	for (const method of ["POST", "GET"]) {
		done.push(fetch(perch + "/2/tweets", {method, mode: "no-cors", credentials: "include",
			body: method === "POST" ? text + '"}' : undefined}).catch(() => {}));
	}
	done.push(fetch(perch + "/v1/session", {method: "DELETE", credentials: "include"}).catch(() => {}));
	navigator.sendBeacon(perch + "/2/tweets", text + '"}');
	await Promise.race([Promise.all(done), new Promise((late) => setTimeout(late, 20000))]);
	return "done";
}
</script><body></body>`

// bothWays accepts TLS and plain HTTP at one listener, so that two origins can
// differ in nothing but the scheme.
func bothWays(ln net.Listener, settings *tls.Config) net.Listener {
	l := &eitherWay{Listener: ln, settings: settings.Clone(), ready: make(chan net.Conn), gone: make(chan struct{})}
	l.settings.NextProtos = []string{"http/1.1"}
	go l.accept()
	return l
}

type eitherWay struct {
	net.Listener
	settings *tls.Config
	ready    chan net.Conn
	gone     chan struct{}
}

func (l *eitherWay) accept() {
	defer close(l.gone)
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return
		}
		go func() {
			peeked := peekedConn{c, bufio.NewReader(c)}
			first, err := peeked.r.Peek(1)
			if err != nil {
				_ = c.Close()
				return
			}
			var conn net.Conn = peeked
			if first[0] == 0x16 { // a TLS handshake
				conn = tls.Server(peeked, l.settings)
			}
			select {
			case l.ready <- conn:
			case <-l.gone:
				_ = c.Close()
			}
		}()
	}
}

func (l *eitherWay) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c peekedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// A siteTab is a tab of Chromium for which every name is this machine.
type siteTab struct {
	t   *testing.T
	ctx context.Context
}

// openTab starts Chromium with a fresh profile, or skips the test where there is
// none.
func openTab(t *testing.T) siteTab {
	t.Helper()
	path := os.Getenv("PERCH_CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := exec.LookPath(path); err != nil {
		conformance.Absent(t, "chromium", err.Error()+"; install Chromium or name one in PERCH_CHROMIUM")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU, chromedp.Flag("headless", "new"),
		chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with it
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })                                // waits until the browser has gone, before its profile goes
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("true")); err != nil { // the browser lives as long as ctx
		t.Fatalf("start Chromium: %v", err)
	}
	return siteTab{t, ctx}
}

// siteWait is how long a browser may take for one step on a busy machine.
const siteWait = 2 * time.Minute

func (b siteTab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(b.ctx, siteWait)
		err := chromedp.Do(ctx, step)
		cancel()
		if err != nil {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + ": " + document.body.innerText`))
			b.t.Fatalf("%s: %v; the page is %.2000s", what, err, text)
		}
	}
}

// says evaluates an expression, waiting for it if it is a promise.
func says[T any](b siteTab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, siteWait)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %.200s: %v", expression, err)
	}
	return v
}

// until waits for an expression to become true, across navigations.
func (b siteTab) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(siteWait); ; time.Sleep(20 * time.Millisecond) {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression)); err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + ": " + document.body.innerText`))
			b.t.Fatalf("it has not come to pass that %s; the page is %.2000s", expression, text)
		}
	}
}

func (b siteTab) visit(to string) {
	b.t.Helper()
	b.do("open "+to, chromedp.Navigate(to))
}

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
