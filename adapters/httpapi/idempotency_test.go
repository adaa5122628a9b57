package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/app/access"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapi"
)

// made counts the posts that X has made.
func (h *house) made() (n int) {
	for _, e := range h.sim.Ledger() {
		if e.Type == "post.created" {
			n++
		}
	}
	return n
}

func TestAKeyedPostIsMadeOnce(t *testing.T) {
	h := build(t, plan{})
	first := h.act("POST", "/2/tweets", `{"text":"once"}`, "Idempotency-Key: \"k1\"")
	again := h.act("POST", "/2/tweets", `{"text":"once"}`, "Idempotency-Key: k1")
	if first.StatusCode != 201 || again.StatusCode != 201 || first.body != again.body || h.made() != 1 {
		t.Fatalf("%d %s, then %d %s; %d posts", first.StatusCode, first.body, again.StatusCode, again.body, h.made())
	}
	if first.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Error("the replay is not marked, or the first answer is")
	}
	if again.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
		t.Errorf("Content-Type %q became %q", first.Header.Get("Content-Type"), again.Header.Get("Content-Type"))
	}
	other := h.act("POST", "/2/tweets", `{"text":"twice"}`, "Idempotency-Key: k1")
	if p := other.json(t); other.StatusCode != 422 || p["type"] != "urn:perch:problem:idempotency-key-reused" || h.made() != 1 {
		t.Errorf("%d %v", other.StatusCode, p)
	}
	bad := h.act("POST", "/2/tweets", `{"text":"bad"}`, "Idempotency-Key: a, b")
	if bad.StatusCode != 400 || bad.json(t)["type"] != "urn:perch:problem:idempotency-key-malformed" || h.made() != 1 {
		t.Errorf("%d %s", bad.StatusCode, bad.body)
	}
	status := h.act("GET", "/v1/idempotency/k1", "")
	if s := status.json(t); status.StatusCode != 200 || s["state"] != "done" || s["status"] != 201.0 || s["action"] != "createPosts" ||
		s["key"] != "k1" || s["sent_at"] == nil || s["kept_until"] == nil {
		t.Errorf("%d %v", status.StatusCode, s)
	}
}

// heard is whether X has seen the header of any request.
func TestXNeverSeesAKey(t *testing.T) {
	h := build(t, plan{x: spy(t)})
	h.act("POST", "/2/tweets", `{"text":"a"}`, "Idempotency-Key: secretive")
	h.act("POST", "/2/users/"+ada+"/likes", `{"tweet_id":"1"}`, "Idempotency-Key: secretive-2")
}

