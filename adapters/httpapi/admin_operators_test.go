package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/operator"
	"perch/ports"
)

const operatorFields = "id name role hint created_at expires_at revoked_at last_used_at"

// hire adds an operator with the role, and returns the ID and the token.
func (h *house) hire(role operator.Role) (id, token string) {
	h.t.Helper()
	a := h.operator("POST", "/admin/v1/operators", fmt.Sprintf(`{"name":"Zoë","role":%q}`, role))
	m := a.json(h.t)
	if a.StatusCode != http.StatusCreated {
		h.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return m["id"].(string), m["token"].(string)
}

// as asks the admin door with the token.
func (h *house) as(token, method, path, body string) answer {
	h.t.Helper()
	return ask(h.t, method, h.admin+path, body, "Authorization: Bearer "+token, "Content-Type: application/json")
}

func TestOperatorsAreMadeShownChangedAndRevoked(t *testing.T) {
	h := build(t, plan{})
	a := h.operator("POST", "/admin/v1/operators", `{"name":"Zoë","role":"operator","expires_at":"2099-01-02T03:04:05Z"}`)
	made := a.json(t)
	if diff := cmp.Diff(set(operatorFields+" token"), names(made)); a.StatusCode != http.StatusCreated || diff != "" {
		t.Fatalf("%d %s %s", a.StatusCode, a.body, diff)
	}
	token, path := made["token"].(string), "/admin/v1/operators/"+made["id"].(string)
	if !strings.HasPrefix(token, "op_") || len(token) != 29 || made["expires_at"] != "2099-01-02T03:04:05Z" {
		t.Errorf("%s", a.body)
	}
	for _, where := range []string{path, "/admin/v1/operators/me", "/admin/v1/operators"} {
		a := h.as(token, "GET", where, "")
		if a.StatusCode != http.StatusOK || strings.Contains(a.body, token) || !strings.Contains(a.body, `"role":"operator"`) {
			t.Errorf("%s: %d %s", where, a.StatusCode, a.body)
		}
	}
	a = h.operator("PATCH", path, `{"name":"Zoe","role":"viewer","expires_at":null}`)
	if m := a.json(t); m["name"] != "Zoe" || m["role"] != "viewer" || m["expires_at"] != nil {
		t.Errorf("PATCH: %s", a.body)
	}
	if a := h.as(token, "POST", "/admin/v1/apps", `{"name":"x"}`); a.StatusCode != http.StatusForbidden {
		t.Errorf("with the narrower role: %d", a.StatusCode)
	}
	for range 2 {
		if a := h.operator("DELETE", path, ""); a.StatusCode != http.StatusNoContent || a.body != "" {
			t.Errorf("DELETE: %d %s", a.StatusCode, a.body)
		}
	}
	if a := h.as(token, "GET", "/admin/v1/operators/me", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the revoked token: %d", a.StatusCode)
	}
	if a := h.operator("PATCH", path, `{"role":"owner"}`); a.StatusCode != http.StatusConflict {
		t.Errorf("PATCH of a revoked one: %d %s", a.StatusCode, a.body)
	}
	a = h.operator("GET", "/admin/v1/operators/me", "")
	if m := a.json(t); m["id"] != "root" || m["role"] != "owner" {
		t.Errorf("the founding token: %s", a.body)
	}
}

func TestWhatNoOperatorCanBeIsRefused(t *testing.T) {
	h := build(t, plan{})
	id, _ := h.hire(operator.Viewer)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "", `{"name":"x","role":"root"}`, 400},
		{"POST", "", `{"name":"x"}`, 400},
		{"POST", "", `{"name":" ","role":"viewer"}`, 400},
		{"POST", "", `{"name":"a\u0007","role":"viewer"}`, 400},
		{"POST", "", `{"name":"x","role":"viewer","token":"op_mine"}`, 400},
		{"POST", "", `{"name":"x","role":"viewer","id":"root"}`, 400},
		{"POST", "", `{"name":"x","role":"viewer","expires_at":"2020-01-01T00:00:00Z"}`, 400},
		{"POST", "", `{"name":"x","role":"viewer","expires_at":"soon"}`, 400},
		{"PATCH", "/" + id, `{"expires_at":7}`, 400},
		{"PATCH", "/" + id, `{"role":"Owner"}`, 400},
		{"PATCH", "/" + id, `{"digest":"x"}`, 400},
		{"PATCH", "/nope", `{"name":"x"}`, 404},
		{"PATCH", "/root", `{"role":"viewer"}`, 404},
		{"DELETE", "/root", "", 404},
		{"GET", "/nope", "", 404},
		{"POST", "/" + id + "/rotate", `{"overlap_seconds":-1}`, 400},
		{"POST", "/" + id + "/rotate", `{"overlap_seconds":9223372036854775807}`, 400},
		{"POST", "/" + id + "/rotate", `{"overlap_seconds":"1h"}`, 400},
		{"GET", "?sort=name", "", 400},
	} {
		a := h.operator(c.method, "/admin/v1/operators"+c.path, c.body)
		if a.StatusCode != c.status || strings.Contains(a.body, "op_") {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, a.StatusCode, a.body)
		}
	}
}

