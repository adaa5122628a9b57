package xsim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

const (
	ada   = "1500000000000000001"
	grace = "1500000000000000002"
)

// A box is a sim behind a real server, and a client that follows no redirect.
type box struct {
	*xsim.Sim
	t      *testing.T
	url    string
	client *http.Client
}

func open(t *testing.T, opts xsim.Options) *box {
	t.Helper()
	if opts.Now == nil {
		at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
		opts.Now = func() time.Time { return at } // time passes by Advance only
	}
	sim := xsim.New(opts)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Transport.(*http.Transport).DisableCompression = true
	return &box{Sim: sim, t: t, url: server.URL, client: client}
}

// An answer is a reply that was read to its end.
type answer struct {
	status int
	header http.Header
	raw    []byte
	err    error // of reading the body
}

// field walks into the JSON of an answer: "data.id", "errors.0.code".
func (a answer) field(path string) any {
	var v any
	dec := json.NewDecoder(bytes.NewReader(a.raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			if len(at) <= int(name[0]-'0') {
				return nil
			}
			v = at[name[0]-'0']
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string {
	s, _ := a.field(path).(string)
	return s
}

func (a answer) count(path string) int {
	list, _ := a.field(path).([]any)
	return len(list)
}

// send sends a request and returns the error of the exchange, if any.
func (b *box) send(req *http.Request) (answer, error) {
	b.t.Helper()
	res, err := b.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, raw, err}, nil
}

func (b *box) request(method, path, token, body string) *http.Request {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// do calls the API and expects a whole reply.
func (b *box) do(method, path, token, body string) answer {
	b.t.Helper()
	a, err := b.send(b.request(method, path, token, body))
	if err == nil {
		err = a.err
	}
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// want is do for a call whose status is known.
func (b *box) want(status int, method, path, token, body string) answer {
	b.t.Helper()
	a := b.do(method, path, token, body)
	if a.status != status {
		b.t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.status, status, a.raw)
	}
	return a
}

// form posts fields as a form, with HTTP Basic if id is not empty.
func (b *box) form(path, id, secret string, fields url.Values) answer {
	b.t.Helper()
	req := b.request(http.MethodPost, path, "", fields.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	a, err := b.send(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// as returns an access token of a user with every scope.
func (b *box) as(user string) string {
	b.t.Helper()
	return b.issue(user, strings.Fields(allScopes)...).Access
}

func (b *box) issue(user string, scopes ...string) xsim.Token {
	b.t.Helper()
	token, err := b.Issue(xsim.DefaultApp().ClientID, user, scopes)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// seen counts the ledger's entries of a type.
func (b *box) seen(kind string) int {
	n := 0
	for _, e := range b.Ledger() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// last returns the newest entry of a type.
func (b *box) last(kind string) xsim.Entry {
	b.t.Helper()
	entries := b.Ledger()
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Type == kind {
			return entries[i]
		}
	}
	b.t.Fatalf("the ledger has no %s", kind)
	return xsim.Entry{}
}

const allScopes = `tweet.read tweet.write tweet.moderate.write users.read users.email follows.read follows.write
	offline.access space.read mute.read mute.write like.read like.write list.read list.write block.read block.write
	bookmark.read bookmark.write dm.read dm.write media.write broadcast.read broadcast.write timeline.read`
