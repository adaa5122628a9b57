package xhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

const (
	shownCode    = "code-" + canary
	shownRefresh = "refresh-" + canary
	shownAccess  = "access-" + canary
)

// A presentation is a token call that shows X something that works once.
type presentation func(context.Context, *Gateway, ports.XApp) (ports.Tokens, error)

var presentations = map[string]presentation{
	"Exchange": func(ctx context.Context, g *Gateway, x ports.XApp) (ports.Tokens, error) {
		return g.Exchange(ctx, x, secret.New(shownCode), secret.New("verifier-"+canary), "https://app.example/cb")
	},
	"Refresh": func(ctx context.Context, g *Gateway, x ports.XApp) (ports.Tokens, error) {
		return g.Refresh(ctx, x, secret.New(shownRefresh))
	},
	"Revoke": func(ctx context.Context, g *Gateway, x ports.XApp) (ports.Tokens, error) {
		return ports.Tokens{}, g.Revoke(ctx, x, secret.New(shownAccess))
	},
}

// answers are what X, its edge or an attacker may answer a token call with.
func answers() map[string]struct {
	serve http.HandlerFunc
	want  fault.Kind // of Exchange; Internal: see the test
} {
	say := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	refuse := func(status int, code string) http.HandlerFunc {
		return say(status, "application/json", fmt.Sprintf(
			`{"error":%q,"error_description":"Value %s %s %s was invalid"}`, code, shownCode, shownRefresh, shownAccess))
	}
	const page = "<html>" + shownRefresh + "</html>"
	return map[string]struct {
		serve http.HandlerFunc
		want  fault.Kind
	}{
		"200 page":                {say(200, "text/html", page), fault.Unavailable},
		"200 page as JSON":        {say(200, "application/json", page), fault.Unavailable},
		"200 empty":               {say(200, "application/json", ""), fault.Unavailable},
		"200 no token":            {say(200, "application/json", `{}`), fault.Unavailable},
		"200 error":               {refuse(200, "invalid_grant"), fault.Unavailable},
		"200 control characters":  {say(200, "application/json", `{"access_token":"a\r\nX: y"}`), fault.Unavailable},
		"200 odd expires_in":      {say(200, "application/json", `{"access_token":"a","expires_in":"`+canary+`"}`), fault.Unavailable},
		"200 too long":            {say(200, "application/json", `{"access_token":"`+strings.Repeat("a", 2<<20)+`"}`), fault.Unavailable},
		"302":                     {redirect(302), fault.Unavailable},
		"307":                     {redirect(307), fault.Unavailable},
		"308":                     {redirect(308), fault.Unavailable},
		"400 invalid_request":     {refuse(400, "invalid_request"), fault.Invalid},
		"400 invalid_grant":       {refuse(400, "invalid_grant"), fault.Invalid},
		"403 invalid_grant":       {refuse(403, "invalid_grant"), fault.Invalid},
		"400 page":                {say(400, "text/html", page), fault.Unavailable},
		"400 other":               {refuse(400, "unsupported_grant_type"), fault.Unavailable},
		"401 unauthorized_client": {refuse(401, "unauthorized_client"), fault.Upstream},
		"401 invalid_client":      {refuse(401, "invalid_client"), fault.Upstream},
		"401 bare":                {say(401, "application/json", `{"title":"Unauthorized"}`), fault.Unavailable},
		"401 invalid_grant":       {refuse(401, "invalid_grant"), fault.Unavailable},
		"408":                     {refuse(408, "invalid_request"), fault.Unavailable},
		"429":                     {refuse(429, "invalid_request"), fault.Limited},
		"500":                     {refuse(500, "invalid_grant"), fault.Unavailable},
		"503":                     {say(503, "text/html", page), fault.Unavailable},
		"cut before the answer":   {cut(""), fault.Unavailable},
		"cut in the header":       {cut("HTTP/1.1 200 OK\r\nContent-Ty"), fault.Unavailable},
		"cut in the body":         {cut("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"access_token\":\"a"), fault.Unavailable},
		"no HTTP":                 {cut(shownRefresh + " is not HTTP\r\n\r\n"), fault.Unavailable},
	}
}

