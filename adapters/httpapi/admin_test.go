package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// keys returns the sorted-by-cmp set of names in a document.
func names(m map[string]any) map[string]bool {
	out := map[string]bool{}
	for name := range m {
		out[name] = true
	}
	return out
}

func set(list string) map[string]bool {
	out := map[string]bool{}
	for _, name := range strings.Fields(list) {
		out[name] = true
	}
	return out
}

const (
	appFields = "id name x_app status origins redirect_uris actions scopes cookies dpop limits " +
		"budget_day budget_month grant_budget_day grant_budget_month created_at"
	keyFields   = "id app_id kind name hint grants actions addresses app_only batch created_at expires_at revoked_at last_used_at"
	xappFields  = "id name client_id has_client_secret has_bearer has_api_key created_at from"
	grantFields = "id app_id x_app user scopes state expires_at created_at updated_at"
)

func TestApps(t *testing.T) {
	h := build(t, plan{})
	a := h.operator("POST", "/admin/v1/apps", `{"name":"Two","origins":["https://two.example"]}`)
	app := a.json(t)
	if diff := cmp.Diff(set(appFields), names(app)); a.StatusCode != http.StatusCreated || diff != "" {
		t.Fatalf("%d %s", a.StatusCode, diff)
	}
	if !strings.Contains(a.body, `"redirect_uris":[]`) || !strings.Contains(a.body, `"tweet.write"`) {
		t.Errorf("empty lists: %s", a.body)
	}
	path := "/admin/v1/apps/" + app["id"].(string)
	a = h.operator("PATCH", path, `{"status":"suspended","origins":[]}`)
	if m := a.json(t); m["status"] != "suspended" || m["name"] != "Two" || len(m["origins"].([]any)) != 0 {
		t.Errorf("PATCH: %s", a.body)
	}
	if m := h.operator("PATCH", path, `{"cookies":true}`).json(t); m["cookies"] != true || m["dpop"] != false || m["status"] != "suspended" {
		t.Errorf("cookie mode: %v", m)
	}
	if m := h.operator("PATCH", path, `{"cookies":false,"dpop":true}`).json(t); m["cookies"] != false || m["dpop"] != true {
		t.Errorf("DPoP: %v", m)
	}
	if a := h.operator("GET", path, ""); a.json(t)["status"] != "suspended" {
		t.Errorf("GET: %s", a.body)
	}
	for body, says := range map[string]string{
		`{"name":"x","role":"admin"}`:     `\"role\"`,
		`{"name":1}`:                      `\"name\"`,
		`{"name":"x"} {}`:                 "follows",
		`{"name":"x","x_app":"nope"}`:     "nope",
		`{"name":"x","origins":["*"]}`:    "origin",
		`{"name":"x","origins":["null"]}`: "origin",
		`{"name":"x","cookies":true,"origins":["https://*.example"]}`: "origin",
		`{"name":"x","cookies":true,"dpop":true}`:                     "exclude each other",
		`{"name":"x","budget_day":"-5"}`:                              "US dollars",
		`{"name":"x","grant_budget_month":"a lot"}`:                   `"field":"grant_budget_month"`,
		`{"name":"x","budget_day":5}`:                                 `the field \"budget_day\" must be text in quotes`,
		`{"name":"x","actions":["whatever"]}`:                         "whatever",
		`[]`:                                                          "JSON", ``: "JSON", `{`: "JSON",
	} {
		a := h.operator("POST", "/admin/v1/apps", body)
		if a.StatusCode/100 != 4 || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	if a := h.operator("PATCH", path, `{"x_app":"default"}`); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the X App of an application was changed: %d", a.StatusCode)
	}
	if a := h.operator("GET", "/admin/v1/apps/nope", ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("unknown application: %d", a.StatusCode)
	}
	a = ask(t, "POST", h.admin+"/admin/v1/apps", `{"name":"x"}`, "Authorization: Bearer "+adminToken, "Content-Type: text/plain")
	if a.StatusCode != http.StatusBadRequest {
		t.Errorf("text/plain: %d", a.StatusCode)
	}
}

