package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"perch/domain/operator"
)

func TestEachRouteOfOperatorsHasAVerbOfItsOwn(t *testing.T) {
	got := map[string]string{}
	for _, row := range (&Server{}).adminRoutes() {
		if row.guard.role() == "" {
			continue
		}
		verb := verbOf(&row)
		if other := got[verb]; other != "" {
			t.Errorf("%s %s and %s are both %s", row.method, row.path, other, verb)
		}
		got[verb] = row.method + " " + row.path
	}
	for verb, what := range map[string]string{
		"admin.apps.list": "GET /admin/v1/apps", "admin.apps.show": "GET /admin/v1/apps/:id",
		"admin.apps.keys.add": "POST /admin/v1/apps/:id/keys", "admin.keys.end": "DELETE /admin/v1/keys/:id",
		"admin.xapps.change": "PATCH /admin/v1/xapps/:id", "admin.grants.import": "POST /admin/v1/grants/import",
		"admin.operators.me": "GET /admin/v1/operators/me", "admin.operators.rotate": "POST /admin/v1/operators/:id/rotate",
	} {
		if diff := cmp.Diff(what, got[verb]); diff != "" {
			t.Errorf("%s: %s", verb, diff)
		}
	}
}

// operations are the lines of the log that tell of the verb.
func (h *house) operations(verb string) []string {
	var found []string
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, "action="+verb+" ") {
			found = append(found, line)
		}
	}
	return found
}

func TestEveryCallOfOperatorsIsWrittenDown(t *testing.T) {
	h := build(t, plan{})
	id, token := h.hire(operator.Viewer)
	app := string(h.app.ID)
	a := h.as(token, "GET", "/admin/v1/apps/"+app, "")
	h.as(token, "PATCH", "/admin/v1/apps/"+app, `{"name":"x"}`)
	h.as(token, "GET", "/admin/v1/grants?state=active", "")
	h.operator("DELETE", "/admin/v1/grants/"+string(h.grant), "")
	made := h.operator("POST", "/admin/v1/apps", `{"name":"New"}`).json(t)["id"]
	h.operator("POST", "/admin/v1/apps", `{"name":"New","role":"canary"}`)
	h.operator("DELETE", "/admin/v1/operators/"+id, "")
	h.as(token, "GET", "/admin/v1/apps/"+app, "")
	h.as("", "GET", "/admin/v1/xapps", "")
	for verb, wants := range map[string][]string{
		"admin.apps.show": {
			"actor=" + id + " app=" + app + " | outcome=done status=200 | request=" + a.Header.Get(RequestID),
			"outcome=refused status=401 kind=\"not authenticated\"",
		},
		"admin.apps.change":   {"actor=" + id + " app=" + app + " outcome=refused status=403 kind=\"not allowed\" | takes the role operator"},
		"admin.grants.list":   {"actor=" + id + " outcome=done status=200"},
		"admin.grants.end":    {"actor=root grant=" + string(h.grant) + " outcome=done status=204"},
		"admin.apps.add":      {fmt.Sprintf("actor=root app=%v outcome=done status=201", made), "actor=root outcome=refused status=400"},
		"admin.operators.add": {"actor=root target=" + id + " outcome=done status=201"},
		"admin.operators.end": {"actor=root target=" + id + " outcome=done status=204"},
		"admin.xapps.list":    {"outcome=refused status=401"},
	} {
		lines := h.operations(verb)
		if len(lines) != len(wants) {
			t.Errorf("%s is told %d times: %q", verb, len(lines), lines)
			continue
		}
		for i, want := range wants {
			for _, word := range strings.Split(want, " ") {
				if word != "|" && !strings.Contains(lines[i], word) {
					t.Errorf("%s lacks %s: %s", verb, word, lines[i])
				}
			}
			if strings.Contains(lines[i], "status=401 ") && strings.Contains(lines[i], "actor") {
				t.Errorf("somebody unknown has a name: %s", lines[i])
			}
		}
	}
	for _, secret := range []string{token, adminToken, "Zoë"} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

func TestAPanicOfAnOperatorsCallIsWrittenDownAsFailed(t *testing.T) {
	h := build(t, plan{operators: nil})
	broken := &away{broken: true}
	server := NewAdmin(Config{}, h.services, h.server.log)
	row := route{"GET", "/admin/v1/panics", guardViewer, shareNobody, noLimit, problems,
		func(*Server, *request) error { _, err := broken.ByDigest(t.Context(), nil); return err }}
	server.mount([]route{row})
	ln := listenLocal(t)
	run(t, server, ln)
	a := ask(t, "GET", "http://"+ln.Addr().String()+"/admin/v1/panics", "", "Authorization: Bearer "+adminToken)
	if a.StatusCode != http.StatusInternalServerError || strings.Contains(a.body, "canary") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	lines := h.operations("admin.panics.list")
	if len(lines) != 1 || !strings.Contains(lines[0], "outcome=failed status=500") || !strings.Contains(lines[0], "actor=root") {
		t.Errorf("%q", lines)
	}
}

func TestAFloodOfWrongTokensDoesNotFloodTheLog(t *testing.T) {
	h := build(t, plan{})
	const calls = 300
	for i := range calls {
		if a := h.as(fmt.Sprintf("op_CANARY%d", i), "GET", "/admin/v1/apps", ""); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("%d", a.StatusCode)
		}
	}
	h.services.Operators.Close()
	told, summed := h.operations("admin.apps.list"), h.operations("admin.strangers")
	if len(told) != 20 || len(summed) != 1 || !strings.Contains(summed[0], "280 more calls of nobody who is known") {
		t.Errorf("%d lines, %q", len(told), summed)
	}
	if strings.Contains(h.log.String(), "CANARY") {
		t.Error("the log holds what was tried")
	}
	h.operator("GET", "/admin/v1/apps", "")
	if len(h.operations("admin.apps.list")) != 21 {
		t.Error("a good call is not told any more")
	}
}

