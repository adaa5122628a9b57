package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/quota"
)

const (
	allowCredentials = "Access-Control-Allow-Credentials"
	neighbour        = "https://evil.app.example"
)

// neighbours are origins that look like the page's and are not.
var neighbours = []string{
	"https://evilapp.example", "https://app.example.evil.com", "https://app.example.evil.com:443", "null", "*",
	"http://app.example", "https://app.example:8443", "https://app.example:443", "https://APP.example", "HTTPS://app.example",
	"https://app.example.", "https://example", "https://sub.app.example", "https://app.example/", "https://app.example?",
	"https://app.example#", "https://user@app.example", "https://app.example@evil.com", "https://app.example https://evil.com",
	"https://app.example,https://evil.com", "https://app.example%2eevil.com", "https://app.example\\.evil.com", "app.example",
	"//app.example", "https://xn--app-example.evil.com", "https://app_example", "https:/app.example",
	"file://", "https://*.example", "chrome-extension://app.example", "https://[::1]",
}

// TestNeighboursMayReadNothing sends each neighbour's origin raw.
func TestNeighboursMayReadNothing(t *testing.T) {
	h := buildHeld(t, plan{})
	cookie := h.hold(h.pk, returnTo, "")
	for _, origin := range neighbours {
		for _, line := range []string{
			"OPTIONS /2/tweets", "GET /2/users/me", "POST /2/tweets", "GET /v1/session", "GET /nothing", "POST /oauth/token",
			"GET /.well-known/oauth-authorization-server", "PUT /v1/session",
		} {
			got := raw(t, h.public, line+" HTTP/1.1\r\nHost: a\r\nOrigin: "+origin+"\r\n"+sent(cookie)+
				"\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			head, _, _ := strings.Cut(got, "\r\n\r\n")
			low := strings.ToLower(head)
			if strings.Contains(low, "access-control-allow") || !strings.Contains(head, "\r\nVary: Origin") {
				t.Errorf("%s from %q:\n%s", line, origin, head)
			}
			if !strings.Contains(line, "well-known") && strings.HasPrefix(got, "HTTP/1.1 2") {
				t.Errorf("%s from %q is answered", line, origin)
			}
		}
	}
	if h.posts() != 0 {
		t.Error("a neighbour posted")
	}
}

// open reports what in the reply lets more than the listed origin read it.
func tooOpen(a answer, origin string) string {
	for name, values := range a.Header {
		value := strings.Join(values, ",")
		if strings.HasPrefix(name, "Access-Control-") && strings.ContainsAny(value, "*") {
			return name + ": " + value
		}
	}
	if got := strings.Join(a.Header.Values(allowOrigin), ","); got != "" && (got != pageOrigin || origin != pageOrigin) {
		return allowOrigin + ": " + got
	}
	if got := a.Header.Get(allowCredentials); got != "" && (got != "true" || a.Header.Get(allowOrigin) == "") {
		return allowCredentials + ": " + got
	}
	if got := strings.Join(a.Header.Values("Vary"), ","); got != "Origin" {
		return "Vary: " + got
	}
	return ""
}

// TestNoRouteAnswersEverybody walks both tables.
func TestNoRouteAnswersEverybody(t *testing.T) {
	paths := strings.NewReplacer(":id", "x", "/2/*", "/2/users/me")
	for _, cookies := range []bool{false, true} {
		h := build(t, plan{limit: quota.Limit{Max: 3, Window: time.Hour}})
		h.change(h.app.ID, func(a *client.App) { a.Cookies = cookies })
		rows, shared := 0, 0
		for base, table := range map[string][]route{h.public: h.server.publicRoutes(), h.admin: h.server.adminRoutes()} {
			for _, row := range table {
				for _, origin := range []string{"", pageOrigin, neighbour, "null", h.public} {
					for _, method := range []string{row.method, "OPTIONS", "TRACE", "PATCH"} {
						for _, credential := range []string{"X-None: 1", "Authorization: Bearer " + h.sk, "Cookie: perch_session_x=y"} {
							a := ask(t, method, base+paths.Replace(row.path), "", "Origin: "+origin, credential,
								"Access-Control-Request-Method: GET")
							what := fmt.Sprintf("%s %s from %q with %.14s: %d", method, row.path, origin, credential, a.StatusCode)
							if why := tooOpen(a, origin); why != "" {
								t.Errorf("%s: %s", what, why)
							}
							if !cookies && a.Header.Get(allowCredentials) != "" {
								t.Errorf("%s: cookies count where there are none", what)
							}
							if base == h.admin && a.Header.Get(allowOrigin) != "" {
								t.Errorf("%s: a page reads the operators' interface", what)
							}
							if a.Header.Get(allowOrigin) != "" {
								shared++
							}
							rows++
						}
					}
				}
			}
		}
		if rows < 1000 || shared < 100 {
			t.Errorf("%d replies seen, %d of them shared: too few to say anything", rows, shared)
		}
	}
}

func TestVaryIsOnRepliesThatNoRouteGave(t *testing.T) {
	h := build(t, plan{limit: quota.Limit{Max: 1, Window: time.Hour}})
	get := "GET /healthz HTTP/1.1\r\nHost: a\r\n"
	for name, text := range map[string]string{
		"400":                        "GET /x/../y HTTP/1.1\r\nHost: a\r\nOrigin: " + pageOrigin + "\r\n\r\n",
		"401":                        "GET /2/users/me HTTP/1.1\r\nHost: a\r\nOrigin: " + pageOrigin + "\r\n\r\n",
		"404":                        "GET /nothing HTTP/1.1\r\nHost: a\r\nOrigin: " + pageOrigin + "\r\n\r\n",
		"405":                        "PUT /healthz HTTP/1.1\r\nHost: a\r\nOrigin: " + pageOrigin + "\r\nContent-Length: 0\r\n\r\n",
		"431":                        get + "X-Big: " + strings.Repeat("a", maxHeader) + "\r\n\r\n",
		"400 for an unknown method":  "BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
		"400 for no HTTP":            "hello\r\n\r\n",
		"400 for two origins":        get + "Origin: " + pageOrigin + "\r\nOrigin: " + neighbour + "\r\n\r\n",
		"400 for two Sec-Fetch-Site": get + "Sec-Fetch-Site: same-site\r\nSec-Fetch-Site: none\r\n\r\n",
		"400 for an absolute URL":    "GET http://a/healthz HTTP/1.1\r\nHost: a\r\nOrigin: " + neighbour + "\r\n\r\n",
	} {
		got := raw(t, h.public, text)
		head, _, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 "+name[:3]) || !strings.Contains(head, "\r\nVary: Origin") ||
			strings.Contains(head, neighbour) || strings.Contains(head, "*") {
			t.Errorf("%s:\n%s", name, head)
		}
	}
	h.act("GET", "/2/users/me", "")
	a := h.act("GET", "/2/users/me", "")
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Vary") != "Origin" {
		t.Errorf("429: %d %v", a.StatusCode, a.Header)
	}
}

