package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/quota"
)

func TestEveryKindHasAForm(t *testing.T) {
	seen := map[int]bool{}
	for _, k := range fault.Kinds() {
		f, ok := forms[k]
		if !ok || f.status < 400 || f.slug == "" || f.title == "" || seen[f.status] {
			t.Errorf("%v: %+v", k, f)
		}
		seen[f.status] = true
	}
}

func TestProblems(t *testing.T) {
	because := errors.New("secret cause")
	for name, c := range map[string]struct {
		err  error
		want map[string]any
	}{
		"a stranger says nothing": {because, map[string]any{
			"type": "urn:perch:problem:internal", "title": "Something went wrong inside Perch", "status": 500,
			"detail": internalDetail, "instance": "req_1",
		}},
		"internal shows no members": {fault.New(fault.Internal, "leak").With("table", "x").Because(because), map[string]any{
			"type": "urn:perch:problem:internal", "title": "Something went wrong inside Perch", "status": 500,
			"detail": internalDetail, "instance": "req_1",
		}},
		"members are added": {fault.New(fault.Forbidden, "say").Named("insufficient-scope").With("missing_scope", "a b"),
			map[string]any{
				"type": "urn:perch:problem:insufficient-scope", "title": "Not allowed", "status": 403,
				"detail": "say", "instance": "req_1", "missing_scope": "a b",
			}},
		"members cannot replace": {fault.New(fault.NotFound, "say").With("status", "200").Because(because), map[string]any{
			"type": "urn:perch:problem:not-found", "title": "Not found", "status": 404, "detail": "say", "instance": "req_1",
		}},
		"a bare kind": {fault.Unavailable, map[string]any{
			"type": "urn:perch:problem:unavailable", "title": "Unavailable", "status": 503,
			"detail": "Unavailable", "instance": "req_1",
		}},
		"a status of its own": {fault.New(fault.Invalid, "say").Named(slowBody), map[string]any{
			"type": "urn:perch:problem:slow-request", "title": "Request timeout", "status": 408,
			"detail": "say", "instance": "req_1",
		}},
	} {
		if diff := cmp.Diff(c.want, problemOf(c.err).members("req_1")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := roundUp(1001 * time.Millisecond); got != 2 {
		t.Errorf("1.001 s is %d s", got)
	}
}

func TestProblemsOnTheWire(t *testing.T) {
	h := build(t, plan{limit: quota.Limit{Max: 2, Window: time.Minute}})
	for name, c := range map[string]struct {
		got    answer
		status int
		slug   string
		header string // that must be there
	}{
		"no credential":        {ask(t, "GET", h.public+"/2/users/me", ""), 401, "no-credential", "WWW-Authenticate"},
		"unknown path":         {ask(t, "GET", h.public+"/3/x", ""), 404, "no-such-path", ""},
		"unknown action":       {ask(t, "GET", h.public+"/2/nothing", ""), 404, "no-such-action", ""},
		"wrong method":         {ask(t, "PUT", h.public+"/2/tweets", ""), 405, "method-not-allowed", "Allow"},
		"wrong method of ours": {ask(t, "PUT", h.public+"/v1/grants", ""), 405, "method-not-allowed", "Allow"},
		"unknown grant":        {ask(t, "GET", h.public+"/v1/grants/x", "", "Authorization: Bearer "+h.sk), 404, "no-such-grant", ""},
		"too large":            {h.act("POST", "/2/tweets", strings.Repeat(" ", jsonLimit+1)), 413, "too-large", ""},
	} {
		m := c.got.json(t)
		if c.got.StatusCode != c.status || m["type"] != typePrefix+c.slug || m["status"] != float64(c.status) ||
			c.got.Header.Get("Content-Type") != problemJSON || m["instance"] != c.got.Header.Get(RequestID) {
			t.Errorf("%s: %d %v", name, c.got.StatusCode, m)
		}
		if c.header != "" && c.got.Header.Get(c.header) == "" {
			t.Errorf("%s: no %s", name, c.header)
		}
	}
	h.act("GET", "/2/users/me", "")
	h.act("GET", "/2/users/me", "")
	a := h.act("GET", "/2/users/me", "")
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("limited: %d %v", a.StatusCode, a.Header)
	}
}

func TestCommonHeaders(t *testing.T) {
	h := build(t, plan{})
	for _, a := range []answer{
		ask(t, "GET", h.public+"/healthz", ""), ask(t, "GET", h.public+"/nothing", ""), h.act("GET", "/2/users/me", ""),
		ask(t, "GET", h.public+"/2/../x", ""), h.operator("GET", "/admin/v1/apps", ""),
	} {
		for name, want := range map[string]string{
			"Vary": "Origin", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", a.Request.URL.Path, name, got)
			}
		}
		if !strings.HasPrefix(a.Header.Get(RequestID), "req_") {
			t.Errorf("%s: no request ID", a.Request.URL.Path)
		}
	}
}

// TestPanicSaysNothing makes a handler fall over.
func TestPanicSaysNothing(t *testing.T) {
	h := build(t, plan{})
	s := newServer(Config{}, h.services, h.server.log)
	s.mount([]route{{"GET", "/x", guardAnyone, shareNobody, noLimit, problems, func(*Server, *request) error {
		panic("canary-of-a-panic")
	}}, {"GET", "/y", guardAnyone, shareNobody, noLimit, problems, func(*Server, *request) error {
		return errors.Join(io.ErrNoProgress, errors.New("canary-of-a-driver"))
	}}})
	ln := listenLocal(t)
	run(t, s, ln)
	for _, path := range []string{"/x", "/y"} {
		a := ask(t, "GET", "http://"+ln.Addr().String()+path, "")
		if a.StatusCode != http.StatusInternalServerError || strings.Contains(a.body, "canary") {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	if log := h.log.String(); strings.Count(log, "canary-of-a-panic") != 1 || strings.Count(log, "canary-of-a-driver") != 1 {
		t.Errorf("the log should have each cause once: %s", log)
	}
}
