package xhttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"perch/domain/fault"
	"perch/ports"
)

func TestALostAnswerSaysWhatToDoAboutIt(t *testing.T) {
	like := ports.Call{Action: action(t, "likePost"), Params: map[string]string{"id": "1"}}
	silent := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":`))
	}
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Retry-After", "60") // so that nothing is repeated
		w.WriteHeader(http.StatusBadGateway)
	}
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		for slug, x := range map[string]http.HandlerFunc{"x-no-answer": silent, "x-broken-answer": half, "x-page": page} {
			g := gateway(t, serve(t, x))
			for name, v := range map[string]struct {
				call      ports.Call
				says, not string
			}{
				"a read":  {readMe(t), "ask again", "not known"},
				"a like":  {like, "without harm", "Look"},
				"a write": {posting(t), "Look at X before you send it again", "ask again"},
			} {
				_, err := g.Do(t.Context(), v.call)
				f, ok := errors.AsType[*fault.Error](err)
				if !ok || f.Slug != slug || !strings.Contains(f.Say, v.says) || strings.Contains(f.Say, v.not) {
					t.Errorf("%s, %s: %v", slug, name, err)
				}
			}
		}
	})
}
