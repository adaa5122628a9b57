package wiring_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to hold the lock of a house's database

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
)

// An eavesdropper writes down every reply of a house's doors, whole, under the
// request it answers.
type eavesdropper struct {
	next  http.RoundTripper
	doors []string

	mu    sync.Mutex
	heard papers
}

func (e *eavesdropper) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := e.next.RoundTrip(r)
	if err != nil || !slices.Contains(e.doors, "http://"+r.URL.Host) {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	var text bytes.Buffer
	_ = res.Header.Write(&text)
	text.Write(body)
	e.mu.Lock()
	defer e.mu.Unlock()
	place := fmt.Sprintf("the reply to %s %s, %d", r.Method, r.URL.Path, res.StatusCode)
	e.heard[place] = append(e.heard[place], text.Bytes()...)
	return res, err
}

// meantFor says which secrets are told to whom: they are what was asked for.
var meantFor = []struct{ what, place string }{
	{"secret key", "the reply to POST /admin/v1/apps/"},
	{"token of an operator", "the reply to POST /admin/v1/operators, 201"},
	{"session cookie", "the reply to GET /oauth/callback, 302"},
	{"access token of Perch", "the reply to POST /oauth/token, 200"},
	{"refresh token of Perch", "the reply to POST /oauth/token, 200"},
	{"code of Perch", "the reply to GET /oauth/callback, 302"},
	{"cookie of a sign-in", "the reply to GET /oauth/authorize, 302"},
	{"state at X", "the reply to GET /oauth/authorize, 302"},
	{"state at X", "the reply to GET /v1/session/sign-in, 302"},
}

func meant(found string) bool {
	return slices.ContainsFunc(meantFor, func(m struct{ what, place string }) bool {
		return strings.HasPrefix(found, m.what+" ") && strings.Contains(found, " in "+m.place)
	})
}

// A suspect is a house whose every word is looked at, and what it must not say.
// A new surface joins by adding what it shows to said.
type suspect struct {
	*house
	x       *xsim.Sim
	line    *tap
	spy     *eavesdropper
	secrets secrets
	app     tenant
	grant   string
	held    session
	viewer  string // token of an operator
}

func newSuspect(t *testing.T, e environment) (s *suspect, xDown func()) {
	t.Helper()
	x := xsim.New(xsim.Options{Apps: []xsim.App{xsim.DefaultApp(), second()}})
	line := &tap{x: x}
	at, xDown := serveX(t, line)
	s = &suspect{house: open(t, settings(t, e, at)), x: x, line: line, secrets: secrets{}}
	s.spy = &eavesdropper{next: s.client.Transport, doors: []string{s.public, s.admin}, heard: papers{}}
	s.client.Transport = s.spy
	s.secrets.add("operators' token", adminToken)
	s.secrets.add("client secret of X", second().ClientSecret)
	s.secrets.add("API secret of X", second().APISecret)
	s.app = s.register(t, pageA, "")
	s.secrets.add("secret key", s.app.sk)
	other := s.register(t, pageB, own(t, s.house))
	s.secrets.add("secret key", other.sk)
	imported := issue(t, x, second().ClientID, grace)
	s.secrets.add("access token of X", imported.Access)
	s.secrets.add("refresh token of X", imported.Refresh)
	s.adopt(t, other, grace, imported, time.Now().Add(time.Hour))
	s.viewer = s.operator(t, http.StatusCreated, "POST", "/admin/v1/operators", object{"name": "Zoë", "role": "viewer"}).text("token")
	s.secrets.add("token of an operator", s.viewer)
	s.inACookie(t, other)
	v := s.visit(t, s.app)
	s.secrets.add("verifier", v.verifier)
	code := v.code(t, ada)
	s.secrets.add("code of Perch", code)
	s.held = sessionOf(t, v.exchange(t, code))
	s.grant = s.held.grant
	again := s.visit(t, s.app)
	s.hold(sessionOf(t, v.refresh(t, s.held.refresh)))
	s.hold(s.held)
	again.decide(t, grace, "approve")
	for _, c := range again.cookies(t) {
		s.secrets.add("cookie of a sign-in", c.Value)
	}
	return s, xDown
}

// inACookie signs a browser in that holds its session in a cookie, and calls
// with it as its page and as another.
func (s *suspect) inACookie(t *testing.T, app tenant) {
	t.Helper()
	v := s.visit(t, app)
	v.hold(t, ada)
	for _, c := range v.cookies(t) {
		s.secrets.add("session cookie", c.Value)
	}
	want(t, http.StatusOK, v.held(t, app.origin, "GET", "/v1/session", ""), v.held(t, app.origin, "GET", "/2/users/me", ""))
	want(t, http.StatusForbidden, v.held(t, "https://evil.example", "POST", "/2/tweets", `{"text":"no"}`))
}