// spy is an X that fails the test if it hears of a key.
func spy(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			if strings.Contains(strings.ToLower(name), "idempotency") || strings.Contains(strings.Join(values, ""), "secretive") {
				t.Errorf("X was sent %s: %v", name, values)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"data":{"id":"1","text":"a"}}`))
	})
}

func TestALostPostIsFound(t *testing.T) {
	for _, kind := range []string{"lost", "torn", "outage"} {
		h := build(t, plan{})
		h.sim.Mischief(xsim.Mischief{Match: "createPosts", Kind: kind, Times: 1, Execute: true})
		first := h.act("POST", "/2/tweets", `{"text":"a &amp; <b> ☕"}`, "Idempotency-Key: a/b;c")
		if first.StatusCode < 500 {
			t.Fatalf("%s: %d %s", kind, first.StatusCode, first.body)
		}
		again := h.act("POST", "/2/tweets", `{"text":"a &amp; <b> ☕"}`, "Idempotency-Key: a/b;c")
		p := again.json(t)
		at, _ := p["status_url"].(string)
		if again.StatusCode != 409 || p["type"] != "urn:perch:problem:idempotency-unknown" || !strings.HasPrefix(at, h.public+"/v1/") {
			t.Fatalf("%s: %d %v", kind, again.StatusCode, p)
		}
		path := strings.TrimPrefix(at, h.public)
		if s := h.act("GET", path, "").json(t); s["state"] != "unknown" || s["key"] != "a/b;c" {
			t.Errorf("%s: %v", kind, s)
		}
		if s := h.act("POST", path+"/resolve", ""); s.StatusCode != 200 || s.json(t)["state"] != "done" {
			t.Errorf("%s: %d %s", kind, s.StatusCode, s.body)
		}
		last := h.act("POST", "/2/tweets", `{"text":"a &amp; <b> ☕"}`, "Idempotency-Key: a/b;c")
		if last.StatusCode != 201 || last.Header.Get("Idempotency-Replayed") != "true" || h.made() != 1 {
			t.Errorf("%s: %d %s; %d posts", kind, last.StatusCode, last.body, h.made())
		}
	}
}

func TestWhatXNeverMadeStaysUnknownAtFirst(t *testing.T) {
	h := build(t, plan{})
	h.sim.Mischief(xsim.Mischief{Match: "createPosts", Kind: "outage", Times: 1})
	h.act("POST", "/2/tweets", `{"text":"a"}`, "Idempotency-Key: k")
	a := h.act("POST", "/v1/idempotency/k/resolve", "")
	if a.StatusCode != 409 || a.Header.Get("Retry-After") == "" || a.json(t)["type"] != "urn:perch:problem:idempotency-unknown" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := h.act("DELETE", "/v1/idempotency/k", ""); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := h.act("GET", "/v1/idempotency/k", ""); a.StatusCode != 404 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := h.act("POST", "/2/tweets", `{"text":"a"}`, "Idempotency-Key: k"); a.StatusCode != 201 || h.made() != 1 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// Another grant of the same application, and a key that may not read, learn
// nothing (line 65).
func TestKeysOfOthers(t *testing.T) {
	h := build(t, plan{})
	h.sim.Mischief(xsim.Mischief{Match: "createPosts", Kind: "lost", Times: 1})
	h.act("POST", "/2/tweets", `{"text":"mine"}`, "Idempotency-Key: k")
	free := h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret})
	for name, headers := range map[string][]string{
		"no grant":      {"Authorization: Bearer " + free},
		"another grant": {"Authorization: Bearer " + free, "Perch-Grant: grant_00000000000aaa"},
	} {
		for _, c := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/resolve"}} {
			a := ask(t, c[0], h.public+"/v1/idempotency/k"+c[1], "", headers...)
			if a.StatusCode != 404 {
				t.Errorf("%s: %s: %d %s", name, c[0], a.StatusCode, a.body)
			}
		}
	}
	if a := ask(t, "GET", h.public+"/v1/idempotency/k", ""); a.StatusCode != 401 {
		t.Errorf("nobody: %d %s", a.StatusCode, a.body)
	}
	narrow := h.key(apikey.Key{
		App: h.app.ID, Kind: apikey.Secret, Actions: []string{"createPosts"}, Grants: []oauth.GrantID{h.grant},
	})
	a := ask(t, "POST", h.public+"/v1/idempotency/k/resolve", "", "Authorization: Bearer "+narrow)
	if a.StatusCode != 403 || a.json(t)["type"] != "urn:perch:problem:key-action-not-allowed" {
		t.Errorf("a key that may not read: %d %s", a.StatusCode, a.body)
	}
	if s := h.act("GET", "/v1/idempotency/k", "").json(t); s["state"] != "unknown" {
		t.Errorf("afterwards: %v", s)
	}
}

// A credential that is not for the call may not let go of its key, or have it
// looked up.
func TestWhoMayNotPostLetsNoPostGo(t *testing.T) {
	h := build(t, plan{})
	h.sim.Mischief(xsim.Mischief{Match: "createPosts", Kind: "lost", Times: 1, Execute: true})
	h.act("POST", "/2/tweets", `{"text":"mine"}`, "Idempotency-Key: k")
	key := func(only ...string) string {
		return h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret, Actions: only, Grants: []oauth.GrantID{h.grant}})
	}
	for name, bearer := range map[string]string{"a key to read": key("read"), "a key for oneself": key("getUsersMe", "getUsersPosts")} {
		for _, c := range [][2]string{{"DELETE", ""}, {"POST", "/resolve"}} {
			a := ask(t, c[0], h.public+"/v1/idempotency/k"+c[1], "", "Authorization: Bearer "+bearer)
			if a.StatusCode != 403 || a.json(t)["type"] != "urn:perch:problem:key-action-not-allowed" ||
				!strings.Contains(a.body, "createPosts") {
				t.Errorf("%s: %s: %d %s", name, c[0], a.StatusCode, a.body)
			}
		}
	}
	if s := h.act("GET", "/v1/idempotency/k", "").json(t); s["state"] != "unknown" {
		t.Errorf("afterwards: %v", s)
	}
	a := ask(t, "DELETE", h.public+"/v1/idempotency/k", "", "Authorization: Bearer "+key("createPosts"))
	if a.StatusCode != 204 {
		t.Errorf("who may post: %d %s", a.StatusCode, a.body)
	}
}

// An application or a session that may not post any more is no better.
func TestWhatIsNotAllowedAnyMoreLetsNothingGo(t *testing.T) {
	for name, v := range map[string]struct {
		caller access.Caller
		want   bool
	}{
		"an application for everything":   {access.Caller{App: client.App{Actions: []string{xapi.Everything}}}, true},
		"an application that reads":       {access.Caller{App: client.App{Actions: []string{"read"}}}, false},
		"a session that may post":         {access.Caller{App: client.App{Actions: []string{xapi.Everything}}, Session: "s", Scopes: "tweet.read tweet.write users.read"}, true},
		"a session that may read":         {access.Caller{App: client.App{Actions: []string{xapi.Everything}}, Session: "s", Scopes: "tweet.read users.read"}, false},
		"a session with no scopes at all": {access.Caller{App: client.App{Actions: []string{xapi.Everything}}, Session: "s"}, false},
	} {
		may := (&request{caller: v.caller}).mayLetGo
		if err := may("createPosts"); (err == nil) != v.want || err != nil && fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
		if may("no-such-action") == nil {
			t.Errorf("%s: an action that is gone", name)
		}
	}
}

func TestAnEmptyKeyIsNoKey(t *testing.T) {
	h := build(t, plan{})
	for name, headers := range map[string][]string{
		"empty": {"Idempotency-Key: "}, "space": {"Idempotency-Key:  "}, "later": {"Idempotency-Key: ", "Prefer: respond-async"},
	} {
		a := h.act("POST", "/2/tweets", `{"text":"a"}`, headers...)
		if a.StatusCode != 400 || a.json(t)["type"] != "urn:perch:problem:idempotency-key-malformed" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if a := h.act("GET", "/2/users/me", "", "Idempotency-Key: "); a.StatusCode != 200 {
		t.Errorf("a read, of which it means nothing: %d %s", a.StatusCode, a.body)
	}
	if h.made() != 0 {
		t.Errorf("%d posts", h.made())
	}
}

func TestTwoKeysAreNoKey(t *testing.T) {
	h := build(t, plan{})
	req, err := http.NewRequestWithContext(t.Context(), "POST", h.public+"/2/tweets", strings.NewReader(`{"text":"a"}`))
	must(t, err)
	req.Header = http.Header{"Authorization": {"Bearer " + h.sk}, "Idempotency-Key": {"a", "b"}}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 400 || h.made() != 0 {
		t.Errorf("%d, %d posts", res.StatusCode, h.made())
	}
}

// Whoever gets X's 5xx is told where to look.
func TestAFaultOfXLinksToWhereToLook(t *testing.T) {
	h := build(t, plan{})
	h.sim.Mischief(xsim.Mischief{Match: "createPosts", Kind: "status", Status: 503, Times: 1, Execute: true})
	a := h.act("POST", "/2/tweets", `{"text":"a"}`, "Idempotency-Key: k")
	if want := "<" + h.public + `/v1/idempotency/k>; rel="status"`; a.StatusCode != 503 || a.Header.Get("Link") != want {
		t.Errorf("%d, Link %q", a.StatusCode, a.Header.Get("Link"))
	}
	if !strings.Contains(readable, "Link") {
		t.Error("pages cannot read the header")
	}
}

func TestPagesMayReadWhetherAnAnswerIsReplayed(t *testing.T) {
	h := build(t, plan{})
	a := ask(t, "OPTIONS", h.public+"/v1/idempotency/k/resolve", "", "Origin: "+pageOrigin, "Access-Control-Request-Method: POST")
	if a.StatusCode != 204 || a.Header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	if !strings.Contains(readable, "Idempotency-Replayed") {
		t.Error("pages cannot read the header")
	}
}