func TestARotatedTokenWorksForTheOverlapAndNoLonger(t *testing.T) {
	h := build(t, plan{})
	id, old := h.hire(operator.Keeper)
	a := h.operator("POST", "/admin/v1/operators/"+id+"/rotate", `{"overlap_seconds":3600}`)
	m := a.json(t)
	if diff := cmp.Diff(set(operatorFields+" token"), names(m)); a.StatusCode != http.StatusCreated || diff != "" ||
		m["role"] != "operator" || m["name"] != "Zoë" || m["id"] == id {
		t.Fatalf("%d %s %s", a.StatusCode, a.body, diff)
	}
	for _, token := range []string{old, m["token"].(string)} {
		if a := h.as(token, "GET", "/admin/v1/apps", ""); a.StatusCode != http.StatusOK {
			t.Errorf("during the overlap: %d", a.StatusCode)
		}
	}
	end, err := time.Parse(time.RFC3339, fmt.Sprint(h.operator("GET", "/admin/v1/operators/"+id, "").json(t)["expires_at"]))
	if left := time.Until(end); err != nil || left > time.Hour || left < 59*time.Minute {
		t.Errorf("the old token is good for %v more, %v", left, err)
	}
	a = h.operator("POST", "/admin/v1/operators/"+m["id"].(string)+"/rotate", `{}`)
	if a.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := h.as(m["token"].(string), "GET", "/admin/v1/apps", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("rotated without overlap: %d", a.StatusCode)
	}
	if a := h.operator("POST", "/admin/v1/operators/"+m["id"].(string)+"/rotate", `{}`); a.StatusCode != http.StatusConflict {
		t.Errorf("what has ended was rotated: %d", a.StatusCode)
	}
}

// TestNobodyRaisesARole is line 9 of what Perch must withstand: an operator who
// is no owner changes neither himself nor others.
func TestNobodyRaisesARole(t *testing.T) {
	h := build(t, plan{})
	for _, role := range []operator.Role{operator.Viewer, operator.Keeper} {
		id, token := h.hire(role)
		other, _ := h.hire(operator.Viewer)
		was := h.operator("GET", "/admin/v1/operators/"+id, "").body
		for _, c := range []struct{ method, path, body string }{
			{"PATCH", "/" + id, `{"role":"owner"}`},
			{"PATCH", "/" + id, `{"role":"` + string(role) + `"}`},
			{"PATCH", "/" + id, `{"expires_at":null}`},
			{"PATCH", "/" + other, `{"role":"operator"}`},
			{"PATCH", "/me", `{"role":"owner"}`},
			{"POST", "", `{"name":"x","role":"viewer"}`},
			{"POST", "/" + id + "/rotate", `{}`},
			{"DELETE", "/" + other, ""},
		} {
			a := h.as(token, c.method, "/admin/v1/operators"+c.path, c.body)
			if m := a.json(t); a.StatusCode != http.StatusForbidden || m["needed_role"] != "owner" || m["role"] != string(role) ||
				!strings.Contains(m["detail"].(string), "takes the role owner") {
				t.Errorf("%s: %s %s: %d %s", role, c.method, c.path, a.StatusCode, a.body)
			}
		}
		if is := h.operator("GET", "/admin/v1/operators/"+id, "").body; is != was {
			t.Errorf("%s became %s", was, is)
		}
	}
}

