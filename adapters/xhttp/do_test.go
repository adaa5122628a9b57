package xhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
)

// A sighting is what a server saw of a call.
type sighting struct {
	Method, URI, Body string
	Header            http.Header
	Length            int64
}

// sees returns a server that answers {} and hands over what it saw.
func sees(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) (*Gateway, <-chan sighting) {
	t.Helper()
	seen := make(chan sighting, 16)
	return gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- sighting{r.Method, r.RequestURI, string(body), r.Header, r.ContentLength}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	})), seen
}

func perform(t *testing.T, g *Gateway, c ports.Call) (ports.Reply, string) {
	t.Helper()
	reply, err := g.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(reply.Body)
	if err := errors.Join(err, reply.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return reply, string(body)
}

func TestXIsSentTheCallAndNothingElse(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		g, seen := sees(t, serve)
		post := ports.Call{
			Action: action(t, "createPosts"), Query: "b=2&a=1&a=%20%26", Token: secret.New("x-token"),
			Body: strings.NewReader(`{"text":"hi"}`), Length: 13,
		}
		typed := post
		typed.Body, typed.Type, typed.Accept = strings.NewReader(`{"text":"hi"}`), "application/json; charset=utf-8", "text/*"
		unknown := post
		unknown.Body, unknown.Length = strings.NewReader(`{"text":"hi"}`), -1
		empty := post
		empty.Body, empty.Length = strings.NewReader(""), 0
		open := ports.Call{Action: action(t, "getUsersMe")}
		for name, c := range map[string]struct {
			call ports.Call
			want sighting
		}{
			"a post": {post, sighting{"POST", "/2/tweets?a=1&a=+%26&b=2", `{"text":"hi"}`, http.Header{
				"Authorization": {"Bearer x-token"}, "Content-Type": {"application/json"}, "Content-Length": {"13"},
			}, 13}},
			"a post of its own type": {typed, sighting{"POST", "/2/tweets?a=1&a=+%26&b=2", `{"text":"hi"}`, http.Header{
				"Authorization": {"Bearer x-token"}, "Content-Type": {"application/json; charset=utf-8"},
				"Content-Length": {"13"}, "Accept": {"text/*"},
			}, 13}},
			"a post of unknown length": {unknown, sighting{"POST", "/2/tweets?a=1&a=+%26&b=2", `{"text":"hi"}`, http.Header{
				"Authorization": {"Bearer x-token"}, "Content-Type": {"application/json"},
			}, -1}},
			"a post without a body": {empty, sighting{"POST", "/2/tweets?a=1&a=+%26&b=2", "", http.Header{
				"Authorization": {"Bearer x-token"}, "Content-Length": {"0"},
			}, 0}},
			"a read without a token": {open, sighting{"GET", "/2/users/me", "", http.Header{}, 0}},
		} {
			c.want.Header["User-Agent"] = []string{"perch/test"}
			if c.want.Header["Accept"] == nil {
				c.want.Header["Accept"] = []string{"*/*"}
			}
			perform(t, g, c.call)
			if d := cmp.Diff(c.want, <-seen); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
	})
}

func TestEveryActionGoesToItsOwnPath(t *testing.T) {
	g, seen := sees(t, server)
	values := []string{"1", "a/b", "../oauth2/revoke", "%2e%2e", "..%2f", "?x=1", "#x", "a b", "\\", "é", "http://evil.example/", "\r\nX: y", "\x00", ";", ":@"}
	for i, a := range xapi.All() {
		value := values[i%len(values)]
		params := map[string]string{}
		for _, part := range strings.Split(a.Path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				params[strings.TrimSuffix(name, "}")] = value
			}
		}
		perform(t, g, ports.Call{Action: a, Params: params, Token: secret.New("x")})
		got := <-seen
		found, back, ok := xapi.Find(got.Method, got.URI)
		if !ok || found.ID != a.ID && len(params) == 0 || strings.Count(got.URI, "/") != strings.Count(a.Path, "/") ||
			strings.ContainsAny(got.URI, "?#\\ ") {
			t.Errorf("%s with %q became %s %s", a.ID, value, got.Method, got.URI)
		}
		if ok && found.ID == a.ID && !cmp.Equal(back, params) {
			t.Errorf("%s: %q arrived as %q", a.ID, params, back)
		}
	}
}