func TestCredentialsAreForCookieModeAlone(t *testing.T) {
	h := build(t, plan{})
	token := "Authorization: Bearer " + h.signIn()["access_token"].(string)
	const cookiesPage = "https://cookies.example"
	_, pk := h.second(cookiesPage)
	cookie := sent(h.hold(pk, cookiesPage+"/back", ""))
	for name, c := range map[string]struct {
		method, path, origin, credential string
		want                             string
	}{
		"a call with the cookie":                {"GET", "/v1/session", cookiesPage, cookie, "true"},
		"a call without a session":              {"GET", "/v1/session", cookiesPage, "X: y", "true"},
		"a path that is not there":              {"GET", "/nothing", cookiesPage, cookie, "true"},
		"a preflight":                           {"OPTIONS", "/2/tweets", cookiesPage, "X: y", "true"},
		"a preflight of the token endpoint":     {"OPTIONS", "/oauth/token", cookiesPage, "X: y", ""},
		"discovery":                             {"GET", "/.well-known/oauth-authorization-server", cookiesPage, cookie, ""},
		"a call with a token":                   {"GET", "/v1/session", pageOrigin, token, ""},
		"a call with a token and a cookie":      {"GET", "/v1/session", pageOrigin, token + "\n" + cookie, ""},
		"a refusal of a token":                  {"GET", "/v1/session", cookiesPage, "Authorization: Bearer x", ""},
		"a preflight of a page with tokens":     {"OPTIONS", "/2/tweets", pageOrigin, "X: y", ""},
		"a page with tokens that sends none":    {"GET", "/v1/session", pageOrigin, "X: y", ""},
		"a page with tokens and another cookie": {"GET", "/v1/session", pageOrigin, cookie, ""},
	} {
		headers := append(strings.Split(c.credential, "\n"), "Origin: "+c.origin, "Access-Control-Request-Method: GET")
		a := ask(t, c.method, h.public+c.path, "", headers...)
		if got := a.Header.Get(allowCredentials); got != c.want || a.Header.Get(allowOrigin) != c.origin {
			t.Errorf("%s: %d, credentials %q, want %q; origin %q", name, a.StatusCode, got, c.want, a.Header.Get(allowOrigin))
		}
	}
}