// TestEachRouteOfOperatorsHoldsItsRole calls each route with each role.
func TestEachRouteOfOperatorsHoldsItsRole(t *testing.T) {
	h := build(t, plan{})
	for _, role := range operator.Roles() {
		_, token := h.hire(role)
		for _, row := range h.server.adminRoutes() {
			needed := row.guard.role()
			if needed == "" || row.method == "DELETE" && role == operator.Owner {
				continue
			}
			a := h.as(token, row.method, strings.ReplaceAll(row.path, ":id", "nope"), "")
			if refused := a.StatusCode == http.StatusForbidden; refused == role.Covers(needed) {
				t.Errorf("%s: %s %s: %d", role, row.method, row.path, a.StatusCode)
			}
		}
	}
}

func TestRoutesThatChangeSomethingTakeMoreThanAViewer(t *testing.T) {
	for _, row := range (&Server{}).adminRoutes() {
		what, role := row.method+" "+row.path, row.guard.role()
		if !strings.HasPrefix(row.path, "/admin/") || row.method == "GET" {
			continue
		}
		if !role.Covers(operator.Keeper) {
			t.Errorf("%s takes the role %q", what, role)
		}
		for _, precious := range []string{"/admin/v1/operators", "/admin/v1/xapps"} {
			if strings.HasPrefix(row.path, precious) && role != operator.Owner {
				t.Errorf("%s takes the role %q", what, role)
			}
		}
	}
}

// TestOnlyOperatorsTokensOpenTheOperatorsDoor is lines 10 and 13: what else there
// is of credentials, and what is stored of them, opens nothing.
func TestOnlyOperatorsTokensOpenTheOperatorsDoor(t *testing.T) {
	var kept ports.Operators
	h := build(t, plan{operators: func(o ports.Operators) ports.Operators { kept = o; return o }})
	id, token := h.hire(operator.Owner)
	o, err := kept.Get(t.Context(), operator.ID(id))
	must(t, err)
	if o.Digest == "" || o.Hint == "" || strings.Contains(o.Digest+o.Hint, token) {
		t.Fatalf("what is stored: %+v", o)
	}
	for name, credential := range map[string]string{
		"publishable key": h.pk, "secret key": h.sk, "app-only key": h.appOnly,
		"digest": o.Digest, "digest with prefix": "op_" + o.Digest, "hint": strings.ReplaceAll(o.Hint, "…", ""), "id": id,
		"other case": "op_" + strings.ToLower(token[3:]), "longer": token + "A", "shorter": token[:len(token)-1],
		"like a session's": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "root": "root", "off": "off",
		"nothing": "op_", "very long": "op_" + strings.Repeat("A", 4000), "kubernetes": "x",
	} {
		for _, row := range h.server.adminRoutes() {
			if row.guard.role() == "" {
				continue
			}
			a := h.as(credential, row.method, strings.ReplaceAll(row.path, ":id", "x"), "")
			if a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %s %s: %d", name, row.method, row.path, a.StatusCode)
			}
		}
	}
	for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.30"} {
		a := ask(t, "GET", h.admin+"/admin/v1/apps", "", "User-Agent: "+agent)
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s gets %d", agent, a.StatusCode)
		}
	}
	for _, path := range []string{"/2/users/me", "/v1/grants"} { // and the other way
		if a := ask(t, "GET", h.public+path, "", "Authorization: Bearer "+token); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("public %s with an operator's token: %d", path, a.StatusCode)
		}
	}
}

