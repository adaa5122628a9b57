package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/apikey"
	"perch/domain/oauth"
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
