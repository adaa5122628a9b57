package wiring_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
)

const (
	patience = 1500 * time.Millisecond // with an X that is slow
	rested   = time.Second             // an X that failed
)

// An end is what the client sees of a call, and how often X got it.
type end struct {
	status  int
	problem string // "": X's own answer
	wait    string // Retry-After
	asked   int
}

// like reports whether the client sees that. Of a wait some seconds may be over.
func (e end) like(got end) bool {
	if most, err := strconv.Atoi(e.wait); err == nil {
		if n, err := strconv.Atoi(got.wait); err == nil && 0 < n && n < most && n > most-30 {
			e.wait = got.wait
		}
	}
	return e == got
}

// A misfortune is something X does to every read and every post.
type misfortune struct {
	name     string
	mischief xsim.Mischief // no kind: X is not there at all
	read     end
	post     end
	done     int  // how many posts one call made
	opens    bool // the breaker, if it goes on
	alert    string
}

func misfortunes() []misfortune {
	status := func(n int) xsim.Mischief { return xsim.Mischief{Kind: "status", Status: n} }
	page := func(n int) xsim.Mischief { return xsim.Mischief{Kind: "html", Status: n} }
	silent, broken := end{503, "x-no-answer", "", 1}, end{502, "x-broken-answer", "", 1}
	thrice := func(e end) end { e.asked = 3; return e }
	return []misfortune{
		{"nobody there", xsim.Mischief{}, end{503, "x-unreachable", "", 0}, end{503, "x-unreachable", "", 0}, 0, true, ""},
		{"a reset before it is done", xsim.Mischief{Kind: "refused"}, thrice(silent), silent, 0, true, ""},
		{"a reset after it is done", xsim.Mischief{Kind: "lost"}, thrice(silent), silent, 1, true, ""},
		{"half an answer", xsim.Mischief{Kind: "torn"}, thrice(broken), broken, 1, true, ""},
		{"a timeout", xsim.Mischief{Kind: "slow", Delay: 3 * patience}, silent, silent, 0, true, ""},
		{"a slow body", xsim.Mischief{Kind: "slow_body", Delay: 16 * patience}, broken, broken, 1, true, ""},
		{"a body in drops", xsim.Mischief{Kind: "slow_body", Delay: 3 * patience}, broken, broken, 1, true, ""},
		{"a length that is too long", xsim.Mischief{Kind: "wrong_length"}, thrice(broken), broken, 1, true, ""},
		{"one that is too short", xsim.Mischief{Kind: "wrong_length", Bytes: -9}, thrice(broken), broken, 1, true, ""},
		{"500", status(500), end{500, "", "", 1}, end{500, "", "", 1}, 0, true, ""},
		{"502", status(502), end{502, "", "", 3}, end{502, "", "", 1}, 0, true, ""},
		{"503", xsim.Mischief{Kind: "outage"}, end{503, "", "", 3}, end{503, "", "", 1}, 0, true, ""},
		{"504", status(504), end{504, "", "", 3}, end{504, "", "", 1}, 0, true, ""},
		{"a page", page(502), end{502, "x-page", "", 3}, end{502, "x-page", "", 1}, 0, true, ""},
		{"a page that looks well", page(200), end{502, "x-page", "", 1}, end{502, "x-page", "", 1}, 0, true, ""},
		{"a page that forbids", page(403), end{502, "x-page", "", 1}, end{502, "x-page", "", 1}, 0, false, ""},
		{"403", status(403), end{403, "", "", 1}, end{403, "", "", 1}, 0, false, ""},
		// The grant is refreshed once, and not again a moment later.
		{"401", xsim.Mischief{Kind: "unauthorized"}, end{502, "x-unauthorized", "60", 2}, end{502, "x-unauthorized", "60", 1},
			0, false, ""},
		{"429 with headers", xsim.Mischief{Kind: "rate_limit"}, end{429, "x-rate-limit", "900", 1},
			end{429, "x-rate-limit", "900", 1}, 0, false, "x.rate_limit"},
		{"429 without", xsim.Mischief{Kind: "rate_limit_bare"}, end{429, "x-rate-limit", "60", 1},
			end{429, "x-rate-limit", "60", 1}, 0, false, "x.rate_limit"},
		{"429 in a page", page(429), end{429, "x-rate-limit", "60", 1}, end{429, "x-rate-limit", "60", 1},
			0, false, "x.rate_limit"},
		{"a usage cap", xsim.Mischief{Kind: "usage_cap"}, end{429, "x-usage-cap", "3600", 1},
			end{429, "x-usage-cap", "3600", 1}, 0, false, "x.usage_cap"},
		// The read has told already that nothing is left.
		{"no credits", xsim.Mischief{Kind: "no_credits"}, end{402, "x-out-of-credits", "300", 1},
			end{402, "x-out-of-credits", "300", 0}, 0, false, "x.out_of_credits"},
	}
}