func TestPrivateNetworkPreflightsAreRefused(t *testing.T) {
	h := buildHeld(t, plan{})
	for _, kind := range []string{"Private", "Local"} {
		a := ask(t, "OPTIONS", h.public+"/2/tweets", "", "Origin: "+pageOrigin, "Access-Control-Request-Method: POST",
			"Access-Control-Request-"+kind+"-Network: true")
		if a.StatusCode != http.StatusForbidden || a.json(t)["type"] != typePrefix+"private-network" {
			t.Errorf("%s: %d %s", kind, a.StatusCode, a.body)
		}
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: the refusal has %s", kind, name)
			}
		}
	}
}

func TestPreflightsNameWhatPagesMayDo(t *testing.T) {
	h := build(t, plan{})
	for path, methods := range map[string]string{
		"/2/tweets": "GET, HEAD, POST, PUT, PATCH, DELETE", "/v1/session": "GET, DELETE", "/oauth/token": "POST", "/v1/grants": "GET",
	} {
		a := ask(t, "OPTIONS", h.public+path, "", "Origin: "+pageOrigin, "Access-Control-Request-Method: POST",
			"Access-Control-Request-Headers: authorization, idempotency-key, x-evil")
		allowed := ", " + strings.ToLower(a.Header.Get("Access-Control-Allow-Headers")) + ","
		if a.Header.Get("Access-Control-Allow-Methods") != methods || strings.Contains(allowed, "evil") ||
			!strings.Contains(allowed, " idempotency-key,") || !strings.Contains(allowed, " perch-grant,") {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
	a := ask(t, "GET", h.public+"/v1/grants", "", "Authorization: Bearer "+h.signIn()["access_token"].(string), "Origin: "+pageOrigin)
	exposed := ", " + strings.ToLower(a.Header.Get("Access-Control-Expose-Headers")) + ","
	for _, name := range []string{"x-rate-limit-remaining", "x-rate-limit-reset", "retry-after", "perch-request-id", "www-authenticate"} {
		if !strings.Contains(exposed, " "+name+",") {
			t.Errorf("pages may not read %s: %s", name, exposed)
		}
	}
	for name := range a.Header {
		if low := strings.ToLower(name); strings.HasPrefix(low, "perch-") && !strings.Contains(exposed, " "+low+",") {
			t.Errorf("pages may not read %s", name)
		}
	}
}
