package wiring_test

import (
	"net/http"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// TestReplicasKeepLimitsTogether: our own, as the settings have them, and X's
// windows, whichever replica is asked.
func TestReplicasKeepLimitsTogether(t *testing.T) { lasting(t, replicasKeepLimitsTogether) }

func replicasKeepLimitsTogether(t *testing.T, e environment) {
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	cfg := settings(t, e, at)
	cfg.Limits, cfg.XWindows = "key/write:2/h", "on"
	one := open(t, cfg)
	cfg.PublicURL = one.public
	h := pair{one, open(t, cfg)}
	app := one.register(t, pageA, "")
	grant := one.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	for i := range 15 { // as many as X allows in 15 minutes
		want(t, http.StatusOK, h[i%2].act(t, app.sk, grant, "GET", "/2/users/"+ada+"/owned_lists", ""))
	}
	want(t, http.StatusCreated, h[0].act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"one"}`),
		h[1].act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"two"}`))
	for _, replica := range h {
		a := replica.act(t, app.sk, grant, "GET", "/2/users/"+ada+"/owned_lists", "")
		if a.status != http.StatusTooManyRequests || a.problem() != "x-rate-limit" {
			t.Errorf("a read too many: %d %s", a.status, a.body)
		}
		a = replica.act(t, app.sk, grant, "POST", "/2/tweets", `{"text":"three"}`)
		if a.status != http.StatusTooManyRequests || a.problem() != "limit-reached" {
			t.Errorf("a post too many: %d %s", a.status, a.body)
		}
	}
	for _, entry := range x.Ledger() {
		if entry.Details["status"] == "429" {
			t.Errorf("X refused: %v", entry)
		}
	}
}
