package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"perch/app/operators"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

const later = "Prefer: respond-async"

// work has what is due sent.
func (h *house) work() {
	h.t.Helper()
	_, err := h.services.Deliveries.Work(h.t.Context())
	must(h.t, err)
}

// queue has a post sent later and returns its ID.
func (h *house) queue(text string, headers ...string) string {
	h.t.Helper()
	a := h.act("POST", "/2/tweets", fmt.Sprintf(`{"text":%q}`, text), append(headers, later)...)
	if a.StatusCode != http.StatusAccepted {
		h.t.Fatalf("a post for later: %d %s", a.StatusCode, a.body)
	}
	return a.json(h.t)["id"].(string)
}

// logged reports whether a line of the log has all the words.
func (h *house) logged(words ...string) bool {
	for line := range strings.Lines(h.log.String()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return true
		}
	}
	return false
}

func (h *house) delivery(id string) answer {
	h.t.Helper()
	return h.act("GET", "/v1/deliveries/"+id, "")
}

func TestAPostForLaterIsAcceptedAndSent(t *testing.T) {
	h := build(t, plan{})
	a := h.act("POST", "/2/tweets", `{"text":"hello"}`, `prefer: wait=5, Respond-Async; x=y`, "Idempotency-Key: k")
	v := a.json(t)
	id, _ := v["id"].(string)
	if a.StatusCode != http.StatusAccepted || a.Header.Get("Preference-Applied") != "respond-async" ||
		a.Header.Get("Location") != "/v1/deliveries/"+id || v["state"] != "queued" || v["idempotency_key"] != "k" ||
		strings.Contains(a.body, "hello") {
		t.Fatalf("accepted: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if again := h.act("POST", "/2/tweets", `{"text":"hello"}`, later, "Idempotency-Key: k"); again.json(t)["id"] != id {
		t.Errorf("the same key: %s", again.body)
	}
	h.work()
	got := h.delivery(id).json(t)
	outcome, _ := got["outcome"].(map[string]any)
	if got["state"] != "done" || outcome["status"] != 201.0 || !strings.Contains(h.delivery(id).body, `"text":"hello"`) {
		t.Errorf("when it was sent: %v", got)
	}
	if a := h.act("DELETE", "/v1/deliveries/"+id, ""); a.StatusCode != http.StatusConflict ||
		!strings.Contains(a.body, "delivery-ended") {
		t.Errorf("cancelled after it was sent: %d %s", a.StatusCode, a.body)
	}
}

func TestAPreferenceIsOneOfAList(t *testing.T) {
	h := build(t, plan{})
	for want, all := range map[int][][]string{
		http.StatusAccepted: {
			{`respond-async`}, {`RESPOND-ASYNC ; wait=5`}, {`return=minimal`, `respond-async`}, {`note="a, \"b", respond-async`},
			{`respond-async=""`}, {`respond-async;x="a, b"`, `wait=5`}, {`,,respond-async,`}, {`respond-async, respond-async=x`},
		},
		http.StatusCreated: {
			{`note="a, respond-async, b"`}, {`note="a\", respond-async, b"`}, {`note="a`, `respond-async"`}, {`note="a, respond-async`},
			{`wait=5; respond-async`}, {`wait=5;x="y";respond-async, return=minimal`}, {`respond-async=x`}, {`respond-async=x, respond-async`},
			{`"respond-async"`}, {`respond-async-too`}, {`respond async`}, {``}, {`;respond-async`}, {`wait=5, "`, `respond-async`},
		},
	} {
		for i, lines := range all {
			body := fmt.Sprintf(`{"text":"%d of %d"}`, i, want)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.public+"/2/tweets", strings.NewReader(body))
			must(t, err)
			req.Header = http.Header{"Authorization": {"Bearer " + h.sk}, "Content-Type": {"application/json"}, "Prefer": lines}
			res, err := http.DefaultClient.Do(req)
			must(t, err)
			must(t, res.Body.Close())
			if res.StatusCode != want {
				t.Errorf("%q: %d, want %d", lines, res.StatusCode, want)
			}
			h.work() // there is not room for all
		}
	}
}