// TestAdminJSONTellsNoSecret is line 10: every answer of the operators' door is
// searched, at any depth.
func TestAdminJSONTellsNoSecret(t *testing.T) {
	var kept ports.Operators
	h := build(t, plan{operators: func(o ports.Operators) ports.Operators { kept = o; return o }})
	h.operator("POST", "/admin/v1/xapps", `{"id":"alpha","name":"A","client_id":"c","client_secret":"canary-1","bearer":"canary-2"}`)
	id, token := h.hire(operator.Owner)
	o, err := kept.Get(t.Context(), operator.ID(id))
	must(t, err)
	ids := map[string]string{"apps": string(h.app.ID), "operators": id, "grants": string(h.grant), "xapps": "alpha"}
	seen := 0
	for _, row := range h.server.adminRoutes() {
		if row.method != "GET" || row.guard.role() == "" {
			continue
		}
		collection, _, _ := strings.Cut(strings.TrimPrefix(row.path, adminPrefix), "/")
		a := h.as(token, "GET", strings.ReplaceAll(row.path, ":id", ids[collection]), "")
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", row.path, a.StatusCode, a.body)
		}
		seen++
		for _, secret := range []string{o.Digest, token, h.sk, "canary", xAccess, adminToken} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s shows a secret: %s", row.path, a.body)
			}
		}
		var document any
		must(t, json.Unmarshal([]byte(a.body), &document))
		telling(document, func(name string) { t.Errorf("%s has the member %q", row.path, name) })
	}
	if seen < 7 {
		t.Errorf("only %d routes were looked at", seen)
	}
}

// telling calls found with each member of the document whose name promises a secret.
func telling(v any, found func(name string)) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			telling(one, found)
		}
	case map[string]any:
		for name, one := range v {
			for _, word := range []string{"digest", "hash", "secret", "token", "password", "sealed", "box", "refresh"} {
				if _, flag := one.(bool); strings.Contains(name, word) && !flag {
					found(name)
				}
			}
			telling(one, found)
		}
	}
}

func TestNothingOfTheAdminSurfaceIsOnThePublicListener(t *testing.T) {
	h := build(t, plan{})
	unknown := ask(t, "GET", h.public+"/nothing/here", "").json(t)
	for _, row := range h.server.publicRoutes() {
		if strings.HasPrefix(row.path, "/admin") || row.guard.role() != "" {
			t.Errorf("%s %s is public", row.method, row.path)
		}
	}
	for _, row := range h.server.adminRoutes() {
		if row.guard.role() == "" {
			continue
		}
		a := h.asPublic(row.method, strings.ReplaceAll(row.path, ":id", "x"))
		m := a.json(t)
		delete(m, "instance")
		delete(unknown, "instance")
		if diff := cmp.Diff(unknown, m); a.StatusCode != http.StatusNotFound || diff != "" {
			t.Errorf("%s %s: %d %s", row.method, row.path, a.StatusCode, diff)
		}
	}
	for _, spelling := range []string{ // line 19
		"/%61dmin/v1/apps", "//admin/v1/apps", "/./admin/v1/apps", "/admin%2fv1/apps", "/admin%2Fv1%2Fapps", "/admin;x/v1/apps",
		"/ADMIN/v1/apps", "/Admin/v1/apps", "/admin/v1//apps", "/x/../admin/v1/apps", "/admin/v1/apps%20",
		"/admin\\v1\\apps", "/2/..%2Fadmin/v1/apps", "/2/%2E%2E/admin/v1/apps", "/admin", "/admin/", "/admin/v1",
	} {
		for _, base := range []string{h.public, h.admin} {
			reply := raw(t, base, "GET "+spelling+" HTTP/1.1\r\nHost: perch.example\r\nAuthorization: Bearer "+
				adminToken+"\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(reply, "HTTP/1.1 404 ") && !strings.HasPrefix(reply, "HTTP/1.1 400 ") {
				t.Errorf("%s %s: %s", base, spelling, reply)
			}
		}
	}
}