func redirect(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", status)
	}
}

// cut writes text to the bare connection, reads nothing more, and closes it. Over
// HTTP/2 the stream is reset.
func cut(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		hijacker, ok := w.(http.Hijacker)
		if !ok {
			panic(http.ErrAbortHandler)
		}
		c, _, err := hijacker.Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = c.Write([]byte(text))
		_ = c.Close()
	}
}

func TestATokenIsPresentedOnce(t *testing.T) {
	both(t, func(t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server) {
		for name, a := range answers() {
			for call, present := range presentations {
				for kind, x := range map[string]ports.XApp{"confidential": confidential, "public": public} {
					t.Run(name+"/"+call+"/"+kind, func(t *testing.T) {
						t.Parallel()
						onceOnly(t, serve, a.serve, a.want, call, func(g *Gateway) error {
							return drop(present(t.Context(), g, x))
						})
					})
				}
			}
		}
	})
}

func onceOnly(
	t *testing.T, serve func(*testing.T, http.HandlerFunc) *httptest.Server,
	answer http.HandlerFunc, want fault.Kind, call string, present func(*Gateway) error,
) {
	var seen atomic.Int64
	g := gateway(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		seen.Add(1)
		answer(w, r)
	}))
	connect(t, g)
	err := present(g)
	if n := seen.Load(); n != 1 {
		t.Errorf("presented %d times", n)
	}
	if call == "Revoke" && (want == fault.Invalid || err == nil) {
		if want == fault.Invalid && err != nil {
			t.Errorf("revoking what X does not know: %v", err)
		}
		return
	}
	if want == fault.Invalid && call == "Refresh" {
		want = fault.Forbidden
	}
	if fault.KindOf(err) != want {
		t.Errorf("got %v, want kind %q", err, want)
	}
	refusedIt := want == fault.Invalid || want == fault.Forbidden
	if errors.Is(err, ports.ErrRejected) != refusedIt || errors.Is(err, ports.ErrUnsent) {
		t.Errorf("ErrRejected is %v, ErrUnsent %v: %v",
			errors.Is(err, ports.ErrRejected), errors.Is(err, ports.ErrUnsent), err)
	}
	if said := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(said, canary) {
		t.Errorf("a secret in the error: %v", err)
	}
}

func TestALimitSaysWhenToComeBack(t *testing.T) {
	g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	_, err := g.Refresh(t.Context(), confidential, secret.New("r"))
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Limited || f.Wait != 17*time.Second {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsSentToWhoDoesNotAnswer(t *testing.T) {
	for call, present := range presentations {
		_, err := present(t.Context(), at(t, nowhere(t)), confidential)
		if !errors.Is(err, ports.ErrUnsent) || !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", call, err)
		}
	}
	tlsOnly := server2(t, func(http.ResponseWriter, *http.Request) { t.Error("a stranger was trusted") })
	for call, present := range presentations {
		_, err := present(t.Context(), at(t, tlsOnly.URL), confidential) // without its root
		if !errors.Is(err, ports.ErrUnsent) {
			t.Errorf("%s over an unknown certificate: %v", call, err)
		}
	}
}

func TestATokenCallEndsWithItsContext(t *testing.T) {
	for call, present := range presentations {
		release := make(chan struct{})
		g := gateway(t, server(t, func(http.ResponseWriter, *http.Request) { <-release }))
		err := overdue(t, func(ctx context.Context) error { return drop(present(ctx, g, confidential)) })
		close(release)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, fault.Unavailable) ||
			errors.Is(err, ports.ErrUnsent) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func drop[V any](_ V, err error) error { return err }