func TestAnApplicationHasLimitsOfItsOwn(t *testing.T) {
	h := build(t, plan{})
	path := "/admin/v1/apps/" + string(h.app.ID)
	for _, step := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"limits":["key:10/s","app/write:100/15m"]}`, 200, `"limits":["key:10/s","app/write:100/15m"]`},
		{`{"limits":["often"]}`, 400, "app:6000/m"},
		{`{"limits":"key:10/s"}`, 400, "list in brackets"},
		{`{"name":"Three"}`, 200, `"limits":["key:10/s","app/write:100/15m"]`},
		{`{"limits":[]}`, 200, `"limits":[]`},
	} {
		if a := h.operator("PATCH", path, step.body); a.StatusCode != step.status || !strings.Contains(a.body, step.says) {
			t.Errorf("%s: %d %s", step.body, a.StatusCode, a.body)
		}
	}
	if a := h.operator("POST", "/admin/v1/apps", `{"name":"Four","limits":["app:5/m"]}`); !strings.Contains(a.body, `"limits":["app:5/m"]`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestAnApplicationsBudgetsAreInDollars(t *testing.T) {
	h := build(t, plan{})
	a := h.operator("POST", "/admin/v1/apps", `{"name":"Two","budget_day":"5","grant_budget_month":"0.5"}`)
	app := a.json(t)
	path := "/admin/v1/apps/" + app["id"].(string)
	say := func(app map[string]any) string {
		return fmt.Sprint(app["budget_day"], " ", app["budget_month"], " ", app["grant_budget_day"], " ", app["grant_budget_month"])
	}
	if got := say(app); got != "5.00 <nil> <nil> 0.50" {
		t.Errorf("made with: %s", got)
	}
	if got := say(h.operator("PATCH", path, `{"budget_month":"12.5","budget_day":"0"}`).json(t)); got != "<nil> 12.50 <nil> 0.50" {
		t.Errorf("changed to: %s", got)
	}
	if a := h.operator("PATCH", path, `{"grant_budget_day":"1,5"}`); a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, "US dollars") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if got := say(h.operator("GET", path, "").json(t)); got != "<nil> 12.50 <nil> 0.50" {
		t.Errorf("after a refused change: %s", got)
	}
}

func TestPages(t *testing.T) {
	h := build(t, plan{})
	for i := range 4 {
		h.operator("POST", "/admin/v1/apps", fmt.Sprintf(`{"name":"App %d"}`, i))
	}
	seen := map[string]bool{}
	after, pieces := "", 0
	for {
		m := h.operator("GET", "/admin/v1/apps?limit=2&after="+after, "").json(t)
		pieces++
		for _, one := range m["data"].([]any) {
			seen[one.(map[string]any)["id"].(string)] = true
		}
		next, more := m["next"].(string)
		if !more {
			break
		}
		after = next
	}
	if len(seen) != 5 || pieces != 3 {
		t.Errorf("%d applications in %d pages", len(seen), pieces)
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "limit=-1", "limit=1&limit=2", "sort=x", "after=%zz"} {
		if a := h.operator("GET", "/admin/v1/apps?"+query, ""); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", query, a.StatusCode)
		}
	}
}

func TestXApps(t *testing.T) {
	h := build(t, plan{})
	a := h.operator("POST", "/admin/v1/xapps", `{"id":"alpha","name":"Alpha","client_id":"c",`+
		`"client_secret":"canary-secret","bearer":"canary-bearer","api_key":"k","api_secret":"canary-api"}`)
	m := a.json(t)
	if diff := cmp.Diff(set(xappFields), names(m)); a.StatusCode != http.StatusCreated || diff != "" {
		t.Fatalf("%d %s", a.StatusCode, diff)
	}
	if m["has_client_secret"] != true || m["has_bearer"] != true || m["has_api_key"] != true || m["from"] != "store" {
		t.Errorf("%s", a.body)
	}
	first := h.operator("GET", "/admin/v1/xapps?limit=1", "").json(t)
	second := h.operator("GET", "/admin/v1/xapps?limit=1&after="+first["next"].(string), "")
	if one := first["data"].([]any)[0].(map[string]any); one["id"] != "default" || one["from"] != "settings" ||
		one["has_client_secret"] != true {
		t.Errorf("first: %v", first)
	}
	if !strings.Contains(second.body, `"alpha"`) || strings.Contains(second.body, "next") ||
		strings.Contains(second.body, "canary") {
		t.Errorf("second: %s", second.body)
	}
	changeXApp(t, h)
	if a := h.operator("DELETE", "/admin/v1/xapps/alpha", ""); a.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE: %d", a.StatusCode)
	}
	if a := h.operator("DELETE", "/admin/v1/xapps/default", ""); a.StatusCode != http.StatusConflict {
		t.Errorf("DELETE default: %d", a.StatusCode)
	}
}

// changeXApp changes what TestXApps has added.
func changeXApp(t *testing.T, h *house) {
	t.Helper()
	const path = "/admin/v1/xapps/alpha"
	a := h.operator("PATCH", path, `{"name":"Beta","bearer":"","client_secret":"canary-new"}`)
	m := a.json(t)
	if diff := cmp.Diff(set(xappFields), names(m)); a.StatusCode != http.StatusOK || diff != "" ||
		m["name"] != "Beta" || m["client_id"] != "c" || m["has_bearer"] != false || m["has_api_key"] != true ||
		strings.Contains(a.body, "canary") {
		t.Errorf("PATCH: %d %s %s", a.StatusCode, a.body, diff)
	}
	for body, status := range map[string]int{
		`{"client_id":"other"}`: http.StatusBadRequest, `{"id":"other"}`: http.StatusBadRequest,
		`{"api_key":"k2"}`: http.StatusBadRequest, `{"client_secret":"a b"}`: http.StatusBadRequest, `{}`: http.StatusOK,
	} {
		if a := h.operator("PATCH", path, body); a.StatusCode != status {
			t.Errorf("PATCH %s: %d %s", body, a.StatusCode, a.body)
		}
	}
	if a := h.operator("PATCH", "/admin/v1/xapps/nope", `{}`); a.StatusCode != http.StatusNotFound {
		t.Errorf("PATCH of none: %d", a.StatusCode)
	}
	if a := h.operator("PATCH", "/admin/v1/xapps/default", `{}`); a.StatusCode != http.StatusConflict {
		t.Errorf("PATCH default: %d", a.StatusCode)
	}
}

func TestAdminGrants(t *testing.T) {
	h := build(t, plan{})
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	a := h.operator("POST", "/admin/v1/grants/import", fmt.Sprintf(`{"app_id":%q,"user_id":"42","username":"zoe",`+
		`"name":"Zoë","access_token":"canary-access","refresh_token":"canary-refresh","scope":"users.read tweet.read",`+
		`"expires_at":%q}`, h.app.ID, soon))
	m := a.json(t)
	if diff := cmp.Diff(set(grantFields), names(m)); a.StatusCode != http.StatusCreated || diff != "" {
		t.Fatalf("%d %s %s", a.StatusCode, diff, a.body)
	}
	want := map[string]any{"id": "42", "username": "zoe", "name": "Zoë"}
	if diff := cmp.Diff(want, m["user"]); diff != "" || m["state"] != "active" || m["x_app"] != "default" {
		t.Errorf("%s %s", diff, a.body)
	}
	list := h.operator("GET", "/admin/v1/grants?app="+string(h.app.ID), "")
	if len(list.json(t)["data"].([]any)) != 2 || strings.Contains(list.body, "canary") {
		t.Errorf("list: %s", list.body)
	}
	for state, n := range map[string]int{"active": 2, "suspect": 0, "revoked": 0} {
		a := h.operator("GET", "/admin/v1/grants?state="+state, "")
		if data, ok := a.json(t)["data"].([]any); !ok || len(data) != n {
			t.Errorf("%s: %s", state, a.body)
		}
	}
	seen, after := 0, ""
	for range 2 { // a page of those that are left out is empty and leads on
		m := h.operator("GET", "/admin/v1/grants?state=revoked&limit=1&after="+after, "").json(t)
		after, _ = m["next"].(string)
		seen += len(m["data"].([]any))
	}
	if a := h.operator("GET", "/admin/v1/grants?state=good", ""); seen != 0 || after != "" || a.StatusCode != http.StatusBadRequest ||
		!strings.Contains(a.body, "active, suspect, revoked") {
		t.Errorf("%d seen, %q, %s", seen, after, a.body)
	}
	if a := h.operator("GET", "/admin/v1/grants?app=nope", ""); a.body != `{"data":[]}`+"\n" {
		t.Errorf("none: %s", a.body)
	}
	if a := h.operator("DELETE", "/admin/v1/grants/"+string(h.grant), ""); a.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE: %d %s", a.StatusCode, a.body)
	}
	if a := h.act("GET", "/2/users/me", ""); a.StatusCode != http.StatusForbidden {
		t.Errorf("after the grant was revoked: %d", a.StatusCode)
	}
	for body, says := range map[string]string{
		`{}`: "app_id", `{"app_id":"nope"}`: "nope", fmt.Sprintf(`{"app_id":%q}`, h.app.ID): "access_token",
		fmt.Sprintf(`{"app_id":%q,"access_token":"a","user_id":"1","scope":"a\"b"}`, h.app.ID):                  "scope",
		fmt.Sprintf(`{"app_id":%q,"access_token":"a","user_id":"1","scope":"a","expires_at":"soon"}`, h.app.ID): "2026-01-02T03:04:05Z",
		fmt.Sprintf(`{"app_id":%q,"access_token":"a","user_id":"1","scope":"a","expires_at":7}`, h.app.ID):      "2026-01-02T03:04:05Z",
		fmt.Sprintf(`{"app_id":%q,"access_token":"a","user_id":"1","scope":"a","expires_in":"7"}`, h.app.ID):    "must be a whole number",
		fmt.Sprintf(`{"app_id":%q,"access_token":"a","user_id":"1","scope":"a","expires_in":-1}`, h.app.ID):     "seconds from now",
		fmt.Sprintf(`{"app_id":%q,"access_token":"a","user_id":"1","scope":"a","expires_in":1,`+
			`"expires_at":"2026-01-02T03:04:05Z"}`, h.app.ID): "keep one",
	} {
		if a := h.operator("POST", "/admin/v1/grants/import", body); a.StatusCode/100 != 4 || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
}

func TestImportTakesXsOwnTokenReply(t *testing.T) {
	h := build(t, plan{})
	body := func(more string) string {
		return fmt.Sprintf(`{"app_id":%q,"user_id":"42","token_type":"bearer","expires_in":7200,`+
			`"access_token":"canary","scope":"users.read tweet.read"%s}`, h.app.ID, more)
	}
	a := h.operator("POST", "/admin/v1/grants/import", body(""))
	at, err := time.Parse(time.RFC3339, fmt.Sprint(a.json(t)["expires_at"]))
	if left := time.Until(at); err != nil || a.StatusCode != http.StatusCreated || left > 2*time.Hour || left < 119*time.Minute {
		t.Fatalf("%d %s %v", a.StatusCode, a.body, err)
	}
	id := a.json(t)["id"]
	a = h.operator("POST", "/admin/v1/grants/import", body(""))
	if a.StatusCode != http.StatusConflict || a.json(t)["type"] != "urn:perch:problem:grant-exists" {
		t.Errorf("again: %d %s", a.StatusCode, a.body)
	}
	a = h.operator("POST", "/admin/v1/grants/import", body(`,"replace":true`))
	if a.StatusCode != http.StatusCreated || a.json(t)["id"] != id {
		t.Errorf("in its place: %d %s", a.StatusCode, a.body)
	}
}