func TestThePreferenceIsIgnoredWhereItCannotBeMet(t *testing.T) {
	h := build(t, plan{})
	for what, a := range map[string]answer{
		"a read":               h.act("GET", "/2/users/me", "", later),
		"another preference":   h.act("POST", "/2/tweets", `{"text":"now"}`, "Prefer: return=minimal, x=respond-async"),
		"an upload":            h.act("POST", "/2/media/upload", `{}`, later),
		"one that nobody made": h.act("POST", "/2/tweets", `{"text":"at once"}`),
	} {
		if a.StatusCode == http.StatusAccepted || a.Header.Get("Preference-Applied") != "" {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
}

// TestATimeWithoutThePreferenceIsRefused: the post would go at once.
func TestATimeWithoutThePreferenceIsRefused(t *testing.T) {
	h := build(t, plan{})
	asked := len(h.sim.Ledger())
	for what, header := range map[string]string{"none": "Accept: */*", "another": "Prefer: return=minimal"} {
		a := h.act("POST", "/2/tweets", `{"text":"not now"}`, deliverWithin+": 60", header)
		if detail, _ := a.json(t)["detail"].(string); a.StatusCode != http.StatusBadRequest ||
			!strings.Contains(detail, "send Prefer: respond-async with it") {
			t.Errorf("preference %s: %d %s", what, a.StatusCode, a.body)
		}
	}
	if more := len(h.sim.Ledger()) - asked; more != 0 {
		t.Errorf("X heard of it %d times", more)
	}
}

func TestWhatCannotBeSentLaterIsRefusedAtOnce(t *testing.T) {
	h := build(t, plan{})
	weak := h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret, Grants: nil, Actions: []string{"read"}})
	for what, c := range map[string]struct {
		a      answer
		status int
		says   string
	}{
		"a key that may not":     {ask(t, "POST", h.public+"/2/tweets", `{}`, "Authorization: Bearer "+weak, "Perch-Grant: "+string(h.grant), later), 403, "key-action-not-allowed"},
		"no such grant":          {ask(t, "POST", h.public+"/2/tweets", `{}`, "Authorization: Bearer "+weak, "Perch-Grant: grant_00000000000x", later), 403, ""},
		"no credential":          {ask(t, "POST", h.public+"/2/tweets", `{}`, later), 401, ""},
		"a time that is none":    {h.act("POST", "/2/tweets", `{}`, later, deliverWithin+": soon"), 400, "whole number"},
		"a time of nothing":      {h.act("POST", "/2/tweets", `{}`, later, deliverWithin+": 0"), 400, "whole number"},
		"eight days":             {h.act("POST", "/2/tweets", `{}`, later, deliverWithin+": 691200"), 400, "seven days"},
		"a body that is long":    {h.act("POST", "/2/tweets", strings.Repeat("x", 25<<10), later), 413, "too-large"},
		"a query with a token":   {h.act("POST", "/2/tweets?token=x", `{"text":"a"}`, later), 400, "names a credential"},
		"a state that is none":   {h.act("GET", "/v1/deliveries?state=lost", ""), 400, "cancelled"},
		"a delivery of nobody's": {h.act("GET", "/v1/deliveries/dlv_0", ""), 404, "no-such-delivery"},
	} {
		if c.a.StatusCode != c.status || !strings.Contains(c.a.body, c.says) {
			t.Errorf("%s: %d %s", what, c.a.StatusCode, c.a.body)
		}
	}
	h.queue("1")
	h.queue("2")
	h.queue("3")
	a := h.act("POST", "/2/tweets", `{"text":"4"}`, later)
	if a.StatusCode != http.StatusTooManyRequests || !strings.Contains(a.body, "too-many-deliveries") || a.Header.Get("Retry-After") == "" {
		t.Errorf("one more than may wait: %d %s", a.StatusCode, a.body)
	}
}