func (h *house) asPublic(method, path string) answer {
	h.t.Helper()
	return ask(h.t, method, h.public+path, "", "Authorization: Bearer "+adminToken, "Content-Type: application/json")
}

// away is a store of operators that does not answer, or panics.
type away struct {
	ports.Operators
	err    error
	broken bool
}

func (a *away) ByDigest(ctx context.Context, digests []string) (operator.Operator, error) {
	switch {
	case a.broken:
		panic("canary-panic of the driver")
	case a.err != nil:
		return operator.Operator{Role: operator.Owner}, a.err
	}
	return a.Operators.ByDigest(ctx, digests)
}

// TestAStoreThatIsAwayMakesNobodyAnOperator is lines 8 and 58.
func TestAStoreThatIsAwayMakesNobodyAnOperator(t *testing.T) {
	store := &away{}
	h := build(t, plan{operators: func(o ports.Operators) ports.Operators { store.Operators = o; return store }})
	_, token := h.hire(operator.Owner)
	for _, err := range []error{
		fault.New(fault.Unavailable, "the store does not answer").Because(errors.New("canary-cause")), context.DeadlineExceeded, errors.New("canary-cause"),
	} {
		store.err = err
		for _, bearer := range []string{token, "op_AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
			a := h.as(bearer, "GET", "/admin/v1/apps", "")
			if a.StatusCode != http.StatusServiceUnavailable && a.StatusCode != http.StatusInternalServerError ||
				strings.Contains(a.body, "canary") {
				t.Errorf("%v: %d %s", err, a.StatusCode, a.body)
			}
		}
	}
	store.err, store.broken = nil, true
	a := h.as(token, "GET", "/admin/v1/apps", "")
	if a.StatusCode != http.StatusInternalServerError || strings.Contains(a.body, "canary") {
		t.Errorf("a panic: %d %s", a.StatusCode, a.body)
	}
	if a := h.operator("GET", "/admin/v1/operators/me", ""); a.StatusCode != http.StatusOK {
		t.Errorf("the founding token does without the store: %d", a.StatusCode)
	}
}

func TestWithoutFoundingTokenTheLastOwnerStays(t *testing.T) {
	h := build(t, plan{unfounded: true})
	if a := h.operator("GET", "/admin/v1/apps", ""); a.StatusCode != http.StatusUnauthorized {
		t.Fatalf("the founding token: %d", a.StatusCode)
	}
	for _, credential := range []string{"Bearer ", "Bearer x", ""} {
		a := ask(t, "GET", h.admin+"/admin/v1/apps", "", "Authorization: "+credential)
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: %d", credential, a.StatusCode)
		}
	}
	root := operator.Operator{ID: "test", Role: operator.Owner}
	o, text, err := h.services.Operators.Add(t.Context(), root, operator.Operator{Name: "Zoë", Role: operator.Owner})
	must(t, err)
	path := "/admin/v1/operators/" + string(o.ID)
	for method, body := range map[string]string{"DELETE": "", "PATCH": `{"role":"operator"}`} {
		a := h.as(text.Reveal(), method, path, body)
		if a.StatusCode != http.StatusConflict || a.json(t)["type"] != "urn:perch:problem:last-owner" {
			t.Errorf("%s: %d %s", method, a.StatusCode, a.body)
		}
	}
	if a := h.as(text.Reveal(), "GET", "/admin/v1/operators/me", ""); a.json(t)["role"] != "owner" {
		t.Errorf("afterwards: %s", a.body)
	}
}
