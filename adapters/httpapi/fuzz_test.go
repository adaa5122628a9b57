package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/jws"
	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/session"
)

// A lab is a house for fuzzing: with X that writes down what it is sent, and a
// line to the public door that is kept open.
type lab struct {
	*house
	x      *recorder
	store  *memory.Store
	ring   *keyring.Ring
	access string // an access token of ada's session
	line   *line
}

// plenty is a quota that is never used up.
type plenty struct{}

func (plenty) Spend(_ context.Context, _ time.Time, charges []quota.Charge) (quota.Verdict, error) {
	grips := make([]quota.Grip, len(charges))
	for i, c := range charges {
		grips[i] = quota.Grip{Given: c.Cost, Decision: quota.Decision{Allowed: true, Limit: c.Max, Remaining: c.Max}}
	}
	return quota.Verdict{Allowed: true, Grips: grips}, nil
}

func (plenty) Refund(context.Context, []quota.Return) error { return nil }

func (plenty) Note(context.Context, time.Time, []quota.Note) error { return nil }

// A recorder is an X that answers everything alike and remembers what it was sent.
type recorder struct {
	mu   sync.Mutex
	seen []*heard
}

type heard struct {
	method, target string
	header         http.Header
	body           string
	err            error
}

func (x *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	x.mu.Lock()
	x.seen = append(x.seen, &heard{r.Method, r.RequestURI, r.Header.Clone(), string(b), err})
	x.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"data":{"id":"1"}}`)
}

// take returns what X was sent since the last time.
func (x *recorder) take() []*heard {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.seen
	x.seen = nil
	return all
}

func newLab(f *testing.F) *lab {
	f.Helper()
	l := &lab{x: &recorder{}, store: memory.Open(), ring: keyring.Ephemeral()}
	l.house = build(f, plan{
		plain: true, x: l.x, store: l.store, ring: l.ring, quotas: plenty{},
		wait: func(p *patience) { p.linger = 50 * time.Millisecond },
	})
	now := time.Now().UTC().Truncate(time.Microsecond)
	ses, err := l.store.Sessions().Create(f.Context(), session.Session{
		ID: "ses_fuzz", App: l.app.ID, Grant: l.grant, User: ada, Scopes: oauth.Everything, Created: now, Expires: now.Add(10 * session.SessionTTL),
	})
	must(f, err)
	token, err := l.signer().Sign(f.Context(), session.Claims{
		ID: "jti", App: ses.App, Grant: ses.Grant, Session: ses.ID, User: ses.User, Scopes: ses.Scopes,
		Issued: now, Expires: now.Add(10 * session.SessionTTL),
	})
	must(f, err)
	l.access = token.Reveal()
	l.line = &line{to: l.public}
	f.Cleanup(l.line.hangUp)
	return l
}

// signer signs as the house does.
func (l *lab) signer() *jws.Signer {
	return jws.New(l.store.SigningKeys(), l.ring, l.server.cfg.PublicURL, time.Now)
}

// fill puts what only this run knows into a text from the corpus.
func (l *lab) fill(text string) string {
	return strings.NewReplacer("{sk}", l.sk, "{pk}", l.pk, "{app}", l.appOnly, "{access}", l.access,
		"{grant}", string(l.grant), "{admin}", adminToken, "{origin}", pageOrigin).Replace(text)
}

// permit lets the application do what the entries say, and nothing else.
func (l *lab) permit(f *testing.F, entries ...string) {
	f.Helper()
	_, err := l.services.Clients.Change(f.Context(), l.app.ID, func(a client.App) client.App {
		a.Actions = entries
		return a
	})
	must(f, err)
}

// A line is a connection that is opened again when it was closed.
type line struct {
	to string
	c  net.Conn
	r  *bufio.Reader
}

func (l *line) hangUp() {
	if l.c != nil {
		_ = l.c.Close()
	}
	l.c = nil
}

// send writes one request and reads its reply.
func (l *line) send(t *testing.T, text string) answer {
	t.Helper()
	if l.c == nil {
		c, err := net.Dial("tcp", hostOf(l.to))
		must(t, err)
		l.c, l.r = c, bufio.NewReader(c)
	}
	must(t, l.c.SetDeadline(time.Now().Add(20*time.Second)))
	_, _ = io.WriteString(l.c, text) // it may have been refused already
	method, _, _ := strings.Cut(text, " ")
	res, err := http.ReadResponse(l.r, &http.Request{Method: method})
	if err != nil {
		l.hangUp()
		t.Fatalf("no reply to %q: %v", text, err)
	}
	b, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatalf("half a reply to %q: %v", text, err)
	}
	if !res.Close && l.r.Buffered() > 0 {
		t.Errorf("more than one reply to %q", text)
	}
	if res.Close {
		l.hangUp()
	}
	return answer{res, string(b)}
}

// splits reports whether a piece of a request would end the line it stands in:
// then it is another request, and FuzzRequests sends those.
func splits(pieces ...string) bool {
	for _, p := range pieces {
		if strings.ContainsAny(p, "\r\n") {
			return true
		}
	}
	return false
}

// decent fails unless the reply is one that any request may get: no failure of
// ours, the headers that all have, nothing shared with pages but the one that
// may, and no secret.
func (l *lab) decent(t *testing.T, a answer, origin string) {
	t.Helper()
	if a.StatusCode >= http.StatusInternalServerError {
		t.Errorf("status %d: %s", a.StatusCode, a.body)
	}
	if a.Header.Get("Vary") != "Origin" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("status %d, headers %v", a.StatusCode, a.Header)
	}
	shared := a.Header.Values("Access-Control-Allow-Origin")
	if len(shared) > 1 || len(shared) == 1 && (shared[0] != pageOrigin || origin != pageOrigin) {
		t.Errorf("a page at %q may read the reply: %q", origin, shared)
	}
	if a.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("a page at %q may send cookies", origin)
	}
	var headers strings.Builder
	_ = a.Header.Write(&headers)
	for what, text := range map[string]string{
		"a key": l.sk, "another key": l.appOnly, "a token of X": xAccess, "an access token": l.access, "the operators' token": adminToken,
	} {
		if strings.Contains(a.body, text) || strings.Contains(headers.String(), text) {
			t.Errorf("%s is in the reply: %d %s%s", what, a.StatusCode, headers.String(), a.body)
		}
	}
}
