package wiring_test

import (
	"net/http"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// TestWhatTheCacheAnswersCountsForTheAddressAlone: the key has one call of X, its
// address four requests.
func TestWhatTheCacheAnswersCountsForTheAddressAlone(t *testing.T) {
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	cfg := settings(t, environments()[0], at)
	cfg.Limits, cfg.Cache = "key:1/h, address:4/h", "getUsersMe=1m"
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	for _, v := range []struct {
		path, limited string
		status        int
	}{
		{"/2/users/me", "", http.StatusOK},
		{"/2/users/me", "", http.StatusOK},
		{"/2/users/" + ada + "/owned_lists", "key", http.StatusTooManyRequests},
		{"/2/users/me", "", http.StatusOK},
		{"/2/users/me", "address", http.StatusTooManyRequests},
	} {
		if a := h.act(t, app.sk, grant, "GET", v.path, ""); a.status != v.status || a.text("limited") != v.limited {
			t.Errorf("%s: %d %s, want %d by %q", v.path, a.status, a.body, v.status, v.limited)
		}
	}
}
