package httpapi

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What anybody may reach, and nothing else.
var unguarded = []string{
	"GET /.well-known/oauth-authorization-server", "GET /oauth/jwks", "GET /oauth/authorize",
	"GET /i/oauth2/authorize", "GET /oauth/callback", "GET /oauth/extend", "GET /v1/session/sign-in",
	"GET /healthz", "HEAD /healthz", "GET /readyz", "HEAD /readyz",
}

func TestEveryRouteHasAGuard(t *testing.T) {
	for name, table := range map[string][]route{
		"public": (&Server{}).publicRoutes(), "admin": (&Server{}).adminRoutes(),
	} {
		for _, row := range table {
			what := row.method + " " + row.path
			switch row.guard {
			case guardAnyone:
				if !slices.Contains(unguarded, what) {
					t.Errorf("%s: %s has no guard", name, what)
				}
			case guardClient, guardCaller, guardAction, guardViewer, guardOperator, guardOwner:
			default:
				t.Errorf("%s: %s has the unknown guard %q", name, what, row.guard)
			}
			if (name == "admin") != (strings.HasPrefix(row.path, "/admin/") || row.guard == guardAnyone) &&
				row.guard != guardAnyone {
				t.Errorf("%s does not belong to the %s listener", what, name)
			}
			if strings.HasPrefix(row.path, "/admin/") != (row.guard.role() != "") {
				t.Errorf("%s: %s is guarded by %s", name, what, row.guard)
			}
			if row.handle == nil || row.cors == "" || row.speaks == "" {
				t.Errorf("%s: %s is incomplete", name, what)
			}
		}
	}
}

// TestGuardsHold calls every guarded route without credential, with a bad one,
// and with one of the other listener.
func TestGuardsHold(t *testing.T) {
	h := build(t, plan{})
	paths := strings.NewReplacer(":id", "x", "/2/*", "/2/users/me")
	for base, table := range map[string][]route{h.public: h.server.publicRoutes(), h.admin: h.server.adminRoutes()} {
		for _, row := range table {
			if row.guard == guardAnyone || row.guard == guardClient || row.guard == guardAction && row.method != "GET" {
				continue
			}
			url := base + paths.Replace(row.path)
			foreign := adminToken
			if row.guard.role() != "" {
				foreign = h.sk
			}
			for _, credential := range []string{"", "Bearer x", "Bearer " + foreign, "Basic eDp5", "Bearer"} {
				a := ask(t, row.method, url, "", "Authorization: "+credential, "Content-Type: application/json")
				if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("%s %s with %q: %d", row.method, url, credential, a.StatusCode)
				}
			}
			a := ask(t, row.method, url+"?token="+h.sk+"&access_token="+h.sk, "")
			if a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s with a key in the query: %d", row.method, url, a.StatusCode)
			}
		}
	}
}

// TestEveryRouteIsBehindTheSameDoor sends what the door refuses to every route: if
// one is answered otherwise, there is a second door.
func TestEveryRouteIsBehindTheSameDoor(t *testing.T) {
	h := build(t, plan{secure: true})
	paths := strings.NewReplacer(":id", "x", "/2/*", "/2/users/me")
	for base, table := range map[string][]route{h.public: h.server.publicRoutes(), h.admin: h.server.adminRoutes()} {
		for _, row := range table {
			path := paths.Replace(row.path)
			for name, request := range map[string]string{
				"a header twice":  row.method + " " + path + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
				"an absolute URL": row.method + " http://evil" + path + " HTTP/1.1\r\nHost: a\r\n\r\n",
				"a bad Host":      row.method + " " + path + " HTTP/1.1\r\nHost: a:80:90\r\n\r\n",
				"a dot segment":   row.method + " /." + path + " HTTP/1.1\r\nHost: a\r\n\r\n",
				"CL+TE":           row.method + " " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
			} {
				got := raw(t, base, request)
				head, _, _ := strings.Cut(got, "\r\n\r\n")
				if !strings.HasPrefix(got, "HTTP/1.1 400 ") || strings.Count(got, "HTTP/1.1 ") != 1 {
					t.Errorf("%s %s, %s: %.120q", row.method, path, name, got)
				}
				for _, header := range []string{
					RequestID + ": req_", "Vary: Origin", "X-Content-Type-Options: nosniff", "Strict-Transport-Security: max-age=",
					"Cache-Control: no-store", "Content-Security-Policy: default-src 'none'", "onnection: close",
				} {
					if !strings.Contains(head, header) {
						t.Errorf("%s %s, %s: no %s in %q", row.method, path, name, header, head)
					}
				}
			}
		}
	}
	if n := len(h.sim.Ledger()); n != h.quiet {
		t.Errorf("%d calls reached X", n-h.quiet)
	}
}