func TestACallThatCouldGoElsewhereGoesNowhere(t *testing.T) {
	g, seen := sees(t, server)
	me, user := action(t, "getUsersMe"), action(t, "getUsersById")
	with := func(change func(*ports.Call)) ports.Call {
		c := ports.Call{Action: action(t, "mediaUpload"), Token: secret.New("x"), Body: strings.NewReader("{}"), Length: 2}
		change(&c)
		return c
	}
	id := func(v string) ports.Call {
		return ports.Call{Action: user, Params: map[string]string{"id": v}}
	}
	for name, c := range map[string]ports.Call{
		"no parameter":          {Action: user},
		"an empty parameter":    id(""),
		"a dot":                 id("."),
		"two dots":              id(".."),
		"a broken query":        {Action: me, Query: "a=%zz"},
		"a semicolon":           {Action: me, Query: "a=1;b=2"},
		"a token in the query":  {Action: me, Query: "access_token=x"},
		"one with capitals":     {Action: me, Query: "Access_Token=x"},
		"one that is encoded":   {Action: me, Query: "%61ccess_token=x"},
		"OAuth 1 in the query":  {Action: me, Query: "oauth_token=x"},
		"a type of two lines":   with(func(c *ports.Call) { c.Type = "a/b\r\nX: y" }),
		"a type with a NUL":     with(func(c *ports.Call) { c.Type = "a/b\x00" }),
		"an endless type":       with(func(c *ports.Call) { c.Type = strings.Repeat("a", 1001) }),
		"an accept of two line": with(func(c *ports.Call) { c.Accept = "a\nb" }),
	} {
		if _, err := g.Do(t.Context(), c); !errors.Is(err, fault.Invalid) || !errors.Is(err, ports.ErrUnsent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := g.Do(t.Context(), with(func(c *ports.Call) { c.Token = secret.New("a\r\nb-" + canary) }))
	if !errors.Is(err, fault.Internal) || !errors.Is(err, ports.ErrUnsent) || strings.Contains(err.Error(), canary) {
		t.Errorf("a token of two lines: %v", err)
	}
	if len(seen) != 0 {
		t.Errorf("X saw %+v", <-seen)
	}
}

func TestWhereXTakesJSONAloneItIsToldSo(t *testing.T) {
	g, seen := sees(t, server)
	for sent, want := range map[string]string{
		"":                                  "application/json",
		"application/json; charset=utf-8":   "application/json; charset=utf-8",
		"application/x-www-form-urlencoded": "application/json",
		"text/html":                         "application/json",
	} {
		perform(t, g, ports.Call{
			Action: action(t, "createPosts"), Token: secret.New("x"), Type: sent, Body: strings.NewReader("{}"), Length: 2,
		})
		if got := (<-seen).Header["Content-Type"]; len(got) != 1 || got[0] != want {
			t.Errorf("a client's %q becomes %q", sent, got)
		}
	}
}

func TestNothingNamesAnotherHost(t *testing.T) {
	g, seen := sees(t, server)
	c := readMe(t)
	c.Query = url.Values{"api_base": {"http://evil.example"}, "url": {"//evil.example"}}.Encode()
	c.Params = map[string]string{"host": "evil.example", "": "x"}
	perform(t, g, c)
	if got := <-seen; !strings.HasPrefix(got.URI, "/2/users/me?") {
		t.Errorf("X saw %s", got.URI)
	}
	for _, id := range []string{"@evil.example", ":80@evil.example/", "//evil.example"} {
		perform(t, g, ports.Call{Action: action(t, "getUsersById"), Params: map[string]string{"id": id}})
		<-seen
	}
}

func TestAClientSeesOnlyWhatIsMeantForIt(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		in := http.Header{
			"Content-Type": {"application/json"}, "X-Rate-Limit-Limit": {"900"}, "X-Access-Level": {"read"},
			"X-Transaction-Id": {"tx-1"}, "Retry-After": {"3"}, "Api-Version": {"2.167"}, "X-Response-Time": {"12"},
			"X-App-Limit-24hour-Reset": {"1"},
		}
		out := http.Header{
			"Set-Cookie": {"guest_id=1", "__cf_bm=2"}, "Access-Control-Allow-Origin": {"*"},
			"Access-Control-Allow-Credentials": {"true"}, "Server": {"cloudflare envoy"}, "Location": {"https://evil.example"},
			"Alt-Svc": {`h3=":443"`}, "Strict-Transport-Security": {"max-age=1"}, "Www-Authenticate": {"Basic"},
			"Cache-Control": {"public"}, "Etag": {"x"}, "Clear-Site-Data": {"*"}, "Refresh": {"0;url=//evil.example"},
			"Link": {"</x>"}, "Content-Security-Policy": {"x"}, "X-Frame-Options": {"x"}, "Perf": {"1"}, "Perch-Grant": {"x"},
			"X-Rate-Limit-Unknown": {"x"}, "Authorization": {"Bearer " + canary}, "Trailer": {"X-Late"},
		}
		g := gateway(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for _, h := range []http.Header{in, out} {
				for name, v := range h {
					w.Header()[name] = v
				}
			}
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("{}"))
		}))
		reply, body := perform(t, g, readMe(t))
		if d := cmp.Diff(map[string][]string(in), reply.Header); d != "" {
			t.Errorf("header (-want +got):\n%s", d)
		}
		if reply.Status != http.StatusForbidden || body != "{}" || reply.Transaction != "tx-1" {
			t.Errorf("status %d, body %q, transaction %q", reply.Status, body, reply.Transaction)
		}
	})
}