func TestWhatIsRefusedBeforeARouteIsWrittenDownWithoutAnActor(t *testing.T) {
	h := build(t, plan{})
	good := "Authorization: Bearer " + adminToken
	for _, c := range []struct {
		request, header string
		status          int
		kind            string
	}{
		{"GET /admin/v1/apps", "Origin: https://evil.example", http.StatusForbidden, "not allowed"},
		{"GET /healthz", "Origin: https://evil.example", http.StatusForbidden, "not allowed"},
		{"GET /admin/v1/CANARY", "X-A: b", http.StatusNotFound, "not found"},
		{"PUT /admin/v1/apps/CANARY", "X-A: b", http.StatusMethodNotAllowed, "method not allowed"},
		{"GET /admin/v1//CANARY", "X-A: b", http.StatusBadRequest, "invalid"},
		{"BREW /admin/v1/apps", "X-A: CANARY", http.StatusBadRequest, "invalid"},
		{"GET /admin/v1/apps", "CANARY", http.StatusBadRequest, "invalid"},
	} {
		before := len(h.operations("admin.unknown"))
		got := raw(t, h.admin, c.request+" HTTP/1.1\r\nHost: a\r\n"+good+"\r\n"+c.header+"\r\nConnection: close\r\n\r\n")
		lines := h.operations("admin.unknown")[before:]
		if len(lines) != 1 || !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
			t.Errorf("%s, %s: %.20q, told %q", c.request, c.header, got, lines)
			continue
		}
		for _, word := range []string{"outcome=refused", fmt.Sprintf("status=%d", c.status), c.kind, "address=127.0.0.1", "request=req_"} {
			if !strings.Contains(lines[0], word) {
				t.Errorf("%s, %s lacks %s: %s", c.request, c.header, word, lines[0])
			}
		}
		if strings.Contains(lines[0], "actor") {
			t.Errorf("the token was not looked at: %s", lines[0])
		}
	}
	if strings.Contains(strings.Join(h.operations("admin.unknown"), ""), "CANARY") || strings.Contains(h.log.String(), adminToken) {
		t.Error("the log holds what was sent")
	}
}

func TestProbesAreNotWrittenDown(t *testing.T) {
	h := build(t, plan{})
	for _, path := range []string{"/healthz", "/readyz"} {
		ask(t, "GET", h.admin+path, "")
	}
	ask(t, "GET", h.public+"/nowhere", "")
	if strings.Contains(h.log.String(), "action=admin.") {
		t.Error(h.log.String())
	}
}

func TestAFloodOfRefusalsBeforeARouteDoesNotFloodTheLog(t *testing.T) {
	h := build(t, plan{})
	for range 100 {
		ask(t, "GET", h.admin+"/admin/v1/nothing", "", "Authorization: Bearer "+adminToken)
		ask(t, "GET", h.admin+"/admin/v1/apps", "", "Origin: https://evil.example")
	}
	h.services.Operators.Close()
	told, summed := h.operations("admin.unknown"), h.operations("admin.strangers")
	if len(told) != 20 || len(summed) != 1 || !strings.Contains(summed[0], "180 more calls") {
		t.Errorf("%d lines, %q", len(told), summed)
	}
}
