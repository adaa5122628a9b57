package xhttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"perch/domain/fault"
	"perch/ports"
)

// Each time X is asked anew it is checked that it may be, at the last moment. Where it
// may not any more, what X said before stands.
func TestACallIsCheckedBeforeEachTry(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		var asked atomic.Int64
		g := gateway(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("{}"))
		}))
		for _, allowed := range []int64{0, 1, 9} {
			asked.Store(0)
			late, checks := fault.New(fault.Unavailable, "it took too long"), int64(0)
			ctx := ports.Checked(t.Context(), func() error {
				if checks++; checks > allowed {
					return late
				}
				return nil
			})
			reply, err := g.Do(ctx, ports.Call{Action: action(t, "getUsersMe")})
			if got, want := asked.Load(), min(allowed, 3); got != want {
				t.Errorf("X was asked %d times, want %d", got, want)
			}
			refused := errors.Is(err, late) && errors.Is(err, ports.ErrUnsent) && errors.Is(err, fault.Unavailable)
			if (allowed == 0) != refused || allowed > 0 && (err != nil || reply.Status != http.StatusBadGateway) || checks != 3 {
				t.Errorf("%d allowed, %d checks: %d, %v", allowed, checks, reply.Status, err)
			}
		}
	})
}

func TestABodyOfACallThatIsTooLateIsNotRead(t *testing.T) {
	g := gateway(t, server(t, func(http.ResponseWriter, *http.Request) { t.Error("X was asked") }))
	body := strings.NewReader(`{"text":"a"}`)
	ctx := ports.Checked(t.Context(), func() error { return fault.New(fault.Unavailable, "it took too long") })
	_, err := g.Do(ctx, ports.Call{Action: action(t, "createPosts"), Body: body, Length: int64(body.Len())})
	if !errors.Is(err, ports.ErrUnsent) || body.Len() != 12 {
		t.Errorf("%d bytes are left: %v", body.Len(), err)
	}
}
