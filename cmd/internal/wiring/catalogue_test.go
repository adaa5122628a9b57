package wiring_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/xapi"
)

// A place is where X is. Which X stands there can be changed. It keeps the header
// of the last request.
type place struct {
	at    atomic.Pointer[xsim.Sim]
	heard atomic.Pointer[http.Header]
}

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Clone()
	p.heard.Store(&header)
	p.at.Load().ServeHTTP(w, r)
}

// accepted is what the clients of this test accept.
const accepted = "application/json, */*;q=0.5"

// strangers are headers that clients and proxies send and X must never see.
func strangers() []string {
	return []string{
		"Cookie: session=1", "Idempotency-Key: " + rand.Text(), "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1",
		"Proxy-Authorization: Basic eDp5", "X-Real-Ip: 192.0.2.1", "Via: 1.1 somebody", "Referer: https://a.example/",
		"Accept-Language: de", "Accept-Encoding: gzip", "Traceparent: 00-1-2-01", "X-Csrf-Token: c", "Range: bytes=0-1",
		"If-None-Match: *", "X-Http-Method-Override: DELETE", "X-Client-Uuid: u", "Te: trailers", "X-Api-Key: k",
	}
}

func TestEveryActionIsReachedThroughPerch(t *testing.T) {
	if n := len(xapi.All()); n != 178 {
		t.Fatalf("the catalogue has %d actions, not 178", n)
	}
	everywhere(t, func(t *testing.T, e environment) {
		var x place
		x.at.Store(xsim.New(xsim.Options{}))
		url, _ := serveX(t, &x)
		h := open(t, settings(t, e, url))
		app := h.register(t, pageA, "")
		for _, act := range xapi.All() {
			t.Run(act.ID, func(t *testing.T) {
				s := stage(t)
				x.at.Store(s.Sim)
				grant := h.adopt(t, app, ada, s.token, time.Now().Add(time.Hour))
				if act.Stream {
					streams(t, h, s, act, app.sk, grant)
				} else {
					answersAsX(t, h, s, act, app.sk, grant)
				}
				told(t, s, act)
				sent(t, s, act, *x.heard.Load())
			})
		}
	})
}

// answersAsX asks through Perch, and asks another X that is just the same
// without Perch.
func answersAsX(t *testing.T, h *house, s *scene, act xapi.Action, sk, grant string) {
	t.Helper()
	path, body := s.path(t, act), s.body(t, act)
	got := h.act(t, sk, grant, act.Method, path, body, append(strangers(), "Accept: "+accepted)...)
	if got.err != nil || got.status != act.Status() {
		t.Fatalf("got %d, want %d: %s %v", got.status, act.Status(), got.body, got.err)
	}
	twin := stage(t)
	token, _, _ := twin.credential(act)
	x := twin.direct(act.Method, path, token, body)
	if got.status != x.status || got.body != x.body || got.body == "" {
		t.Errorf("X says %d %q, Perch hands on %d %q", x.status, x.body, got.status, got.body)
	}
	for _, name := range []string{
		"Content-Type", "Api-Version", "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset",
		"X-User-Limit-24hour-Remaining", "X-App-Limit-24hour-Remaining",
	} {
		if got.header.Get(name) != x.header.Get(name) {
			t.Errorf("%s: X says %q, Perch hands on %q", name, x.header.Get(name), got.header.Get(name))
		}
	}
	if got.header.Get("X-Transaction-Id") == "" {
		t.Error("X's name for the reply is missing")
	}
	if c := got.header.Values("Set-Cookie"); len(c) > 0 {
		t.Errorf("Perch hands on cookies of X: %d", len(c))
	}
}

// streams reads the first bytes of a reply that does not end, then hangs up.
func streams(t *testing.T, h *house, s *scene, act xapi.Action, sk, grant string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), act.Method, h.public+s.path(t, act), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range append(strangers(), "Authorization: Bearer "+sk, "Perch-Grant: "+grant, "Accept: "+accepted) {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 2)
	_, err = io.ReadFull(res.Body, first)
	if closing := res.Body.Close(); closing != nil {
		t.Error(closing)
	}
	if err != nil || res.StatusCode != act.Status() || string(first) != "\r\n" {
		t.Errorf("the stream begins with %d %q: %v", res.StatusCode, first, err)
	}
	if res.Header.Get("X-Transaction-Id") == "" || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		t.Errorf("headers of X are missing: %v", res.Header)
	}
	eventually(t, "X sees the connection closed", func() bool { return len(happened(s.Sim, "connection.closed")) == 1 })
}

