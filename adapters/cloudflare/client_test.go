package cloudflare

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/secret"
	"perch/ports/conformance/workerd"
)

const canary = "canary-token-9c1f"

// against returns a database at a server that answers as it pleases.
func against(t *testing.T, answer http.HandlerFunc) *sql.DB {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return opened(t, s.URL+"/client/v4", "account", canary, "database")
}

func text(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// raw answers with bytes that are not even HTTP, perhaps, and hangs up.
func raw(reply string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = c.Write([]byte(reply))
		_ = c.Close()
	}
}

func result1(inner string) string { return `{"success":true,"errors":[],"result":[` + inner + `]}` }

func TestUnusableReplies(t *testing.T) {
	const fine = `{"success":true,"results":{"columns":["a"],"rows":[[1]]}}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
		says   string
	}{
		"HTML":                 {text(200, "<html>Welcome</html>"), 200, "check its URL"},
		"an empty reply":       {text(200, ""), 200, "check its URL"},
		"other JSON":           {text(200, `{"ok":true}`), 200, "check its URL"},
		"null":                 {text(200, `null`), 200, "check its URL"},
		"a list":               {text(200, `[]`), 200, "check its URL"},
		"no result":            {text(200, result1("")), 200, "check its URL"},
		"two results":          {text(200, result1(fine+","+fine)), 200, "check its URL"},
		"a failed statement":   {text(200, result1(`{"success":false}`)), 200, "check its URL"},
		"a short row":          {text(200, result1(`{"success":true,"results":{"columns":["a"],"rows":[[]]}}`)), 200, "check its URL"},
		"a row of an object":   {text(200, result1(`{"success":true,"results":{"columns":["a"],"rows":[{}]}}`)), 200, "check its URL"},
		"a deep nest":          {text(200, result1(strings.Repeat("[", 1<<20))), 200, "check its URL"},
		"more behind it":       {text(200, result1(fine)+"{}"), 200, "check its URL"},
		"no success":           {text(200, `{"success":false,"errors":[{"code":7500,"message":"no"}]}`), 200, "code 7500"},
		"too much":             {text(200, strings.Repeat(" ", mostBytes+1)), 200, "more than"},
		"without an end":       {endless, 200, "more than"},
		"shorter than it says": {raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + result1(fine)), 0, "unexpected EOF"},
		"a torn chunk":         {raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"succ"), 0, "unexpected EOF"},
		"nothing":              {raw(""), 0, "EOF"},
		"no HTTP":              {raw("SSH-2.0-x\r\n\r\n"), 0, "malformed HTTP"},
		"a server's error":     {text(500, "Internal Server Error"), 500, "answered 500"},
		"a refused token": {text(403, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`),
			403, "check the API token"},
		"a redirect":          {text(307, "", "Location", "https://elsewhere.example/"), 307, "answered 307"},
		"the token, repeated": {text(400, `{"errors":[{"code":1,"message":"Bearer `+canary+`\n\u001b[31m"}]}`), 400, "Bearer [secret]"},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			db := against(t, func(w http.ResponseWriter, r *http.Request) { calls++; c.answer(w, r) })
			for i, do := range []func() error{
				func() error { _, err := db.ExecContext(t.Context(), "DROP TABLE t"); return err },
				func() error { var n int; return db.QueryRowContext(t.Context(), "SELECT 1 AS a").Scan(&n) },
			} {
				calls = 0
				err := do()
				refusal, ok := errors.AsType[*Error](err)
				if !ok || refusal.Status != c.status || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want status %d and %q", err, c.status, c.says)
				}
				if said := fmt.Sprintf("%v %+v", err, err); strings.Contains(said, canary) || strings.ContainsAny(said, "\n\x1b") {
					t.Errorf("the error has in it what it should not: %q", said)
				}
				want := 1
				if reads := i == 1; reads && c.says == "unexpected EOF" {
					want = 2 // what reads is asked again, once, if its reply breaks off
				}
				if calls != want {
					t.Errorf("%d calls were made, want %d", calls, want)
				}
			}
		})
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
}

func TestHostileCells(t *testing.T) {
	for _, cell := range []string{
		`{"a":1}`, `[256]`, `[-1]`, `["a"]`, `[[]]`, `1e999`, `123456789012345678901234567890`, `9007199254740992`,
	} {
		db := against(t, text(200, result1(`{"success":true,"results":{"columns":["a"],"rows":[[`+cell+`]]}}`)))
		var got any
		if err := db.QueryRowContext(t.Context(), "SELECT a FROM t").Scan(&got); err == nil {
			t.Errorf("%s was read as %v", cell, got)
		}
	}
	db := against(t, text(200, result1(`{"success":true,"results":{"columns":["a"],"rows":[["x"]]}},`+
		`{"success":true,"results":{"columns":["changes"],"rows":[["2"]]}}`)))
	if res, err := db.ExecContext(t.Context(), "UPDATE t SET a = 1"); err == nil {
		t.Errorf("a text was taken for a count: %v", res)
	}
}

