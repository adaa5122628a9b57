package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"perch/domain/apikey"
	"perch/domain/client"
)

// data returns the IDs in a list.
func data(t *testing.T, a answer) []string {
	t.Helper()
	var ids []string
	for _, one := range a.json(t)["data"].([]any) {
		ids = append(ids, one.(map[string]any)["id"].(string))
	}
	return ids
}

func TestOwnGrants(t *testing.T) {
	h := build(t, plan{})
	zoe := h.operator("POST", "/admin/v1/grants/import", fmt.Sprintf(
		`{"app_id":%q,"user_id":"42","access_token":"a","scope":"users.read"}`, h.app.ID)).json(t)["id"].(string)
	other, err := h.services.Clients.Register(t.Context(), client.App{Name: "Other"})
	must(t, err)
	server := "Authorization: Bearer " + h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret})
	stranger := "Authorization: Bearer " + h.key(apikey.Key{App: other.ID, Kind: apikey.Secret})
	bound := "Authorization: Bearer " + h.sk
	session := "Authorization: Bearer " + h.signIn()["access_token"].(string)
	own := string(h.grant)

	for name, c := range map[string]struct {
		credential string
		sees       int
	}{"server": {server, 2}, "stranger": {stranger, 0}, "bound key": {bound, 1}, "session": {session, 1}} {
		ids := data(t, ask(t, "GET", h.public+"/v1/grants", "", c.credential))
		if len(ids) != c.sees || c.sees == 1 && ids[0] != own {
			t.Errorf("%s sees %v", name, ids)
		}
		for id, ok := range map[string]bool{own: c.sees > 0, zoe: c.sees == 2, "nope": false} {
			a := ask(t, "GET", h.public+"/v1/grants/"+id, "", c.credential)
			if ok != (a.StatusCode == http.StatusOK) || !ok && a.StatusCode != http.StatusNotFound {
				t.Errorf("%s reads %s: %d", name, id, a.StatusCode)
			}
			if ok {
				continue
			}
			if a := ask(t, "DELETE", h.public+"/v1/grants/"+id, "", c.credential); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s revokes %s: %d", name, id, a.StatusCode)
			}
		}
	}
	page := ask(t, "GET", h.public+"/v1/grants?limit=1", "", server).json(t)
	rest := ask(t, "GET", h.public+"/v1/grants?limit=1&after="+page["next"].(string), "", server)
	if len(data(t, rest)) != 1 || strings.Contains(rest.body, `"next"`) {
		t.Errorf("second page: %s", rest.body)
	}
	if a := ask(t, "DELETE", h.public+"/v1/grants/"+own, "", session); a.StatusCode != http.StatusNoContent {
		t.Errorf("a session gives its grant up: %d %s", a.StatusCode, a.body)
	}
	if a := ask(t, "GET", h.public+"/v1/grants", "", session); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session goes on: %d", a.StatusCode)
	}
}

func TestActions(t *testing.T) {
	h := build(t, plan{})
	a := h.act("POST", "/2/tweets", `{"text":"hello"}`)
	if a.StatusCode != http.StatusCreated || !strings.Contains(a.body, "hello") ||
		a.Header.Get("X-Rate-Limit-Remaining") == "" {
		t.Errorf("post: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if a := h.act("POST", "/2/tweets", `{"text":""}`); a.StatusCode != http.StatusBadRequest ||
		strings.Contains(a.body, typePrefix) {
		t.Errorf("X's own problem does not pass through: %d %s", a.StatusCode, a.body)
	}
	// Some clients send {} where X wants nothing.
	if a := h.act("POST", "/2/media/upload/1/finalize", `{}`); a.StatusCode == http.StatusRequestEntityTooLarge ||
		strings.Contains(a.body, typePrefix) {
		t.Errorf("{} where nothing is wanted: %d %s", a.StatusCode, a.body)
	}
	if a := ask(t, "GET", h.public+"/2/openapi.json", ""); a.StatusCode == http.StatusUnauthorized {
		t.Errorf("a public action asks for a credential: %s", a.body)
	}
	if a := ask(t, "GET", h.public+"/2/openapi.json", "", "Authorization: Bearer x"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a public action takes any credential: %d", a.StatusCode)
	}
	issued := h.operator("POST", "/admin/v1/grants/import", fmt.Sprintf(
		`{"app_id":%q,"user_id":"7","access_token":"a","scope":"users.read"}`, h.app.ID))
	server := h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret})
	a = ask(t, "POST", h.public+"/2/tweets", `{}`, "Authorization: Bearer "+server,
		"Perch-Grant: "+issued.json(t)["id"].(string), "Content-Type: application/json")
	want := `Bearer realm="Perch", error="insufficient_scope", scope="` + a.json(t)["missing_scope"].(string) + `"`
	if a.StatusCode != http.StatusForbidden || a.Header.Get("WWW-Authenticate") != want {
		t.Errorf("missing scope: %d %q", a.StatusCode, a.Header.Get("WWW-Authenticate"))
	}
}

// Node's fetch sends Sec-Fetch-Mode and nothing else of a browser's.
func TestAServersFetchIsNotTakenForABrowser(t *testing.T) {
	h := build(t, plan{})
	for header, want := range map[string]int{
		"Sec-Fetch-Mode: cors": http.StatusOK, "Sec-Fetch-Site: none": http.StatusForbidden,
		"Sec-Fetch-Dest: empty": http.StatusForbidden, "Sec-Fetch-User: ?1": http.StatusForbidden,
		"Origin: null": http.StatusForbidden,
	} {
		if a := ask(t, "GET", h.public+"/v1/grants", "", "Authorization: Bearer "+h.sk, header); a.StatusCode != want {
			t.Errorf("%s: %d %s", header, a.StatusCode, a.body)
		}
	}
}
