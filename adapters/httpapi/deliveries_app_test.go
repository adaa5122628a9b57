package httpapi

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/apikey"
	"perch/domain/oauth"
)

// What only the X App performs is for those who may act as the X App.
func TestWhatTheXAppDoesIsForThoseWhoMayActAsIt(t *testing.T) {
	const rules = "/2/tweets/search/stream/rules"
	h := build(t, plan{})
	if a := h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"actions":["everything"]}`); a.StatusCode != http.StatusOK {
		t.Fatal(a.body)
	}
	bearer := func(k apikey.Key) string {
		k.App, k.Kind = h.app.ID, apikey.Secret
		return "Authorization: Bearer " + h.key(k)
	}
	own := bearer(apikey.Key{AppOnly: true})
	plain := bearer(apikey.Key{})
	bound := bearer(apikey.Key{AppOnly: true, Grants: []oauth.GrantID{h.grant}})
	grant := "Perch-Grant: " + string(h.grant)
	add := func(value, key string, headers ...string) answer {
		return ask(t, "POST", h.public+rules, `{"add":[{"value":"`+value+`"}]}`, append(headers, "Idempotency-Key: "+key)...)
	}
	done := add("cats", "k1", own, later).json(t)["id"].(string)
	h.work()
	id := add("dogs", "k2", bound, grant, later).json(t)["id"].(string)
	if a := add("dogs", "k2", own); a.StatusCode != http.StatusConflict || !strings.Contains(a.body, "idempotency-key-queued") {
		t.Errorf("at once, while it waits: %d %s", a.StatusCode, a.body)
	}
	reads := func(credential ...string) bool {
		a := ask(t, "GET", h.public+"/v1/deliveries/"+done, "", credential...)
		if !strings.Contains(a.body, `"state":"done"`) {
			t.Errorf("the delivery: %d %s", a.StatusCode, a.body)
		}
		return strings.Contains(a.body, `"reply"`)
	}
	if reads(plain) || !reads(own) || !reads(bound, grant) {
		t.Error("X's reply is not for those, and only those, who may act as the X App")
	}
	if a := ask(t, "GET", h.public+"/v1/idempotency/k1", "", plain); a.StatusCode != http.StatusNotFound {
		t.Errorf("a key without app-only permission sees the X App's call: %d %s", a.StatusCode, a.body)
	}
	if got := data(t, ask(t, "GET", h.public+"/v1/deliveries?state=queued", "", bound, grant)); len(got) != 1 {
		t.Errorf("whoever asked lists %v", got)
	}
	if a := ask(t, "DELETE", h.public+"/v1/deliveries/"+id, "", plain); a.StatusCode != http.StatusForbidden {
		t.Errorf("a key without app-only permission cancels: %d %s", a.StatusCode, a.body)
	}
	if a := h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"actions":["read"]}`); a.StatusCode != http.StatusOK {
		t.Fatal(a.body)
	}
	if a := ask(t, "DELETE", h.public+"/v1/deliveries/"+id, "", own); a.StatusCode != http.StatusForbidden || reads(own) {
		t.Errorf("when its application may not: %d %s", a.StatusCode, a.body)
	}
}

// The key of a call that was made at once is not taken over, and is of that call alone.
func TestTheKeyOfAnotherCallIsRefusedAtOnce(t *testing.T) {
	h := build(t, plan{})
	if a := h.act("POST", "/2/tweets", `{"text":"at once"}`, "Idempotency-Key: k"); a.StatusCode != http.StatusCreated {
		t.Fatal(a.body)
	}
	a := h.act("POST", "/2/tweets", `{"text":"later"}`, later, "Idempotency-Key: k")
	if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.body, "idempotency-key-reused") ||
		a.Header.Get("Preference-Applied") != "" {
		t.Errorf("another call: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	a = h.act("POST", "/2/tweets", `{"text":"at once"}`, later, "Idempotency-Key: k")
	if a.StatusCode != http.StatusCreated || a.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the same call: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if got := data(t, h.act("GET", "/v1/deliveries", "")); len(got) != 0 || h.made() != 1 {
		t.Errorf("%d posts, and deliveries %v", h.made(), got)
	}
}

// One that waits for its turn says so, and not that it should have been sent long ago.
func TestADeliveryBehindAnotherSaysSo(t *testing.T) {
	h := build(t, plan{})
	began, looked := time.Now(), atomic.Int64{} // a clock that never comes to the first's next attempt
	h.services.Deliveries.Now = func() time.Time {
		return began.Add(time.Duration(looked.Add(1)) * time.Millisecond)
	}
	h.sim.Mischief(xsim.Mischief{Match: "createPosts", Kind: "rate_limit_bare", Times: 1})
	first := h.queue("first")
	h.work()
	a := h.act("POST", "/2/tweets", `{"text":"second"}`, later)
	second, _ := a.json(t)["id"].(string)
	third := h.queue("third")
	h.work()
	if v := a.json(t); v["behind"] != first || v["next_attempt_at"] != nil {
		t.Errorf("when it is accepted: %s", a.body)
	}
	if v := h.delivery(first).json(t); v["behind"] != nil || v["next_attempt_at"] == nil || v["outcome"] == nil {
		t.Errorf("the first in line: %v", v)
	}
	if v := h.delivery(third).json(t); v["behind"] != first || v["next_attempt_at"] != nil {
		t.Errorf("the third: %v", v)
	}
	for what, list := range map[string]answer{
		"clients": h.act("GET", "/v1/deliveries?state=queued", ""), "operators": h.operator("GET", "/admin/v1/deliveries", ""),
	} {
		behind := map[any]any{}
		all, _ := list.json(t)["data"].([]any)
		for _, one := range all {
			v, _ := one.(map[string]any)
			behind[v["id"]] = v["behind"]
		}
		if behind[first] != nil || behind[second] != first || behind[third] != first || len(behind) != 3 {
			t.Errorf("%s see %v", what, behind)
		}
	}
}