// Nobody knows what would answer there, nor what X has done.
func TestXPointingElsewhereIsNoAnswer(t *testing.T) {
	for _, code := range []int{301, 302, 303, 304, 307, 308} {
		for kind, call := range calls(t) {
			var n atomic.Int64
			g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
				n.Add(1)
				w.Header().Set("Location", "/2/elsewhere")
				w.WriteHeader(code)
			}))
			reply, err := g.Do(t.Context(), call())
			if fault.SlugOf(err) != "x-broken-answer" || !errors.Is(err, fault.Upstream) || errors.Is(err, ports.ErrUnsent) ||
				reply.Status != code || n.Load() != 1 {
				t.Errorf("%d, %s: asked %d times, %d, %v", code, kind, n.Load(), reply.Status, err)
			}
		}
	}
}

func TestHeadersOfX(t *testing.T) {
	got := shown(http.Header{
		"X-Transaction-Id": {"a\x01b"}, "X-Access-Level": {"é", "read"}, "Api-Version": {"a\r\nb"},
		"Content-Disposition": {"attachment; filename=\"a/../b\\\"\r\nX: y\""},
	})
	want := map[string][]string{"X-Access-Level": {"read"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for in, want := range map[string]string{
		`attachment; filename="cat.jpg"`:            `attachment; filename=cat.jpg`,
		`attachment; filename="../../a b\"c.jpg"`:   `attachment; filename=".._.._a b_c.jpg"`,
		`attachment; filename="a;b=c"`:              `attachment; filename="a;b=c"`,
		`inline`:                                    `inline`,
		`inline; filename=".."`:                     `inline`,
		`attachment; filename*=UTF-8''%e2%82%ac`:    `attachment; filename*=utf-8''%E2%82%AC`,
		`attachment; filename*=UTF-8''a%0d%0aX%3ay`: `attachment; filename=a__X_y`,
		`form-data; name="x"`:                       "",
		`attachment; filename="a"; filename="b"`:    "",
	} {
		if got, ok := disposition(in); got != want || ok != (want != "") {
			t.Errorf("%s became %q", in, got)
		}
	}
}

func TestWindows(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	header := func(prefix, limit, remaining, reset string) http.Header {
		return http.Header{
			prefix + "-Limit": {limit}, prefix + "-Remaining": {remaining}, prefix + "-Reset": {reset},
		}
	}
	const short = "X-Rate-Limit"
	for name, h := range map[string]http.Header{
		"nothing":           {},
		"no reset":          {"X-Rate-Limit-Limit": {"1"}, "X-Rate-Limit-Remaining": {"1"}},
		"words":             header(short, "many", "1", "1800000900"),
		"a list":            header(short, "1, 1", "1", "1800000900"),
		"negative":          header(short, "1", "-1", "1800000900"),
		"more than all":     header(short, "1", "2", "1800000900"),
		"a reset next year": header(short, "1", "0", "1831536000"),
		"milliseconds":      header(short, "1", "0", "1800000900000"),
		"beyond int64":      header(short, "1", "0", "99999999999999999999"),
	} {
		if got := windows(h, now); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	h := header(short, "15", "0", "1800000900")
	for name, v := range header("X-User-Limit-24hour", "100", "99", "1800086400") {
		h[name] = v
	}
	want := []quota.Window{
		{Span: quota.Short, Limit: 15, Reset: time.Unix(1800000900, 0).UTC()},
		{Span: quota.UserDay, Limit: 100, Remaining: 99, Reset: time.Unix(1800086400, 0).UTC()},
	}
	if d := cmp.Diff(want, windows(h, now)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAPageIsNoAnswer(t *testing.T) {
	for _, kind := range []string{"text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml", " text/html ;x"} {
		closed := make(chan struct{})
		g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte("<html>"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(closed)
		}))
		_, err := g.Do(t.Context(), readMe(t))
		if !errors.Is(err, fault.Upstream) || !strings.Contains(err.Error(), "418") {
			t.Errorf("%s: %v", kind, err)
		}
		<-closed
	}
	g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<p>a file</p>"))
	}))
	file := ports.Call{Action: action(t, "dmConversationsMediaDownload"), Params: map[string]string{
		"dm_id": "1", "media_id": "2", "resource_id": "3",
	}}
	if _, body := perform(t, g, file); body != "<p>a file</p>" {
		t.Errorf("a download became %q", body)
	}
}

