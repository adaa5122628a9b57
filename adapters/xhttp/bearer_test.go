package xhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

func TestTheBearerComesFromTheXAppOrFromX(t *testing.T) {
	var asked atomic.Int64
	g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		key, sec, _ := r.BasicAuth()
		if r.URL.Path != "/oauth2/token" || r.FormValue("grant_type") != "client_credentials" ||
			key != "api-key" || sec != "api-secret-"+canary {
			t.Errorf("X was asked %s %s", r.Method, r.URL.Path)
		}
		_, _ = w.Write([]byte(`{"token_type":"bearer","access_token":"AAAA%2Fb%3D"}`))
	}))
	given := confidential
	given.Bearer = secret.New("given")
	if got, err := g.AppToken(t.Context(), given); err != nil || got.Reveal() != "given" || asked.Load() != 0 {
		t.Errorf("the given bearer: %v, X asked %d times", err, asked.Load())
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, err := g.AppToken(t.Context(), confidential); err != nil || got.Reveal() != "AAAA%2Fb%3D" {
				t.Errorf("got error %v", err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("X was asked %d times", n)
	}
	for _, x := range []ports.XApp{public, {APIKey: "k"}, {APISecret: secret.New("s")}} {
		if _, err := g.AppToken(t.Context(), x); !errors.Is(err, fault.Forbidden) {
			t.Errorf("nothing to ask with: %v", err)
		}
	}
}

func TestBearersAreKeptApart(t *testing.T) {
	var n atomic.Int64
	g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token":"b%d"}`, n.Add(1))
	}))
	seen := map[string]bool{}
	first, second, third := confidential, confidential, confidential
	second.APISecret = secret.New("rotated")
	third.ID = "three"
	for _, x := range []ports.XApp{first, second, third} {
		for range 2 {
			got, err := g.AppToken(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			seen[got.Reveal()] = true
		}
	}
	if len(seen) != 3 || n.Load() != 3 {
		t.Errorf("%d bearers of %d calls", len(seen), n.Load())
	}
}

func TestARefusedAPIKeyIsNotTriedAgainAtOnce(t *testing.T) {
	for _, code := range []int{401, 403} {
		var asked atomic.Int64
		g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{"errors":[{"code":99,"message":"api-secret-` + canary + `"}]}`))
		}))
		for range 3 {
			_, err := g.AppToken(t.Context(), confidential)
			if !errors.Is(err, fault.Upstream) || strings.Contains(err.Error(), canary) {
				t.Errorf("%d: %v", code, err)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("%d: X was asked %d times", code, n)
		}
	}
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		for name, a := range answers() {
			onceOnlyBearer(t, serve, name, a.serve)
		}
	})
}

func onceOnlyBearer(
	t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server, name string, answer http.HandlerFunc,
) {
	t.Helper()
	var asked atomic.Int64
	g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer(w, r)
	}))
	_, err := g.AppToken(t.Context(), confidential)
	if err == nil || errors.Is(err, ports.ErrUnsent) || strings.Contains(err.Error(), "api-secret-"+canary) {
		t.Errorf("%s: %v", name, err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%s: X was asked %d times", name, n)
	}
}

func TestABearerXNoLongerTakesIsForgotten(t *testing.T) {
	var asked atomic.Int64
	g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth2/token" {
			_, _ = fmt.Fprintf(w, `{"access_token":"b%d"}`, asked.Add(1))
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	use := func(token string) {
		t.Helper()
		reply, err := g.Do(t.Context(), ports.Call{Action: action(t, "getUsage"), XApp: "one", Token: secret.New(token)})
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close()
	}
	want := func(token string) {
		t.Helper()
		if got, err := g.AppToken(t.Context(), confidential); err != nil || got.Reveal() != token {
			t.Errorf("got another bearer than %s, error %v", token, err)
		}
	}
	age := func() {
		b := g.bearers.known["one"]
		b.at = b.at.Add(-askAgain)
		g.bearers.keep("one", b)
	}
	want("b1")
	use("b1") // X gave it just now: asking again would not help
	want("b1")
	age()
	use("a user's")
	want("b1")
	use("b1")
	want("b2")
}

func TestWhoWaitsForABearerMayLeave(t *testing.T) {
	release := make(chan struct{})
	g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write([]byte(`{"access_token":"b"}`))
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := g.AppToken(ctx, confidential)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	close(release)
	if got, err := g.AppToken(t.Context(), confidential); err != nil || got.Reveal() != "b" {
		t.Errorf("whoever stays: %v", err)
	}
}
