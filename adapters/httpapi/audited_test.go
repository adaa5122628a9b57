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
			if strings.Contains(lines[i], "401") && strings.Contains(lines[i], "actor") {
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
	if len(told) != 20 || len(summed) != 1 || !strings.Contains(summed[0], "280 more calls without a good token") {
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
