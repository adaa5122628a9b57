package wiring_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// TestWhoIsRegisteredAloneHasAWholeDayOfXAtOnce: X allows the X App ten posts a
// day, and says so.
func TestWhoIsRegisteredAloneHasAWholeDayOfXAtOnce(t *testing.T) {
	for others, most := range map[int]int{0: 10, 1: 6} { // one before X has said how many there are
		x := xsim.New(xsim.Options{})
		var made atomic.Int64
		at, _ := serveX(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := httptest.NewRecorder()
			x.ServeHTTP(a, r)
			maps.Copy(w.Header(), a.Header())
			if r.URL.Path == "/2/tweets" {
				w.Header().Set("X-App-Limit-24hour-Limit", "10")
				w.Header().Set("X-App-Limit-24hour-Remaining", strconv.FormatInt(max(10-made.Add(1), 0), 10))
			}
			w.WriteHeader(a.Code)
			_, _ = w.Write(a.Body.Bytes())
		}))
		cfg := settings(t, environments()[0], at)
		cfg.XWindows = "on"
		h := open(t, cfg)
		app := h.register(t, pageA, "")
		for range others {
			h.register(t, pageB, "")
		}
		grant := h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
		n := 0
		for i := range 12 {
			if h.act(t, app.sk, grant, "POST", "/2/tweets", fmt.Sprintf(`{"text":"number %d"}`, i)).status == http.StatusCreated {
				n++
			}
		}
		if n > most || n < most-1 {
			t.Errorf("beside %d others it has %d posts at once, want %d", others, n, most)
		}
	}
}
