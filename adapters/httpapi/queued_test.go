package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"perch/domain/apikey"
)

// The key of what waits is known, and nobody lets go of it but by cancelling.
func TestTheKeyOfWhatWaitsSaysSo(t *testing.T) {
	h := build(t, plan{})
	id := h.queue("later", "Idempotency-Key: a/b")
	at := h.public + "/v1/deliveries/" + id
	path := "/v1/idempotency/b64.YS9i"
	a := h.act("GET", path, "")
	if v := a.json(t); a.StatusCode != 200 || v["state"] != "queued" || v["key"] != "a/b" || v["action"] != "createPosts" ||
		v["delivery_url"] != at || v["advice"] == "" {
		t.Errorf("looked: %d %s", a.StatusCode, a.body)
	}
	if a := h.act("POST", path+"/resolve", ""); a.StatusCode != 200 || a.json(t)["state"] != "queued" {
		t.Errorf("resolved: %d %s", a.StatusCode, a.body)
	}
	for what, a := range map[string]answer{
		"forgotten":    h.act("DELETE", path, ""),
		"sent at once": h.act("POST", "/2/tweets", `{"text":"later"}`, "Idempotency-Key: a/b"),
	} {
		v := a.json(t)
		detail, _ := v["detail"].(string)
		if a.StatusCode != http.StatusConflict || v["type"] != typePrefix+"idempotency-key-queued" || v["delivery_url"] != at ||
			!strings.Contains(detail, "cancel") {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	reader := h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret, Actions: []string{"read"}})
	if a := ask(t, "DELETE", h.public+path, "", "Authorization: Bearer "+reader, "Perch-Grant: "+string(h.grant)); a.StatusCode != 403 {
		t.Errorf("who may not post: %d %s", a.StatusCode, a.body)
	}
	if a := h.act("DELETE", strings.TrimPrefix(at, h.public), ""); a.StatusCode != http.StatusNoContent {
		t.Fatalf("cancelled: %d %s", a.StatusCode, a.body)
	}
	if v := h.act("GET", path, "").json(t); v["state"] != "cancelled" || v["delivery_url"] != at {
		t.Errorf("after it was cancelled: %v", v)
	}
	a = h.act("POST", "/2/tweets", `{"text":"later"}`, "Idempotency-Key: a/b")
	if a.StatusCode != http.StatusCreated || h.made() != 1 {
		t.Errorf("the key is not free: %d %s", a.StatusCode, a.body)
	}
}

func TestTheKeyOfWhatWasDeliveredSaysWhatXSaid(t *testing.T) {
	h := build(t, plan{})
	id := h.queue("later", "Idempotency-Key: k")
	h.work()
	if v := h.act("GET", "/v1/idempotency/k", "").json(t); v["state"] != "done" || v["status"] != 201.0 ||
		v["delivery_url"] != h.public+"/v1/deliveries/"+id {
		t.Errorf("looked: %v", v)
	}
	a := h.act("POST", "/2/tweets", `{"text":"later"}`, "Idempotency-Key: k")
	if a.StatusCode != http.StatusCreated || a.Header.Get("Idempotency-Replayed") != "true" || h.made() != 1 {
		t.Errorf("the same at once: %d %s", a.StatusCode, a.body)
	}
}

// A delivery may wait for longer than the key of a call that was made at once is
// known.
func TestAKeyThatWasUsedAtOnceIsNoDeliverys(t *testing.T) {
	h := build(t, plan{})
	first := h.act("POST", "/2/tweets", `{"text":"now"}`, "Idempotency-Key: k")
	again := h.act("POST", "/2/tweets", `{"text":"now"}`, "Idempotency-Key: k", later)
	if again.StatusCode != http.StatusCreated || again.body != first.body || again.Header.Get("Preference-Applied") != "" ||
		again.Header.Get("Idempotency-Replayed") != "true" || h.made() != 1 {
		t.Errorf("%d %v %s", again.StatusCode, again.Header, again.body)
	}
	if got := data(t, h.act("GET", "/v1/deliveries", "")); len(got) != 0 {
		t.Errorf("it was taken over: %v", got)
	}
}
