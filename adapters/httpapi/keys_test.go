package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/oauth"
)

func TestKeys(t *testing.T) {
	h := build(t, plan{})
	path := "/admin/v1/apps/" + string(h.app.ID) + "/keys"
	a := h.operator("POST", path, `{"kind":"secret","app_only":true,"expires_at":"2099-01-02T03:04:05Z"}`)
	m := a.json(t)
	if diff := cmp.Diff(set(keyFields+" key"), names(m)); a.StatusCode != http.StatusCreated || diff != "" {
		t.Fatalf("%d %s", a.StatusCode, diff)
	}
	if !strings.HasPrefix(m["key"].(string), "sk_") || m["expires_at"] != "2099-01-02T03:04:05Z" {
		t.Errorf("%s", a.body)
	}
	list := h.operator("GET", path, "")
	if strings.Contains(list.body, m["key"].(string)) || strings.Contains(list.body, "igest") ||
		len(list.json(t)["data"].([]any)) != 4 {
		t.Errorf("list: %s", list.body)
	}
	use := func() int {
		return ask(t, "GET", h.public+"/v1/grants", "", "Authorization: Bearer "+m["key"].(string)).StatusCode
	}
	if got := use(); got != http.StatusOK {
		t.Errorf("the new key: %d", got)
	}
	if a := h.operator("DELETE", "/admin/v1/keys/"+m["id"].(string), ""); a.StatusCode != http.StatusNoContent || a.body != "" {
		t.Errorf("DELETE: %d %s", a.StatusCode, a.body)
	}
	if got := use(); got != http.StatusUnauthorized {
		t.Errorf("the revoked key: %d", got)
	}
	for _, body := range []string{`{"kind":"admin"}`, `{"kind":"secret","grant_id":"nope"}`, `{"kind":"publishable","app_only":true}`} {
		if a := h.operator("POST", path, body); a.StatusCode/100 != 4 {
			t.Errorf("%s: %d", body, a.StatusCode)
		}
	}
}

// make makes a key of the usual application by the body, and returns its ID and
// the key.
func (h *house) make(body string) (id, key string) {
	h.t.Helper()
	m := h.operator("POST", "/admin/v1/apps/"+string(h.app.ID)+"/keys", body).json(h.t)
	id, _ = m["id"].(string)
	key, _ = m["key"].(string)
	if id == "" || key == "" {
		h.t.Fatalf("%s: %v", body, m)
	}
	return id, key
}

// adopt makes another grant of the usual application.
func (h *house) adopt(user string) string {
	h.t.Helper()
	return h.operator("POST", "/admin/v1/grants/import", fmt.Sprintf(
		`{"app_id":%q,"user_id":%q,"access_token":"a","scope":"users.read tweet.read tweet.write"}`, h.app.ID, user)).json(h.t)["id"].(string)
}

func bearing(key string) string { return "Authorization: Bearer " + key }