func TestAMethodThatIsNotInTheTableIsRefused(t *testing.T) {
	h := build(t, plan{})
	paths := strings.NewReplacer(":id", "x", "/2/*", "/2/users/me")
	for base, table := range map[string][]route{h.public: h.server.publicRoutes(), h.admin: h.server.adminRoutes()} {
		asked := map[string]bool{}
		for _, row := range table {
			path := paths.Replace(row.path)
			if asked[path] {
				continue
			}
			asked[path] = true
			for _, method := range []string{
				"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW", "post", "Get",
			} {
				if taken(table, method, path) {
					continue
				}
				got := raw(t, base, method+" "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "+h.sk+
					"\r\nX-HTTP-Method-Override: GET\r\n\r\n")
				want := "405"
				if slices.Contains([]string{"PROPFIND", "BREW", "post", "Get"}, method) {
					want = "400"
				}
				if !strings.HasPrefix(got, "HTTP/1.1 "+want) {
					t.Errorf("%s %s: %.300q", method, path, got)
				}
				if want == "405" && method != "OPTIONS" && !strings.Contains(got, "\r\nAllow: ") {
					t.Errorf("%s %s does not say what it takes: %.300q", method, path, got)
				}
			}
		}
	}
}

// taken reports whether a row takes the method on the path.
func taken(table []route, method, path string) bool {
	for _, row := range table {
		pattern := "^" + strings.NewReplacer(":id", "[^/]+", "*", ".*").Replace(row.path) + "$"
		if row.method == method && regexp.MustCompile(pattern).MatchString(path) {
			return true
		}
	}
	return false
}

// Attack 61.
func TestNoRouteHasManyParameters(t *testing.T) {
	for _, row := range append((&Server{}).publicRoutes(), (&Server{}).adminRoutes()...) {
		if n := strings.Count(row.path, ":") + strings.Count(row.path, "*") + strings.Count(row.path, "+"); n > 1 {
			t.Errorf("%s has %d parameters; Fiber breaks with more than 30", row.path, n)
		}
	}
}

func TestListenersAreApart(t *testing.T) {
	h := build(t, plan{})
	for _, path := range []string{"/admin/v1/apps", "/admin", "/metrics", "/debug/pprof/", "/ADMIN/v1/apps", "/healthz/"} {
		if a := ask(t, "GET", h.public+path, "", "Authorization: Bearer "+adminToken); a.StatusCode != http.StatusNotFound {
			t.Errorf("public %s: %d", path, a.StatusCode)
		}
	}
	for _, path := range []string{"/2/users/me", "/v1/grants", "/oauth/jwks", "/oauth/token"} {
		if a := h.operator("GET", path, ""); a.StatusCode != http.StatusNotFound {
			t.Errorf("admin %s: %d", path, a.StatusCode)
		}
	}
	a := ask(t, "GET", h.admin+"/admin/v1/apps", "", "Authorization: Bearer "+adminToken, "Origin: "+pageOrigin)
	if a.StatusCode != http.StatusForbidden || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a page reaches the operators: %d", a.StatusCode)
	}
}

func TestHealth(t *testing.T) {
	h := build(t, plan{})
	if a := ask(t, "GET", h.public+"/healthz", ""); a.body != `{"status":"ok","version":"test"}`+"\n" {
		t.Error(a.body)
	}
	if a := ask(t, "HEAD", h.public+"/readyz", ""); a.StatusCode != http.StatusOK || a.body != "" {
		t.Error(a.StatusCode, a.body)
	}
	for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.30"} {
		if a := ask(t, "GET", h.public+"/2/users/me", "", "User-Agent: "+agent); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s gets %d", agent, a.StatusCode)
		}
	}
}

// TestFasthttpFloor fails if the build could fall back to a fasthttp that
// smuggles: Fiber alone asks for 1.51.
func TestFasthttpFloor(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	must(t, err)
	found := regexp.MustCompile(`(?m)^\s*(?:require )?github.com/valyala/fasthttp v1\.(\d+)\.\d+\b`).FindSubmatch(mod)
	if found == nil || regexp.MustCompile(`valyala/fasthttp.*=>`).Match(mod) {
		t.Fatal("go.mod does not require fasthttp v1 itself, or replaces it")
	}
	if minor, err := strconv.Atoi(string(found[1])); err != nil || minor < 77 {
		t.Fatalf("go.mod requires fasthttp v1.%s; at least v1.77 is needed", found[1])
	}
}