func (s *suspect) hold(held session) { s.secrets.hold(held) }

// said is all that the house has said so far, by where.
func (s *suspect) said() papers {
	s.line.into(s.secrets)
	s.spy.mu.Lock()
	defer s.spy.mu.Unlock()
	all := maps.Clone(s.spy.heard)
	all["the log"] = s.log.bytes()
	return all
}

// leaks returns what was found where it may not be.
func (s *suspect) leaks() []string {
	return slices.DeleteFunc(s.said().find(s.secrets), meant)
}

// everyCall sends each secret to each route, wherever a mistaken or hostile
// client could put it.
func (s *suspect) everyCall(t *testing.T) {
	t.Helper()
	carried := []string{s.app.sk, s.held.access, adminToken, s.viewer}
	for _, route := range []string{
		"GET /2/users/me", "POST /2/tweets", "GET /2/nowhere", "GET /v1/grants", "GET /v1/grants/x", "DELETE /v1/grants/x",
		"POST /oauth/token", "POST /oauth/revoke", "GET /oauth/authorize", "GET /oauth/callback", "GET /oauth/jwks",
		"GET /.well-known/oauth-authorization-server", "GET /healthz", "GET /readyz", "OPTIONS /2/tweets", "BREW /2/tweets",
		"GET /admin/v1/apps", "POST /admin/v1/apps", "GET /admin/v1/apps/x", "PATCH /admin/v1/apps/" + s.app.id,
		"GET /admin/v1/apps/" + s.app.id + "/keys", "POST /admin/v1/apps/" + s.app.id + "/keys", "DELETE /admin/v1/keys/x",
		"GET /admin/v1/xapps", "POST /admin/v1/xapps", "PATCH /admin/v1/xapps/second", "GET /admin/v1/grants",
		"GET /admin/v1/operators", "POST /admin/v1/operators", "GET /v1/session", "GET /v1/session/sign-in",
		"POST /admin/v1/grants/import", "DELETE /admin/v1/grants/x", "GET /metrics", "GET /debug/pprof/",
	} {
		method, path, _ := strings.Cut(route, " ")
		door := s.public
		if strings.HasPrefix(path, "/admin") {
			door = s.admin
		}
		for _, secret := range carried {
			s.carry(t, method, door+path, secret)
		}
	}
}

// carry sends one secret in many places.
func (s *suspect) carry(t *testing.T, method, at, secret string) {
	t.Helper()
	form, js := "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/json"
	for _, v := range []struct {
		at, body string
		headers  []string
	}{
		{at, "", []string{"Authorization: Bearer " + secret}},
		{at, "", []string{"Authorization: Bearer " + secret, "Origin: https://evil.example"}},
		{at, "", []string{"Authorization: Basic " + secret}},
		{at, "", []string{"Authorization: " + secret}},
		{at, "", []string{"Authorization: DPoP " + secret, "DPoP: " + secret}},
		{at, "", []string{"Cookie: __Host-perch=" + secret + "; perch=" + secret, "X-Csrf-Token: " + secret}},
		{at, "", []string{"Authorization: Bearer " + s.app.sk, "Perch-Grant: " + secret, "Idempotency-Key: " + secret}},
		{at + "?access_token=" + secret + "&code=" + secret + "&state=" + secret, "", nil},
		{at + "?client_id=" + secret + "&redirect_uri=" + secret, "", nil},
		{at, `{"text":"` + secret + `","token":"` + secret + `"}`, []string{"Authorization: Bearer " + adminToken, js}},
		{at, `{"name":["` + secret + `"]}`, []string{"Authorization: Bearer " + adminToken, js}},
		{at, `{"access_token":"` + secret + `","expires_in":"` + secret + `","app_id":"x"}`, []string{"Authorization: Bearer " + adminToken, js}},
		{at, "client_id=" + s.app.pk + "&grant_type=" + secret + "&token=" + secret, []string{form}},
		{at, "client_id=" + secret + "&client_secret=" + secret + "&grant_type=refresh_token&refresh_token=" + secret, []string{form}},
		{at, `{"client_id":"` + s.app.pk + `","grant_type":"authorization_code","code":"` + secret + `","redirect_uri":"` + secret + `","code_verifier":"` + secret + `"}`, []string{js}},
	} {
		_ = send(t, s.client, method, v.at, v.body, v.headers...)
	}
}