// Whatever X does, the client is told what happened, X is not asked for more than
// may be, and it is left alone while it fails.
func TestMischief(t *testing.T) {
	for _, m := range misfortunes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := suffer(t, func(cfg *config.Config) {
				if m.mischief.Delay > 0 {
					cfg.X.Patience = patience
				}
			})
			s.begin(m)
			if got := s.read(t); !m.read.like(got) {
				t.Errorf("a read got %+v, want %+v", got, m.read)
			}
			if got := s.post(t); !m.post.like(got) {
				t.Errorf("a post got %+v, want %+v", got, m.post)
			}
			if n := len(happened(s.x, "post.created")); n != m.done {
				t.Errorf("%d posts were made, want %d", n, m.done)
			}
			if m.opens {
				s.opens(t, m)
			} else {
				s.staysShut(t)
			}
			if n := s.told(m.alert + ".open"); m.alert != "" && n == 0 {
				t.Errorf("no alert %s", m.alert)
			}
		})
	}
}

// A sufferer is a house before an X that is counted and can go away.
type sufferer struct {
	*house
	x     *xsim.Sim
	app   tenant
	grant string
	asked atomic.Int64
	gone  func() // X goes away
	back  func() // and comes back
	posts int
}

func suffer(t *testing.T, change ...func(*config.Config)) *sufferer {
	t.Helper()
	s := &sufferer{x: xsim.New(xsim.Options{})}
	x := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "oauth2/") {
			s.asked.Add(1)
		}
		s.x.ServeHTTP(w, r)
	})
	at, down := serveX(t, x)
	address, free := strings.TrimPrefix(at, "http://"), func() {}
	s.gone = func() {
		down()
		free = hold(t, address)
	}
	s.back = func() {
		free()
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		again := httptest.NewUnstartedServer(x)
		_ = again.Listener.Close()
		again.Listener = ln
		again.Start()
		t.Cleanup(again.Close)
	}
	cfg := settings(t, environments()[0], at)
	cfg.X.Rest = rested
	for _, c := range change {
		c(&cfg)
	}
	s.house = open(t, cfg)
	s.app = s.register(t, pageA, "")
	s.grant = s.adopt(t, s.app, ada, issue(t, s.x, "sim-client", ada), time.Now().Add(time.Hour))
	return s
}

// hold keeps an address where nobody listens any more, which else would soon be
// given to somebody else, and returns how to let go of it. Who calls there is
// refused: the address is the near end of a connection to elsewhere.
func hold(t *testing.T, address string) (free func()) {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	from := net.Dialer{LocalAddr: at, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) { // connections that were just closed linger there
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		})
		return errors.Join(failed, err)
	}}
	elsewhere := listen(t)
	c, err := from.DialContext(t.Context(), "tcp", elsewhere.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	free = sync.OnceFunc(func() {
		_ = elsewhere.Close()
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // so that it does not linger there itself
		}
		_ = c.Close()
	})
	t.Cleanup(free)
	return free
}

// begin lets the misfortune befall every read and post from now on.
func (s *sufferer) begin(m misfortune) {
	if m.mischief.Kind == "" {
		s.gone()
	}
	for _, action := range []string{"getUsersMe", "createPosts"} {
		if rule := m.mischief; rule.Kind != "" {
			rule.Match = action
			s.x.Mischief(rule)
		}
	}
}

func (s *sufferer) read(t *testing.T) end {
	t.Helper()
	return s.call(t, "GET", "/2/users/me", "")
}

func (s *sufferer) post(t *testing.T) end {
	t.Helper()
	s.posts++
	return s.call(t, "POST", "/2/tweets", fmt.Sprintf(`{"text":"number %d"}`, s.posts))
}

func (s *sufferer) call(t *testing.T, method, path, body string) end {
	t.Helper()
	before := s.asked.Load()
	a := s.act(t, s.app.sk, s.grant, method, path, body)
	if a.err != nil {
		t.Fatal(a.err)
	}
	if p := a.problem(); p != "" && (a.text("detail") == "" || a.text("instance") != a.header.Get("Perch-Request-Id")) {
		t.Errorf("the document is %s", a.body)
	}
	return end{a.status, a.problem(), a.header.Get("Retry-After"), int(s.asked.Load() - before)}
}