// told reads in X's ledger how X was asked.
func told(t *testing.T, s *scene, act xapi.Action) {
	t.Helper()
	calls := slices.DeleteFunc(s.Ledger()[s.staged:], func(e xsim.Entry) bool { return e.Type != "call" })
	if len(calls) != 1 {
		t.Fatalf("X was asked %d times: %+v", len(calls), calls)
	}
	e := calls[0]
	_, kind, user := s.credential(act)
	app := xsim.DefaultApp().ClientID
	if act.Public() {
		app = ""
	}
	if e.Object != act.ID || e.App != app || e.User != user || e.Details["credential"] != kind ||
		e.Details["executed"] != "true" || e.Details["status"] != strconv.Itoa(act.Status()) {
		t.Errorf("X was asked for %s as %s by %q through %q and said %s; want %s as %s by %q through %q",
			e.Object, e.Details["credential"], e.User, e.App, e.Details["status"], act.ID, kind, user, app)
	}
	if path, _, _ := strings.Cut(s.path(t, act), "?"); e.Details["path"] != path {
		t.Errorf("X was asked for %s, want %s", e.Details["path"], path)
	}
	if wanted := s.headers(act, s.body(t, act)); e.Details["headers"] != wanted {
		t.Errorf("X was sent the headers %s; want %s", e.Details["headers"], wanted)
	}
}

// sent looks at the values of the headers with which X was asked.
func sent(t *testing.T, s *scene, act xapi.Action, header http.Header) {
	t.Helper()
	token, _, _ := s.credential(act)
	if token != "" {
		token = "Bearer " + token
	}
	kind := ""
	if s.body(t, act) != "" {
		kind = "application/json"
	}
	for name, value := range map[string]string{
		"Authorization": token, "Accept": accepted, "Content-Type": kind, "User-Agent": "perch/test",
	} {
		if header.Get(name) != value {
			t.Errorf("X was not sent the right %s", name)
		}
	}
}

func TestAPublicActionNeedsNoCredential(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		url, _ := serveX(t, x)
		h := open(t, settings(t, e, url))
		n, plain := 0, strings.NewReplacer("{", "", "}", "")
		for _, act := range xapi.All() {
			a := ask(t, h.client, act.Method, h.public+plain.Replace(act.Path), "")
			switch {
			case act.Public():
				n++
				want(t, act.Status(), a)
			case a.status != http.StatusUnauthorized || a.problem() != "no-credential":
				t.Errorf("%s without a credential: %d %s", act.ID, a.status, a.body)
			}
		}
		if calls := happened(x, "call"); n == 0 || len(calls) != n {
			t.Errorf("X was asked %d times for %d public actions", len(calls), n)
		}
	})
}

// A file goes through in segments, as browsers send them, and arrives whole.
func TestAFileArrivesWhole(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		url, _ := serveX(t, x)
		h := open(t, settings(t, e, url))
		app := h.register(t, pageA, "")
		grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
		const segment = 2 << 20
		file := make([]byte, 2*segment+12345)
		for i := range file {
			file[i] = byte(i * i >> 7)
		}
		begun := h.act(t, app.sk, grant, "POST", "/2/media/upload/initialize", jsonOf(t, object{
			"media_type": "image/png", "media_category": "tweet_image", "total_bytes": len(file),
		}))
		want(t, http.StatusOK, begun)
		upload := "/2/media/upload/" + begun.text("data.id")
		for i := 0; i*segment < len(file); i++ {
			body, kind := form(t, i, file[i*segment:min(len(file), (i+1)*segment)])
			want(t, http.StatusOK, h.act(t, app.sk, grant, "POST", upload+"/append", body, "Content-Type: "+kind))
		}
		want(t, http.StatusOK, h.act(t, app.sk, grant, "POST", upload+"/finalize", ""))
		sum := sha256.Sum256(file)
		done := happened(x, "media.finalized")
		if len(done) != 1 || done[0].Details["sha256"] != hex.EncodeToString(sum[:]) ||
			done[0].Details["bytes"] != strconv.Itoa(len(file)) {
			t.Errorf("X has %+v", done)
		}
	})
}

func form(t *testing.T, index int, media []byte) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	err := w.WriteField("segment_index", strconv.Itoa(index))
	if err != nil {
		t.Fatal(err)
	}
	part, err := w.CreateFormFile("media", "blob")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(media); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}