func TestDeliveriesAreSeenByThoseWhoSeeTheGrant(t *testing.T) {
	h := build(t, plan{})
	other, err := h.services.Clients.Register(t.Context(), client.App{Name: "Other"})
	must(t, err)
	server := "Authorization: Bearer " + h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret})
	reader := "Authorization: Bearer " + h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret, Actions: []string{"read"}})
	stranger := "Authorization: Bearer " + h.key(apikey.Key{App: other.ID, Kind: apikey.Secret})
	session := "Authorization: Bearer " + h.signIn()["access_token"].(string)
	elsewhere := h.elsewhere()
	a := ask(t, "POST", h.public+"/2/tweets", `{"text":"of another"}`, server, "Perch-Grant: "+elsewhere, later)
	if a.StatusCode != http.StatusAccepted {
		t.Fatal(a.body)
	}
	own, foreign := h.queue("own"), a.json(t)["id"].(string)
	for name, c := range map[string]struct {
		credential string
		own, other int
		cancels    int
	}{
		"server": {server, 200, 200, 0}, "stranger": {stranger, 404, 404, 404}, "session": {session, 200, 404, 0},
		"bound key": {"Authorization: Bearer " + h.sk, 200, 404, 0}, "reader": {reader, 200, 200, 403},
	} {
		sees := len(data(t, ask(t, "GET", h.public+"/v1/deliveries?state=queued", "", c.credential)))
		if want := map[bool]int{true: 1}[c.own == 200] + map[bool]int{true: 1}[c.other == 200]; sees != want {
			t.Errorf("%s lists %d, want %d", name, sees, want)
		}
		for id, want := range map[string]int{own: c.own, foreign: c.other} {
			if a := ask(t, "GET", h.public+"/v1/deliveries/"+id, "", c.credential); a.StatusCode != want {
				t.Errorf("%s reads %s: %d, want %d", name, id, a.StatusCode, want)
			}
		}
		if c.cancels != 0 {
			if a := ask(t, "DELETE", h.public+"/v1/deliveries/"+own, "", c.credential); a.StatusCode != c.cancels {
				t.Errorf("%s cancels: %d %s", name, a.StatusCode, a.body)
			}
		}
	}
	h.work()
	if a := ask(t, "GET", h.public+"/v1/deliveries/"+own, "", reader); strings.Contains(a.body, `"reply"`) {
		t.Errorf("a key for reading reads X's reply to a post: %s", a.body)
	}
	if a := ask(t, "GET", h.public+"/v1/deliveries/"+own, "", session, "Origin: "+pageOrigin); !strings.Contains(a.body, `"reply"`) ||
		a.Header.Get("Access-Control-Allow-Origin") != pageOrigin {
		t.Errorf("the page does not read X's reply: %v %s", a.Header, a.body)
	}
}

func TestWhatWaitsCanBeCancelled(t *testing.T) {
	h := build(t, plan{})
	id := h.queue("never")
	if a := h.act("DELETE", "/v1/deliveries/"+id, ""); a.StatusCode != http.StatusNoContent {
		t.Fatalf("cancelled: %d %s", a.StatusCode, a.body)
	}
	byOperator := h.queue("neither")
	if a := h.operator("DELETE", "/admin/v1/deliveries/"+byOperator, ""); a.StatusCode != http.StatusNoContent {
		t.Errorf("an operator cancels: %d %s", a.StatusCode, a.body)
	}
	h.work()
	for who, cancelled := range map[string]string{"actor=key_": id, "actor=" + string(operators.Root): byOperator} {
		if !h.logged("action=delivery.cancel", who, cancelled) {
			t.Errorf("that %s cancelled %s is not in the log: %s", who, cancelled, h.log)
		}
	}
	list := h.operator("GET", "/admin/v1/deliveries?state=cancelled&app="+string(h.app.ID)+"&grant="+string(h.grant), "")
	if got := data(t, list); len(got) != 2 {
		t.Errorf("operators see %s", list.body)
	}
	if got := data(t, h.operator("GET", "/admin/v1/deliveries?app=nobody", "")); len(got) != 0 {
		t.Errorf("of nobody operators see %v", got)
	}
	for _, e := range h.sim.Ledger() {
		if e.Object == "createPosts" {
			t.Errorf("X was asked: %+v", e)
		}
	}
}

