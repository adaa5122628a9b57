package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestNoPathIsAFile asks both doors for files, in the spellings with which other
// servers were talked into giving them.
func TestNoPathIsAFile(t *testing.T) {
	h := build(t, plan{})
	for _, base := range []string{h.public, h.admin} {
		for _, path := range []string{
			"/..%255c..%255cetc/passwd", "/..%5c..%5cwindows/win.ini", "/..\\..\\win.ini", "/admin/..%2f..%2fetc/passwd",
			"/admin/index.html::$DATA", "/admin/%00", "/admin/index.html%00.js", "/etc/passwd", "/.git/config", "/.env",
			"/go.mod", "/admin/", "/admin/index.html", "/static/../../go.mod", "/%2e%2e/%2e%2e/go.mod", "/C:/boot.ini", "/%c0%ae%c0%ae/go.mod",
		} {
			got := raw(t, base, "GET "+path+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+adminToken+"\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 404 ") && !strings.HasPrefix(got, "HTTP/1.1 400 ") {
				t.Errorf("%s: %.80q", path, got)
			}
			if strings.Contains(got, "module perch") || strings.Contains(got, "root:") {
				t.Errorf("%s gives a file", path)
			}
		}
	}
}

// TestAnOriginThatIsEverybodyCannotBeAllowed registers origins that would open
// replies to any page.
func TestAnOriginThatIsEverybodyCannotBeAllowed(t *testing.T) {
	h := build(t, plan{})
	for _, origin := range []string{
		"*", "null", "https://*", "https://*.example", "http://*:80", "https://", "//", "", ".*", "https://a.example, *", "file://", "https://a.example/*",
	} {
		for _, call := range []string{"POST /admin/v1/apps", "PATCH /admin/v1/apps/" + string(h.app.ID)} {
			method, path, _ := strings.Cut(call, " ")
			a := h.operator(method, path, `{"name":"x","origins":[`+strconv.Quote(origin)+`]}`)
			if a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s takes the origin %q: %d %s", method, origin, a.StatusCode, a.body)
			}
		}
		a := ask(t, "GET", h.public+"/oauth/jwks", "", "Origin: "+origin)
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("a page at %q may read what is for %q", origin, got)
		}
	}
}

// TestAFormKeyIsOnlyAName sends names that other readers of forms take for
// places in lists, and make room for.
func TestAFormKeyIsOnlyAName(t *testing.T) {
	h := build(t, plan{})
	for _, name := range []string{"a.18446744073704", "a[18446744073704]", "a[-1]", "a[]", "a.b.c.d.e.f", "[", "a[b", "a.-1", "__proto__[x]"} {
		for _, method := range []string{"token", "revoke"} {
			body := "client_id=" + h.pk + "&grant_type=x&" + name + "=1"
			got := raw(t, h.public, "POST /oauth/"+method+" HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
				"Connection: close\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
			if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
				t.Errorf("%s at %s: %.80q", name, method, got)
			}
		}
		got := raw(t, h.admin, "GET /admin/v1/apps?"+strings.NewReplacer("[", "%5B", "]", "%5D").Replace(name)+"=1 HTTP/1.1\r\nHost: a\r\n"+
			"Authorization: Bearer "+adminToken+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%s in a query: %.80q", name, got)
		}
	}
}