// trouble goes through what can go wrong with X, and with people.
func (s *suspect) trouble(t *testing.T) {
	t.Helper()
	stage := stageOfTrouble{house: s.house, x: s.x, app: s.app}
	for _, v := range troubles() {
		v.happens(t, stage)
	}
	for _, kind := range xsim.Kinds() {
		s.mischief(t, "/2/", kind)
	}
	for _, kind := range []string{"html", "torn", "wrong_length", "empty_refresh", "refused"} {
		s.mischief(t, "token", kind)
	}
}

// mischief lets X misbehave once where match says, with a grant that has to be
// refreshed and a user who signs in.
func (s *suspect) mischief(t *testing.T, match, kind string) {
	t.Helper()
	rule := xsim.Mischief{Match: match, Kind: kind, Status: http.StatusBadGateway, Delay: 10 * time.Millisecond, Bytes: 5, Times: 1}
	token := issue(t, s.x, xsim.DefaultApp().ClientID, grace)
	s.secrets.add("access token of X", token.Access)
	s.secrets.add("refresh token of X", token.Refresh)
	expires, calls := time.Now().Add(time.Hour), []string{"GET /2/users/me", "POST /2/tweets", "GET /2/usage/tweets"}
	if match == "token" { // one call, for a second would wait until it is known what became of the first
		expires, calls = time.Now().Add(-time.Minute), calls[:1]
	}
	grant := s.adopt(t, s.app, grace, token, expires)
	for _, call := range calls {
		method, path, _ := strings.Cut(call, " ")
		s.x.ClearMischief()
		s.x.Mischief(rule)
		s.act(t, s.app.sk, grant, method, path, `{"text":"hi"}`)
	}
	v := s.visit(t, s.app)
	back := v.decide(t, ada, "approve")
	for _, c := range v.cookies(t) {
		s.secrets.add("cookie of a sign-in", c.Value)
	}
	s.x.ClearMischief()
	s.x.Mischief(rule)
	_ = send(t, v.client, "GET", v.at(back), "")
	s.x.ClearMischief()
}

// storeDown makes calls while the database is locked by somebody else.
func (s *suspect) storeDown(t *testing.T) {
	t.Helper()
	kind, at := config.Backend(s.cfg.Store)
	if kind != "sqlite" {
		return // memory does not fail; adapters/httpapi makes it
	}
	db, err := sql.Open("sqlite", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"PRAGMA busy_timeout = 60000", "BEGIN IMMEDIATE"} { // the house may be writing
		if _, err := c.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	a := send(t, s.client, "POST", s.admin+"/admin/v1/xapps", jsonOf(t, object{
		"id": "third", "name": "n", "client_id": "c", "client_secret": second().ClientSecret,
	}), "Authorization: Bearer "+adminToken, "Content-Type: application/json")
	want(t, http.StatusServiceUnavailable, a)
	_ = s.visit(t, s.app).refresh(t, s.held.refresh)
	_, err = c.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
	if err != nil {
		t.Error(err)
	}
}

// TestNoSecretIsInAnyReplyOrLog lets a house go through good and bad days with
// its log at its most talkative, and looks for every secret in all it has said.
func TestNoSecretIsInAnyReplyOrLog(t *testing.T) {
	for _, e := range environments()[:2] { // what databases hold is looked into elsewhere
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s, xDown := newSuspect(t, e)
			s.everyCall(t)
			s.trouble(t)
			s.storeDown(t)
			xDown()
			_ = s.act(t, s.app.sk, s.grant, "POST", "/2/tweets", `{"text":"hi"}`)
			eventually(t, "the house is ready again", func() bool {
				return ask(t, s.client, "GET", s.admin+"/readyz", "").status == http.StatusOK
			})
			said := s.said()
			found := said.find(s.secrets)
			for _, where := range found {
				if !meant(where) {
					t.Error(where)
				}
			}
			if len(s.secrets) < 60 || len(said) < 60 || len(said["the log"]) < 10_000 {
				t.Errorf("%d secrets were looked for in %d places and %d bytes of log", len(s.secrets), len(said), len(said["the log"]))
			}
			// What may be told is found where it is told, so the search does search.
			for _, m := range meantFor {
				if !slices.ContainsFunc(found, func(f string) bool {
					return strings.HasPrefix(f, m.what+" ") && strings.Contains(f, " in "+m.place)
				}) {
					t.Errorf("a %s is not found in %s", m.what, m.place)
				}
			}
			s.operator(t, http.StatusCreated, "POST", "/admin/v1/apps", object{"name": "planted " + s.held.refresh})
			_, _ = fmt.Fprintf(s.log, "planted %x\n", s.app.sk)
			if n := len(s.leaks()); n != 2 {
				t.Errorf("two secrets were planted and %d were found", n)
			}
		})
	}
}