func TestNewRefusesWhatIsUnsafe(t *testing.T) {
	for _, bad := range []string{
		"api.x.com", "http://api.x.com", "http://127.0.0.2", "https://", "ftp://api.x.com", "https://u:" + canary + "@api.x.com",
		"https://api.x.com?a=b", "https://api.x.com?", "https://api.x.com#", "https://api.x.com/#x", "//api.x.com", "https://a b",
		"https://api.x.com:port", "http://localhost.evil.example", "http://127.0.0.1@evil.example", "https://:443", "%",
	} {
		for i, cfg := range []Config{{APIURL: bad}, {AuthorizeURL: bad}} {
			_, err := New(cfg)
			if !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), canary) {
				t.Errorf("%q as URL %d: %v", bad, i, err)
			}
		}
	}
	for _, fine := range []string{"", "https://api.x.com/", "https://[::1]:8443", "http://localhost:1", "http://[::1]", "http://127.0.0.1:9"} {
		if _, err := New(Config{APIURL: fine}); err != nil {
			t.Errorf("%q: %v", fine, err)
		}
	}
	if _, err := New(Config{UserAgent: "a\r\nb"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a user agent of two lines: %v", err)
	}
	//nolint:gosec // the point is that it is refused
	if _, err := New(Config{TLS: &tls.Config{InsecureSkipVerify: true}}); !errors.Is(err, fault.Invalid) {
		t.Errorf("certificates that are not verified: %v", err)
	}
}

func TestAWriteGoesOnToItsDeadlineWithoutItsClient(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		began, end, gone := make(chan struct{}), make(chan struct{}), make(chan struct{}, 9)
		g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			began <- struct{}{}
			select {
			case <-end:
				w.WriteHeader(http.StatusCreated)
			case <-r.Context().Done():
				gone <- struct{}{}
			}
		}))
		for name, v := range map[string]struct {
			call ports.Call
			ends bool
		}{
			"a post": {posting(t), false}, "a finalization": {finalizing(t), false},
			"a read": {readMe(t), true}, "an upload": {upload(t, strings.NewReader("abc"), 3), true},
		} {
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				<-began
				leave()
				if !v.ends {
					end <- struct{}{}
				}
			}()
			reply, err := g.Do(ctx, v.call)
			if v.ends {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %d, error %v", name, reply.Status, err)
				}
				<-gone
			} else if err != nil || reply.Status != http.StatusCreated {
				t.Errorf("%s: %d, error %v", name, reply.Status, err)
			}
		}
		for range 20 {
			err := overdue(t, func(ctx context.Context) error { return drop(g.Do(ctx, posting(t))) })
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ports.ErrUnsent) {
				t.Fatalf("a post beyond its deadline: %v", err)
			}
			select {
			case <-began:
				<-gone
				return
			case <-time.After(5 * time.Second): // the time was over between the dial and the first byte
			}
		}
		t.Error("no post got as far as X")
	})
}