func TestAKeyIsMadeWithWhatNarrowsIt(t *testing.T) {
	h := build(t, plan{})
	path, other := "/admin/v1/apps/"+string(h.app.ID)+"/keys", h.adopt("42")
	a := h.operator("POST", path, fmt.Sprintf(`{"kind":"secret","name":"CI","batch":true,"grants":[%q,%q],"actions":["read","tag:Posts"],`+
		`"addresses":["192.0.2.7","2001:db8::/32"]}`, h.grant, other))
	m := a.json(t)
	if fmt.Sprintln(m["grants"], m["actions"], m["addresses"], m["name"], m["grant_id"], m["batch"]) != fmt.Sprintf(
		"[%s %s] [read tag:Posts] [192.0.2.7/32 2001:db8::/32] CI <nil> true\n", h.grant, other) {
		t.Errorf("%s", a.body)
	}
	if m := h.operator("POST", path, fmt.Sprintf(`{"kind":"secret","grant_id":%q}`, other)).json(t); m["grant_id"] != other {
		t.Errorf("the older way to bind a key: %v", m)
	}
	stranger, err := h.services.Clients.Register(t.Context(), client.App{Name: "Other"})
	must(t, err)
	for body, says := range map[string]string{
		`{"kind":"secret","grants":["nope"]}`:                         "no grant",
		`{"kind":"secret","grants":[""]}`:                             "no grant",
		`{"kind":"secret","actions":["write"]}`:                       `\"write\"`,
		`{"kind":"secret","addresses":["10.0.0.1/8"]}`:                "10.0.0.0/8",
		`{"kind":"secret","addresses":["localhost"]}`:                 "192.0.2.0/24",
		`{"kind":"secret","addresses":"::1"}`:                         "list in brackets",
		`{"kind":"secret","expires_at":"2001-01-02T03:04:05Z"}`:       "expired already",
		`{"kind":"publishable","actions":["read"]}`:                   "only starts sign-ins",
		`{"kind":"publishable","batch":true}`:                         "only starts sign-ins",
		`{"kind":"publishable","addresses":["::1"]}`:                  "only starts sign-ins",
		`{"kind":"secret","digest":"x"}`:                              `\"digest\"`,
		`{"kind":"secret","name":"` + strings.Repeat("n", 201) + `"}`: "200 characters",
	} {
		if a := h.operator("POST", path, body); a.StatusCode/100 != 4 || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	a = h.operator("POST", "/admin/v1/apps/"+string(stranger.ID)+"/keys", fmt.Sprintf(`{"kind":"secret","grants":[%q]}`, h.grant))
	if a.StatusCode != http.StatusNotFound {
		t.Errorf("a key is bound to a grant of another application: %d %s", a.StatusCode, a.body)
	}
}

func TestAKeyIsChangedWhereItMayBe(t *testing.T) {
	h := build(t, plan{})
	id, key := h.make(`{"kind":"secret","name":"old"}`)
	path := "/admin/v1/keys/" + id
	a := h.operator("PATCH", path, fmt.Sprintf(`{"name":"new","grants":[%q],"actions":["read"],"addresses":["127.0.0.0/8"],`+
		`"expires_at":"2099-01-02T03:04:05Z"}`, h.grant))
	m := a.json(t)
	if diff := cmp.Diff(set(keyFields+" grant_id"), names(m)); a.StatusCode != http.StatusOK || diff != "" || m["name"] != "new" ||
		m["expires_at"] != "2099-01-02T03:04:05Z" || fmt.Sprint(m["actions"], m["addresses"]) != "[read] [127.0.0.0/8]" {
		t.Fatalf("%d %s %s", a.StatusCode, a.body, diff)
	}
	if a := ask(t, "GET", h.public+"/2/users/me", "", bearing(key)); a.StatusCode != http.StatusOK {
		t.Errorf("within its bounds: %d %s", a.StatusCode, a.body)
	}
	before := h.operator("PATCH", path, `{}`).body
	for _, member := range []string{
		`"kind":"publishable"`, `"app_id":"x"`, `"app_only":true`, `"digest":"x"`, `"key":"sk_x"`, `"hint":"x"`, `"revoked_at":null`,
		`"role":"owner"`, `"scopes":[]`, `"tenant":"x"`, `"budget":1`, `"grant_id":"x"`, `"expires_at":7`, `"expires_at":"2001-01-02T03:04:05Z"`,
		`"actions":["nope"]`, `"addresses":["x"]`, `"name":1`, `"batch":1`,
	} {
		if a := h.operator("PATCH", path, "{"+member+"}"); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", member, a.StatusCode, a.body)
		}
	}
	if a := h.operator("PATCH", path, `{"grants":["nope"]}`); a.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown grant: %d", a.StatusCode)
	}
	if after := h.operator("PATCH", path, `{}`).body; after != before {
		t.Errorf("a refused change has changed the key:\n%s\n%s", before, after)
	}
	m = h.operator("PATCH", path, `{"grants":[],"actions":[],"addresses":[],"expires_at":null}`).json(t)
	if fmt.Sprint(m["grants"], m["actions"], m["addresses"], m["expires_at"]) != "[] [] [] <nil>" || m["name"] != "new" {
		t.Errorf("widened: %v", m)
	}
	for _, is := range []bool{true, false} {
		if m := h.operator("PATCH", path, fmt.Sprintf(`{"batch":%t}`, is)).json(t); m["batch"] != is || m["name"] != "new" {
			t.Errorf("for batches, or not: %v", m)
		}
	}
	if a := h.operator("PATCH", "/admin/v1/keys/nope", `{}`); a.StatusCode != http.StatusNotFound {
		t.Errorf("no such key: %d", a.StatusCode)
	}
	h.operator("DELETE", path, "")
	if a := h.operator("PATCH", path, `{"name":"back"}`); a.StatusCode != http.StatusConflict {
		t.Errorf("a revoked key: %d %s", a.StatusCode, a.body)
	}
}

