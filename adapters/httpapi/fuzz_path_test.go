package httpapi

import (
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"perch/domain/client"
	"perch/domain/xapi"
)

// FuzzPath: whatever the path of a request, X is sent nothing but an action the
// application may perform, at the path the client wrote, in the one spelling
// that no reader takes for another.
func FuzzPath(f *testing.F) {
	l := newLab(f)
	l.permit(f, "tag:Posts", "tag:Media")
	app := client.App{Actions: []string{"tag:Posts", "tag:Media"}}
	f.Fuzz(func(t *testing.T, method, target string) {
		if splits(method, target) || strings.ContainsAny(method, " ") {
			t.Skip()
		}
		a := l.line.send(t, method+" "+target+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+l.sk+"\r\n\r\n")
		if a.StatusCode != http.StatusServiceUnavailable { // a stream of this X ends at once, for one
			l.decent(t, a, "")
		}
		asked := l.x.take()
		if len(asked) == 0 {
			if method == "GET" && target == "/2/tweets/1" {
				t.Errorf("a good path is refused: %d %s", a.StatusCode, a.body)
			}
			return
		}
		if len(asked) > 1 {
			t.Fatalf("%s %q became %d calls", method, target, len(asked))
		}
		sent, query, _ := strings.Cut(asked[0].target, "?")
		written, wanted, _ := strings.Cut(target, "?")
		act, params, ok := xapi.Find(asked[0].method, sent)
		if !ok || !app.Permits(act) || asked[0].method != method {
			t.Fatalf("%s %q became %s %q", method, target, asked[0].method, asked[0].target)
		}
		if again, ok := act.Fill(params); !ok || again != sent || path.Clean(sent) != sent {
			t.Errorf("%s %q became %q", method, target, asked[0].target)
		}
		if decoded(t, sent) != decoded(t, written) || !sameQuery(query, wanted) {
			t.Errorf("%q became %q", target, asked[0].target)
		}
		for name := range asked[0].header {
			if !slices.Contains(sentToX, name) {
				t.Errorf("X is sent the header %s", name)
			}
		}
	})
}

// sentToX are the headers of a call without a body.
var sentToX = []string{"Authorization", "User-Agent", "Accept", "Accept-Encoding", "Content-Length", "Content-Type"}

// sameQuery reports whether both say the same: X is sent what was understood.
func sameQuery(a, b string) bool {
	one, err1 := url.ParseQuery(a)
	two, err2 := url.ParseQuery(b)
	return err1 == nil && err2 == nil && reflect.DeepEqual(one, two)
}

func decoded(t *testing.T, at string) string {
	t.Helper()
	v, err := url.PathUnescape(at)
	if err != nil {
		t.Fatalf("%q: %v", at, err)
	}
	return v
}

// FuzzCredential: whatever a request brings to be let in, it acts as who it is,
// or as nobody; X sees the token of the caller's own grant and nothing else of
// what was brought.
func FuzzCredential(f *testing.F) {
	l := newLab(f)
	f.Fuzz(func(t *testing.T, authorization, grant, origin, site string) {
		authorization, grant = l.fill(authorization), l.fill(grant)
		if splits(authorization, grant, origin, site) {
			t.Skip()
		}
		origin, site = l.fill(origin), strings.Trim(site, " \t")
		head := "GET /2/users/me HTTP/1.1\r\nHost: a\r\n"
		for name, value := range map[string]string{
			"Authorization": authorization, "Perch-Grant": grant, "Origin": origin, "Sec-Fetch-Site": site,
		} {
			if value != "" {
				head += name + ": " + value + "\r\n"
			}
		}
		a := l.line.send(t, head+"\r\n")
		origin = strings.Trim(origin, " \t")
		if a.Header.Get(RequestID) == "" {
			t.Errorf("no ID: %d %s", a.StatusCode, a.body)
		}
		l.decent(t, a, origin)
		asked := l.x.take()
		if (a.StatusCode == http.StatusOK) != (len(asked) == 1) || len(asked) > 1 {
			t.Fatalf("%q: status %d, %d calls", head, a.StatusCode, len(asked))
		}
		if len(asked) == 0 {
			if authorization == "Bearer "+l.sk && grant+origin+site == "" {
				t.Errorf("a good key is refused: %d %s", a.StatusCode, a.body)
			}
			return
		}
		scheme, token, _ := strings.Cut(strings.Trim(authorization, " \t"), " ")
		browser := origin != "" || site != ""
		known := (token == l.sk || token == l.appOnly && grant != "") && !browser || token == l.access && (origin == "" || origin == pageOrigin)
		if g := strings.Trim(grant, " \t"); !known || !strings.EqualFold(scheme, "Bearer") || g != "" && g != string(l.grant) {
			t.Errorf("%q is let in", head)
		}
		if got := asked[0].header.Get("Authorization"); got != "Bearer "+l.token || asked[0].header.Get("Cookie") != "" {
			t.Errorf("%q: X is sent %q", head, asked[0].header)
		}
	})
}

// FuzzPage: no page may read a reply, and none passes a preflight, but those of
// origins that are registered, byte for byte.
func FuzzPage(f *testing.F) {
	l := newLab(f)
	targets := []string{
		"GET /2/users/me", "POST /oauth/token", "GET /healthz", "GET /nowhere", "GET /2/users/..", "GET /oauth/jwks", "GET /v1/grants",
	}
	f.Fuzz(func(t *testing.T, which uint8, origin, asks, network string) {
		if splits(origin, asks, network) {
			t.Skip()
		}
		origin = l.fill(origin)
		target := targets[int(which)%len(targets)]
		_, at, _ := strings.Cut(target, " ")
		tail := " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nOrigin: " + origin + "\r\nAccess-Control-Request-Private-Network: " + network + "\r\n"
		a := l.line.send(t, target+tail+"\r\n")
		origin = strings.Trim(origin, " \t")
		l.decent(t, a, origin)
		a = l.line.send(t, "OPTIONS "+at+tail+"Access-Control-Request-Method: "+asks+"\r\n\r\n")
		l.decent(t, a, origin)
		if a.StatusCode < 300 && origin != pageOrigin {
			t.Errorf("a page at %q passes the preflight for %s", origin, target)
		}
		if origin == pageOrigin && asks == "GET" && a.StatusCode != http.StatusNoContent && at == "/2/users/me" {
			t.Errorf("a good preflight is refused: %d %s", a.StatusCode, a.body)
		}
		if a.Header.Get("Access-Control-Allow-Private-Network") != "" {
			t.Errorf("a page at %q may reach into a private network", origin)
		}
		if len(l.x.take()) > 0 {
			t.Errorf("X was asked because of %s from %q", target, origin)
		}
	})
}
