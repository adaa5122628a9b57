package demo_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"perch/clients/demo"
)

// A desk answers as Perch's token endpoint and API do, with tokens that go bad when told to.
type desk struct {
	mu     sync.Mutex
	status int // of the token endpoint, if not 200
	good   int // the number of the only good access token; the newest is issued
	issued int // tokens so far
	asked  int // calls of the token endpoint
	calls  int // calls of the API
}

func (d *desk) token(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	w.Header().Set("Content-Type", "application/json")
	if d.status != 0 {
		code := "temporarily_unavailable"
		if d.status == http.StatusBadRequest {
			code = "invalid_grant"
		}
		w.WriteHeader(d.status)
		_, _ = fmt.Fprintf(w, `{"error":%q,"error_description":"No."}`, code)
		return
	}
	d.issued++
	_, _ = fmt.Fprintf(w, `{"access_token":"at_%d","refresh_token":"rt_%d","expires_in":600,"scope":"a b"}`, d.issued, d.issued)
}

func (d *desk) api(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer at_%d", d.good) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"type":"urn:x","title":"Not authenticated","status":401,"detail":"Sign in again."}`)
		return
	}
	_, _ = io.WriteString(w, `{"data":{}}`)
}

// open shows a page of the demo's origin that has perch.js at hand and runs nothing.
func (d *desk) open(b tab) {
	b.t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	b.t.Cleanup(server.Close)
	mux.Handle("/", demo.Handler(demo.Settings{BaseURL: server.URL}))
	mux.HandleFunc("POST /oauth/token", d.token)
	mux.HandleFunc("GET /2/me", d.api)
	b.do("open", chromedp.Navigate(server.URL+"/perch.svg"))
}

// script runs with p, a Perch of the page; it returns a string to compare.
func script(body string) string {
	return `import("/perch.js").then(async ({ Perch, PerchError }) => {
		const make = () => new Perch({ baseUrl: location.origin + "/", clientId: "pk", redirectUri: location.href });
		const sign = (refresh) => sessionStorage.setItem("perch:pk:refresh", refresh);
		const back = (query) => {
			sessionStorage.setItem("perch:pk:pending", JSON.stringify({ state: "s1", verifier: "v1" }));
			history.replaceState(null, "", "?" + new URLSearchParams(query));
		};
		const p = make();
		const iss = location.origin;
		const failure = (e) => [e.constructor === PerchError, e.status, e.type, e.detail, e.retryAfter].join("|");
		` + body + ` })`
}

func TestPerchModule(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		name   string
		good   int // see desk
		status int // see desk
		script string
		want   string
		asked  int // calls of the token endpoint
		calls  int // of the API
	}{
		{"a code is exchanged and the URL cleaned", 0, 0,
			`back({ code: "c", state: "s1", iss, keep: 1 }); const r = await p.handleCallback();
			return [r.ok, location.search, p.signedIn, p.session.scopes].join("|")`, "true|?keep=1|true|a,b", 1, 0},
		{"an answer with another state is dropped", 0, 0,
			`back({ code: "c", state: "s2", iss }); return (await p.handleCallback()).error + p.signedIn`, "invalid_statefalse", 0, 0},
		{"an answer of another issuer is dropped", 0, 0,
			`back({ code: "c", state: "s1", iss: "https://evil.example" }); return (await p.handleCallback()).error`,
			"invalid_issuer", 0, 0},
		{"an answer without issuer is dropped", 0, 0,
			`back({ code: "c", state: "s1" }); return (await p.handleCallback()).error`, "invalid_issuer", 0, 0},
		{"an answer is taken once", 0, 0,
			`back({ code: "c", state: "s1", iss }); const again = location.search; await p.handleCallback();
			history.replaceState(null, "", again); return (await p.handleCallback()).error`, "invalid_state", 1, 0},
		{"a page without an answer has nothing to do", 0, 0, `return String(await p.handleCallback())`, "null", 0, 0},
		{"calls at once share one refresh", 1, 0,
			`sign("rt_0"); await Promise.all([1, 2, 3].map(() => p.fetch("/2/me").then((r) => r.text()))); return "done"`, "done", 1, 3},
		{"two tabs with one session refresh one after the other", 2, 0,
			`sign("rt_0"); const q = make(); await Promise.all([p.restore(), q.restore()]);
			return sessionStorage.getItem("perch:pk:refresh")`, "rt_2", 2, 0},
		{"a refused token is renewed once", 2, 0,
			`sign("rt_0"); await p.restore(); return p.fetch("/2/me").then((r) => r.text())`, `{"data":{}}`, 2, 2},
		{"a refusal that stays is told", -1, 0,
			`sign("rt_0"); return p.fetch("/2/me").then(() => "no error", failure)`, "true|401|urn:x|Sign in again.|7", 2, 2},
		{"an ended session is forgotten", 0, 400,
			`sign("rt_0"); return [await p.restore(), p.signedIn].join("|")`, "false|false", 1, 0},
		{"trouble at Perch does not sign out", 0, 503,
			`sign("rt_0"); await p.restore().catch(() => {}); return String(p.signedIn)`, "true", 1, 0},
		{"the token goes nowhere else", 1, 0,
			`sign("rt_0"); return p.fetch("https://evil.example/").then(() => "sent", (e) => e.name)`, "TypeError", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, d := tab{t, b.ctx, b.rec}, &desk{good: c.good, status: c.status}
			d.open(b)
			if got := ask[string](b, script(c.script)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			b.look(c.name)
			if d.asked != c.asked || d.calls != c.calls {
				t.Errorf("%d token calls and %d API calls, want %d and %d", d.asked, d.calls, c.asked, c.calls)
			}
		})
	}
}