func TestWaits(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "17": 17 * time.Second, "-1": 0, "x": 0, "99999999": time.Hour, "1.5": 0,
		"Mon, 02 Jan 2006 15:04:05 GMT": 0, "Fri, 31 Dec 2100 23:59:59 GMT": time.Hour,
	} {
		db := against(t, text(429, `{"errors":[{"code":971,"message":"slow down"}]}`, "Retry-After", header))
		err := db.PingContext(t.Context())
		refusal, ok := errors.AsType[*Error](err)
		if !ok || refusal.RetryAfter() != want || refusal.Code != 971 {
			t.Errorf("Retry-After %q: got %v, to wait %v, want %v", header, err, refusal.RetryAfter(), want)
		}
	}
}

// A connection that was shut while nobody used it costs nobody an error, but a
// statement that writes is never sent twice.
func TestWhatIsRepeated(t *testing.T) {
	var shut atomic.Bool
	var calls atomic.Int64
	db := against(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if shut.Swap(false) {
			raw("")(w, r)
			return
		}
		text(200, result1(`{"success":true,"results":{"columns":["a"],"rows":[[1]]}}`))(w, r)
	})
	for statement, want := range map[string]int64{"SELECT a FROM t": 3, "DROP TABLE t": 2} {
		calls.Store(0)
		read := func() error {
			rows, err := db.QueryContext(t.Context(), statement)
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			return rows.Err()
		}
		if err := read(); err != nil { // and now there is a connection
			t.Fatal(err)
		}
		shut.Store(true)
		if err := read(); (err == nil) != (want == 3) || calls.Load() != want {
			t.Errorf("%s on a connection that is shut: %v after %d calls, want %d", statement, err, calls.Load(), want)
		}
	}
}

// What was done and could not be told is an error, and done.
func TestALostReply(t *testing.T) {
	p := workerd.D1(t)
	at, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: at.Scheme, Host: at.Host})
	var lose atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lose.Swap(false) {
			forward.ServeHTTP(w, r)
			return
		}
		forward.ServeHTTP(httptest.NewRecorder(), r)
		raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")(w, r)
	}))
	defer s.Close()
	db := opened(t, s.URL+"/client/v4", p.Account, p.Token, p.ID)
	exec(t, db, "CREATE TABLE t (id TEXT PRIMARY KEY)")
	lose.Store(true)
	_, err = db.ExecContext(t.Context(), "INSERT INTO t VALUES ('a')")
	if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Status != 0 {
		t.Errorf("the lost reply: got %v", err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows are there, %v; want 1", n, err)
	}
}

func TestASilentServer(t *testing.T) {
	end := make(chan struct{})
	db := against(t, func(http.ResponseWriter, *http.Request) { <-end })
	defer close(end)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := db.PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestWhoIsSpokenTo(t *testing.T) {
	token := secret.New(canary)
	for _, at := range []string{"", "https://store.example/client/v4", "http://127.0.0.1:1/client/v4/", "http://[::1]/v4", "http://localhost"} {
		if _, err := NewClient(Config{URL: at, Account: "a", Token: token}); err != nil {
			t.Errorf("%q: %v", at, err)
		}
	}
	for _, c := range []Config{
		{URL: "http://store.example/client/v4", Account: "a", Token: token},
		{URL: "http://127.0.0.1.example", Account: "a", Token: token},
		{URL: "ftp://127.0.0.1", Account: "a", Token: token},
		{URL: "https://u:p@store.example", Account: "a", Token: token},
		{URL: "https://store.example/?a=b", Account: "a", Token: token},
		{URL: "store.example", Account: "a", Token: token},
		{Token: token}, {Account: "a"},
	} {
		if _, err := NewClient(c); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	if _, err := OpenD1(Config{Account: "a", Token: token}, ""); err == nil {
		t.Error("a database without an ID was opened")
	}
}

func TestWhatIsSent(t *testing.T) {
	db := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/client/v4/accounts/account/d1/database/database/raw" ||
			r.Header.Get("Authorization") != "Bearer "+canary || r.Header.Get("Content-Type") != "application/json" ||
			r.Header["Idempotency-Key"] != nil {
			t.Errorf("sent: %s %s %v", r.Method, r.URL, r.Header)
		}
		text(200, result1(`{"success":true,"results":{"columns":["a"],"rows":[[1]]}}`))(w, r)
	})
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}