// opens lets it go on until the breaker opens, and then end.
func (s *sufferer) opens(t *testing.T, m misfortune) {
	t.Helper()
	for range 3 { // four in all
		s.post(t)
	}
	shut := end{503, "x-breaker-open", "1", 0}
	for { // until two posts follow each other faster than the breaker lets a try through
		began := time.Now()
		if s.post(t) == shut {
			break
		}
		got := s.post(t)
		if got == shut {
			break
		}
		if time.Since(began) < rested {
			t.Errorf("with the breaker open a post gets %+v", got)
			break
		}
	}
	if got := s.read(t); got.problem == "x-breaker-open" {
		t.Error("the breaker of posts refuses reads")
	}
	if n := s.told("x.breaker.open"); n != 1 {
		t.Errorf("%d alerts that it opened", n)
	}
	if m.mischief.Kind == "" {
		s.back()
	}
	s.x.ClearMischief()
	eventually(t, "posts are made again", func() bool { return s.post(t).status == http.StatusCreated })
	if n := s.told("x.breaker.close"); n != 1 {
		t.Errorf("%d alerts that it closed after %s", n, m.name)
	}
}

func (s *sufferer) staysShut(t *testing.T) {
	t.Helper()
	for range 9 {
		if got := s.post(t); got.problem == "x-breaker-open" {
			t.Errorf("the breaker opened: %+v", got)
		}
	}
	if n := s.told("x.breaker.open"); n != 0 {
		t.Errorf("%d alerts that it opened", n)
	}
}

// told counts the events of the verb in the log.
func (h *house) told(verb string) (n int) {
	for line := range bytes.Lines(h.log.bytes()) {
		var e struct {
			Action string `json:"action"`
		}
		if json.Unmarshal(line, &e) == nil && e.Action == verb {
			n++
		}
	}
	return n
}

// X's own document comes along whole with the four problems, and its headers too.
func TestXsOwnWordsComeWithAProblem(t *testing.T) {
	for kind, v := range map[string]struct{ x, title, errors string }{
		"rate_limit":      {"about:blank", "Rate limit of X", "<nil>"},
		"rate_limit_bare": {"", "Rate limit of X", "Rate limit exceeded"},
		"usage_cap":       {"https://api.twitter.com/2/problems/usage-capped", "Usage cap of X", "<nil>"},
		"no_credits":      {"https://api.twitter.com/2/problems/credits-depleted", "Out of credits at X", "<nil>"},
	} {
		s := suffer(t)
		s.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: kind})
		a := s.act(t, s.app.sk, s.grant, "GET", "/2/users/me", "")
		if a.text("x.type") != v.x || a.text("title") != v.title || fmt.Sprint(a.field("errors.0.message")) != v.errors ||
			a.header.Get("Content-Type") != problemJSON || a.header.Get("X-Transaction-Id") == "" {
			t.Errorf("%s: %v %s", kind, a.header, a.body)
		}
		if left := a.header.Get("X-Rate-Limit-Remaining"); (left == "") != (kind == "rate_limit_bare" || kind == "no_credits") {
			t.Errorf("%s: %q calls are left", kind, left)
		}
		if told, _ := a.field("status").(float64); strconv.Itoa(int(told)) != strconv.Itoa(a.status) {
			t.Errorf("%s: %d says it is %v", kind, a.status, told)
		}
	}
}

// Every other answer is X's to the last byte, successes with errors too.
func TestOtherAnswersAreXsToTheByte(t *testing.T) {
	for _, v := range []struct {
		status     int
		kind, body string
	}{
		{200, "application/json", "{ \"data\": [1],\n" +
			`"errors":[{"type":"https://api.x.com/2/problems/usage-capped","status":429}] }`},
		{200, "application/json", `{"errors":[{"title":"Not Found Error","type":"about:blank"}]}`},
		{400, "application/problem+json", `{"errors":[{"parameters":{"a":["b"]},"message":"no"}],"title":"Invalid Request"}`},
		{403, "application/json", `{"errors":[{"code":187,"message":"Status is a duplicate."}]}`},
		{404, "text/plain", "not here"},
		{409, "application/problem+json", `{"title":"no rules"}`},
		{413, "", ""},
		{429, "application/problem+json", `{"title":"x","type":"https://api.twitter.com/2/problems/streaming-connection"}`},
		{500, "application/json", `{ "error" : "x" , "error_description":"y"}`},
	} {
		at, _ := serveX(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", v.kind)
			w.WriteHeader(v.status)
			_, _ = w.Write([]byte(v.body))
		}))
		h := open(t, settings(t, environments()[0], at))
		app := h.register(t, pageA, "")
		a := h.act(t, app.sk, "", "GET", "/2/tweets?ids=1", "")
		if a.status != v.status || a.body != v.body {
			t.Errorf("%d %q became %d %q", v.status, v.body, a.status, a.body)
		}
	}
}