func TestAKeyIsRotated(t *testing.T) {
	h := build(t, plan{})
	id, key := h.make(fmt.Sprintf(`{"kind":"secret","name":"CI","grants":[%q],"actions":["read"]}`, h.grant))
	works := func(key string) int { return ask(t, "GET", h.public+"/2/users/me", "", bearing(key)).StatusCode }
	ends := func(id string) time.Duration {
		for _, one := range h.operator("GET", "/admin/v1/apps/"+string(h.app.ID)+"/keys", "").json(t)["data"].([]any) {
			if k := one.(map[string]any); k["id"] == id && k["expires_at"] != nil {
				at, err := time.Parse(time.RFC3339, k["expires_at"].(string))
				must(t, err)
				return time.Until(at)
			}
		}
		return 0
	}
	a := ask(t, "POST", h.admin+"/admin/v1/keys/"+id+"/rotate", "", bearing(adminToken))
	m := a.json(t)
	if diff := cmp.Diff(set(keyFields+" grant_id key"), names(m)); a.StatusCode != http.StatusCreated || diff != "" || m["id"] == id ||
		m["name"] != "CI" || fmt.Sprint(m["actions"]) != "[read]" || m["expires_at"] != nil {
		t.Fatalf("%d %s %s", a.StatusCode, a.body, diff)
	}
	next := m["key"].(string)
	if left := ends(id); works(key) != http.StatusOK || works(next) != http.StatusOK || left > 24*time.Hour || left < 23*time.Hour {
		t.Errorf("in the overlap, which ends in %v: %d, %d", left, works(key), works(next))
	}
	h.operator("POST", "/admin/v1/keys/"+id+"/rotate", `{"overlap":"48h"}`)
	if left := ends(id); left > 24*time.Hour {
		t.Errorf("rotating has made the old key live longer: %v", left)
	}
	a = h.operator("POST", "/admin/v1/keys/"+id+"/rotate", `{"overlap_seconds":0}`)
	if a.StatusCode != http.StatusCreated || works(key) != http.StatusUnauthorized {
		t.Errorf("without overlap: %d %s", a.StatusCode, a.body)
	}
	if a := h.operator("POST", "/admin/v1/keys/"+id+"/rotate", ""); a.StatusCode != http.StatusConflict {
		t.Errorf("after its end: %d %s", a.StatusCode, a.body)
	}
	for _, body := range []string{
		`{"overlap_seconds":-1}`, `{"overlap_seconds":2592001}`, `{"overlap":"-1s"}`, `{"overlap":"721h"}`, `{"overlap":"a day"}`,
		`{"overlap":"1h","overlap_seconds":3600}`, `{"overlap_seconds":"1"}`, `{"app_only":true}`, `{"overlap_seconds":9223372036854775807}`,
	} {
		if a := h.operator("POST", "/admin/v1/keys/"+m["id"].(string)+"/rotate", body); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	if works(next) != http.StatusOK {
		t.Error("a refused rotation has ended the key")
	}
}

func TestListsTellWhenAKeyWasLastUsed(t *testing.T) {
	h := build(t, plan{})
	id, key := h.make(`{"kind":"secret"}`)
	used := func() any {
		for _, one := range h.operator("GET", "/admin/v1/apps/"+string(h.app.ID)+"/keys", "").json(t)["data"].([]any) {
			if k := one.(map[string]any); k["id"] == id {
				return k["last_used_at"]
			}
		}
		return "gone"
	}
	if got := used(); got != nil {
		t.Errorf("before its first use: %v", got)
	}
	ask(t, "GET", h.public+"/v1/grants", "", bearing(key))
	if got, ok := used().(string); !ok {
		t.Errorf("after its first use: %v", got)
	}
}

func TestAKeyDoesWhatItIsForAndNothingElse(t *testing.T) {
	h := build(t, plan{})
	other := h.adopt("42")
	third := h.adopt("43")
	several := fmt.Sprintf(`"grants":[%q,%q]`, h.grant, other)
	_, reader := h.make(fmt.Sprintf(`{"kind":"secret","grants":[%q],"actions":["read"]}`, h.grant))
	_, poster := h.make(fmt.Sprintf(`{"kind":"secret","grants":[%q],"actions":["createPosts"]}`, h.grant))
	_, two := h.make(`{"kind":"secret",` + several + `}`)
	_, away := h.make(fmt.Sprintf(`{"kind":"secret","grants":[%q],"addresses":["192.0.2.0/24"]}`, h.grant))
	_, here := h.make(fmt.Sprintf(`{"kind":"secret","grants":[%q],"addresses":["127.0.0.1"]}`, h.grant))
	post := `{"text":"hello"}`
	for name, c := range map[string]struct {
		key, method, path, body, grant string
		status                         int
		slug                           string
	}{
		"a reader reads":                {reader, "GET", "/2/users/me", "", "", 200, ""},
		"a reader posts":                {reader, "POST", "/2/tweets", post, "", 403, "key-action-not-allowed"},
		"a reader deletes":              {reader, "DELETE", "/2/tweets/1", "", "", 403, "key-action-not-allowed"},
		"a reader reads messages":       {reader, "GET", "/2/dm_events", "", "", 403, "key-action-not-allowed"},
		"a reader ends a grant":         {reader, "DELETE", "/v1/grants/" + string(h.grant), "", "", 403, "key-action-not-allowed"},
		"a poster posts":                {poster, "POST", "/2/tweets", post, "", 201, ""},
		"a poster reads":                {poster, "GET", "/2/users/me", "", "", 403, "key-action-not-allowed"},
		"a dotted path":                 {poster, "GET", "/2/tweets/../users/me", "", "", 400, "invalid-path"},
		"an escaped path":               {poster, "GET", "/2/tweets/%2E%2E/users/me", "", "", 400, "invalid-path"},
		"from another address":          {away, "GET", "/2/users/me", "", "", 403, "key-address-not-allowed"},
		"grants, from another address":  {away, "GET", "/v1/grants", "", "", 403, "key-address-not-allowed"},
		"from its address":              {here, "GET", "/2/users/me", "", "", 200, ""},
		"two grants, none named":        {two, "GET", "/2/users/me", "", "", 400, "no-grant"},
		"two grants, one named":         {two, "GET", "/2/users/me", "", string(h.grant), 200, ""},
		"two grants, a third named":     {two, "GET", "/2/users/me", "", third, 403, "bound-key"},
		"two grants, a third listed":    {two, "GET", "/v1/grants", "", third, 403, "bound-key"},
		"two grants, a third read":      {two, "GET", "/v1/grants/" + third, "", "", 404, "no-such-grant"},
		"two grants, a third ended":     {two, "DELETE", "/v1/grants/" + third, "", "", 404, "no-such-grant"},
		"two grants, one of them read":  {two, "GET", "/v1/grants/" + other, "", "", 200, ""},
		"one named and another read":    {two, "GET", "/v1/grants/" + other, "", string(h.grant), 404, "no-such-grant"},
		"an unknown grant":              {two, "GET", "/2/users/me", "", "grant_" + strings.Repeat("a", 33), 403, "bound-key"},
		"one grant and another is read": {here, "GET", "/v1/grants/" + other, "", "", 404, "no-such-grant"},
	} {
		headers := []string{bearing(c.key), "Content-Type: application/json"}
		if c.grant != "" {
			headers = append(headers, "Perch-Grant: "+c.grant)
		}
		a := ask(t, c.method, h.public+c.path, c.body, headers...)
		if a.StatusCode != c.status {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		} else if c.slug != "" && a.json(t)["type"] != typePrefix+c.slug {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	if ids := data(t, ask(t, "GET", h.public+"/v1/grants", "", bearing(two))); len(ids) != 2 || ids[0] == third || ids[1] == third {
		t.Errorf("a key of two grants sees %v", ids)
	}
	first := ask(t, "GET", h.public+"/v1/grants?limit=1", "", bearing(two)).json(t)
	rest := data(t, ask(t, "GET", h.public+"/v1/grants?limit=1&after="+first["next"].(string), "", bearing(two)))
	if len(rest) != 1 {
		t.Errorf("the second page: %v", rest)
	}
	if a := ask(t, "DELETE", h.public+"/v1/grants/"+other, "", bearing(two)); a.StatusCode/100 == 4 {
		t.Errorf("a key of two grants ends one: %d %s", a.StatusCode, a.body)
	}
}

// A key never adds to what its application may do.
func TestAKeyIsNoWiderThanItsApplication(t *testing.T) {
	h := build(t, plan{})
	_, key := h.make(fmt.Sprintf(`{"kind":"secret","grants":[%q],"actions":["everything"]}`, h.grant))
	h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"actions":["post"]}`)
	if a := ask(t, "GET", h.public+"/2/users/me", "", bearing(key)); a.StatusCode != http.StatusForbidden || a.json(t)["type"] != typePrefix+"action-not-allowed" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// Security: no client changes what its own key may do (CVE-2026-47102), and no
// key of a client opens the operators' door (CVE-2024-47616).
func TestAKeyChangesNothingOfItself(t *testing.T) {
	h := build(t, plan{})
	id, key := h.make(`{"kind":"secret","actions":["read"],"app_only":true}`)
	session := h.signIn()["access_token"].(string)
	before := h.operator("PATCH", "/admin/v1/keys/"+id, `{}`).body
	for _, member := range []string{`"role":"owner"`, `"scopes":["everything"]`, `"actions":[]`, `"tenant":"x"`, `"budget":1`} {
		for _, path := range []string{"/admin/v1/keys/" + id, "/v1/keys/" + id, "/v1/keys/me", "/v1/key"} {
			for _, method := range []string{"PATCH", "PUT", "POST"} {
				if a := ask(t, method, h.public+path, "{"+member+"}", bearing(key), "Content-Type: application/json"); a.StatusCode != http.StatusNotFound {
					t.Errorf("%s %s on the public listener: %d", method, path, a.StatusCode)
				}
			}
		}
	}
	for _, credential := range []string{key, h.pk, session, h.sk} {
		for _, call := range []string{
			"PATCH /admin/v1/keys/" + id, "POST /admin/v1/keys/" + id + "/rotate", "DELETE /admin/v1/keys/" + id,
			"POST /admin/v1/apps/" + string(h.app.ID) + "/keys", "GET /admin/v1/apps/" + string(h.app.ID) + "/keys",
		} {
			method, path, _ := strings.Cut(call, " ")
			if a := ask(t, method, h.admin+path, "", bearing(credential)); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with a client's credential: %d", call, a.StatusCode)
			}
		}
	}
	if after := h.operator("PATCH", "/admin/v1/keys/"+id, `{}`).body; after != before {
		t.Errorf("the key has changed:\n%s\n%s", before, after)
	}
}

// Security: nothing operators are shown opens anything (GHSA-69x8-hrgq-fjj8).
func TestWhatIsKeptOfAKeyIsNoKey(t *testing.T) {
	h := build(t, plan{})
	k, text, err := h.services.Clients.IssueKey(t.Context(), apikey.Key{
		App: h.app.ID, Kind: apikey.Secret, Grants: []oauth.GrantID{h.grant}, Actions: []string{"read"},
	})
	must(t, err)
	for _, path := range []string{
		"/admin/v1/apps", "/admin/v1/apps/" + string(h.app.ID), "/admin/v1/apps/" + string(h.app.ID) + "/keys",
		"/admin/v1/xapps", "/admin/v1/grants",
	} {
		a := h.operator("GET", path, "")
		for _, secret := range []string{text.Reveal(), text.Reveal()[3:], k.Digest, h.sk, h.pk, h.appOnly} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s shows a key or its digest", path)
			}
		}
		var document any
		must(t, json.Unmarshal([]byte(a.body), &document))
		telling(document, func(name string) { t.Errorf("%s has the member %q: %s", path, name, a.body) })
	}
	for _, kept := range []string{k.Digest, "sk_" + k.Digest, k.Hint, string(k.ID)} {
		if a := ask(t, "GET", h.public+"/v1/grants", "", bearing(strings.ReplaceAll(kept, "…", "."))); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("what is kept of a key is taken for one: %d", a.StatusCode)
		}
	}
}

// Wrong keys are slowed at every place that takes one, and right ones are not.
func TestWrongKeysAreAnsweredWhenToComeBack(t *testing.T) {
	h := build(t, plan{})
	try := func(i int) answer {
		wrong := fmt.Sprintf("_WRONGWRONGWRONGWRONGWRO%03d", i)
		switch i % 3 {
		case 0:
			return ask(t, "GET", h.public+"/2/users/me", "", bearing("sk"+wrong))
		case 1:
			return ask(t, "POST", h.public+"/oauth/token", "client_id=pk"+wrong+"&grant_type=refresh_token&refresh_token=x",
				"Content-Type: application/x-www-form-urlencoded")
		}
		return ask(t, "POST", h.public+"/oauth/token", "client_id="+h.pk+"&client_secret=sk"+wrong+"&grant_type=refresh_token&refresh_token=x",
			"Content-Type: application/x-www-form-urlencoded")
	}
	for i := range 10 {
		if a := try(i); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("wrong key %d: %d %s", i, a.StatusCode, a.body)
		}
	}
	for i := range 11 { // of the first eight a slow machine may have some forgotten: one every six seconds
		a := try(i)
		if i >= 8 && (a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" ||
			a.json(t)["type"] != typePrefix+"too-many-wrong-keys" || !strings.Contains(a.Header.Get("Vary"), "Origin")) {
			t.Errorf("then: %d %v %s", a.StatusCode, a.Header, a.body)
		}
	}
	for name, key := range map[string]string{"that never came before": h.sk, "that comes again": h.sk, "of another kind": h.appOnly} {
		if a := ask(t, "GET", h.public+"/v1/grants", "", bearing(key)); a.StatusCode != http.StatusOK {
			t.Errorf("a right key %s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if s := h.signIn(); s["access_token"] == nil {
		t.Error("nobody can sign in")
	}
}