func TestTheKeyOfADeliveryThatHasEndedTellsItsEnd(t *testing.T) {
	h := build(t, plan{})
	id := h.queue("once", "Idempotency-Key: k")
	h.work()
	a := h.act("POST", "/2/tweets", `{"text":"once"}`, later, "Idempotency-Key: k")
	v := a.json(t)
	if a.StatusCode != http.StatusOK || a.Header.Get("Preference-Applied") != "" || v["id"] != id || v["state"] != "done" ||
		!strings.Contains(a.body, `"reply"`) {
		t.Errorf("the same again: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	a = h.act("POST", "/2/tweets", `{"text":"twice"}`, later, "Idempotency-Key: k")
	if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.body, "idempotency-key-reused") {
		t.Errorf("something else: %d %s", a.StatusCode, a.body)
	}
	never := h.queue("never", "Idempotency-Key: c")
	h.act("DELETE", "/v1/deliveries/"+never, "")
	a = h.act("POST", "/2/tweets", `{"text":"never"}`, later, "Idempotency-Key: c")
	if v := a.json(t); a.StatusCode != http.StatusOK || v["id"] != never || v["state"] != "cancelled" {
		t.Errorf("after it was cancelled: %d %s", a.StatusCode, a.body)
	}
}

// elsewhere is another grant of the application.
func (h *house) elsewhere() string {
	h.t.Helper()
	return h.operator("POST", "/admin/v1/grants/import", fmt.Sprintf(
		`{"app_id":%q,"user_id":"42","access_token":"a","scope":"tweet.read tweet.write users.read"}`, h.app.ID)).
		json(h.t)["id"].(string)
}

// keyOfCaller has an operator do something to the key with which act asks.
func (h *house) keyOfCaller(method, body string) answer {
	h.t.Helper()
	_, key, err := h.services.Clients.Authenticate(h.t.Context(), secret.New(h.sk), netip.MustParseAddr("127.0.0.1"))
	must(h.t, err)
	return h.operator(method, "/admin/v1/keys/"+string(key.ID), body)
}

// What may be done is looked up when it is sent.
func TestWhoLosesTheRightLosesWhatWaits(t *testing.T) {
	for what, lose := range map[string]func(t *testing.T, h *house) answer{
		"app-suspended": func(t *testing.T, h *house) answer {
			return h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"status":"suspended"}`)
		},
		"action-not-allowed": func(t *testing.T, h *house) answer {
			return h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"actions":["read"]}`)
		},
		"grant-revoked": func(t *testing.T, h *house) answer {
			return h.operator("DELETE", "/admin/v1/grants/"+string(h.grant), "")
		},
		"key-revoked": func(_ *testing.T, h *house) answer { return h.keyOfCaller("DELETE", "") },
		"key-action-not-allowed": func(_ *testing.T, h *house) answer {
			return h.keyOfCaller("PATCH", `{"actions":["read"]}`)
		},
		"bound-key": func(_ *testing.T, h *house) answer {
			return h.keyOfCaller("PATCH", fmt.Sprintf(`{"grants":[%q]}`, h.elsewhere()))
		},
	} {
		t.Run(what, func(t *testing.T) {
			h := build(t, plan{})
			id := h.queue("never")
			if a := lose(t, h); a.StatusCode >= 300 {
				t.Fatal(a.StatusCode, a.body)
			}
			h.work()
			if list := h.operator("GET", "/admin/v1/deliveries?state=failed", ""); !strings.Contains(list.body, id) ||
				!strings.Contains(list.body, typePrefix+what) {
				t.Errorf("operators see %s", list.body)
			}
		})
	}
}

// unlisted is a line of deliveries that does not say what is in it.
type unlisted struct{ ports.Deliveries }

func (u unlisted) List(
	ctx context.Context, f delivery.Filter, after delivery.ID, n int,
) ([]delivery.Delivery, error) {
	if f.State != "" {
		return nil, fault.New(fault.Unavailable, "the store does not answer")
	}
	return u.Deliveries.List(ctx, f, after, n)
}

// Whoever is told that it failed sends it again.
func TestWhatIsAcceptedIsSaidToBeSoThoughTheStoreFallsSilent(t *testing.T) {
	h := build(t, plan{})
	h.services.Deliveries.Store = unlisted{h.services.Deliveries.Store}
	a := h.act("POST", "/2/tweets", `{"text":"hello"}`, later)
	if a.StatusCode != http.StatusAccepted || a.json(t)["state"] != "queued" {
		t.Errorf("accepted: %d %s", a.StatusCode, a.body)
	}
}
