package httpapi

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/apikey"
	"perch/domain/client"
)

// A tap lets everything through to the simulator and keeps the text of it.
type tap struct {
	sim  *xsim.Sim
	mu   sync.Mutex
	seen []string
}

func (x *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := httputil.DumpRequest(r, true)
	x.mu.Lock()
	x.seen = append(x.seen, string(text), errText(err))
	x.mu.Unlock()
	x.sim.ServeHTTP(w, r)
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func (x *tap) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Join(x.seen, "\n")
}

// buildHeld builds a house whose application is in cookie mode.
func buildHeld(t *testing.T, p plan) *house {
	t.Helper()
	x := &tap{}
	p.x = x
	h := build(t, p)
	x.sim, h.tap = h.sim, x
	h.change(h.app.ID, func(a *client.App) { a.Cookies = true })
	return h
}

func (h *house) change(id client.AppID, edit func(*client.App)) {
	h.t.Helper()
	_, err := h.services.Clients.Change(h.t.Context(), id, func(a client.App) client.App { edit(&a); return a })
	must(h.t, err)
}

// second registers another application in cookie mode and returns its ID and
// publishable key.
func (h *house) second(origin string) (client.AppID, string) {
	h.t.Helper()
	app, err := h.services.Clients.Register(h.t.Context(), client.App{
		Name: "Second", Origins: []client.Origin{client.Origin(origin)}, RedirectURIs: []string{origin + "/back"},
		Scopes: []string{"tweet.write"}, Cookies: true,
	})
	must(h.t, err)
	return app.ID, h.key(apikey.Key{App: app.ID, Kind: apikey.Publishable})
}

func (h *house) signInURL(pk, to string) string {
	return h.public + "/v1/session/sign-in?" + url.Values{
		"client_id": {pk}, "redirect_uri": {to}, "state": {"s1"}, "scope": {"tweet.write"},
	}.Encode()
}

// hold signs in with a cookie. The browser sends held when it begins, and again
// when it comes back.
func (h *house) hold(pk, to, held string) *http.Cookie {
	h.t.Helper()
	a := ask(h.t, "GET", h.signInURL(pk, to), "", "Cookie: "+held)
	if a.StatusCode != http.StatusFound || len(a.Cookies()) != 1 {
		h.t.Fatalf("sign-in: %d %s", a.StatusCode, a.body)
	}
	bound := a.Cookies()[0]
	x := ask(h.t, "GET", a.Header.Get("Location")+"&_sim_user="+ada+"&_sim_decision=approve", "")
	back, err := url.Parse(x.Header.Get("Location"))
	must(h.t, err)
	a, q := h.finish(back, bound.Name+"="+bound.Value+"; "+held)
	if a.StatusCode != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), to+"?") ||
		q.Has("code") || q.Get("state") != "s1" || q.Get("iss") == "" || len(q) != 2 || a.body != "" {
		h.t.Fatalf("callback: %d %s %s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	for _, c := range a.Cookies() {
		if strings.Contains(c.Name, "perch_session_") {
			return c
		}
	}
	h.t.Fatalf("no session cookie: %v", a.Header.Values("Set-Cookie"))
	return nil
}

func sent(c *http.Cookie) string { return "Cookie: " + c.Name + "=" + c.Value }

// posts counts what was posted at X.
func (h *house) posts() int {
	n := 0
	for _, e := range h.sim.Ledger() {
		if e.Type == "post.created" {
			n++
		}
	}
	return n
}

const hello = `{"text":"hello"}`

func TestASessionCookieIsForThisHostAndNoScript(t *testing.T) {
	for _, secure := range []bool{true, false} {
		h := buildHeld(t, plan{secure: secure, plain: true})
		c := h.hold(h.pk, returnTo, "")
		name := "perch_session_" + string(h.app.ID)
		if secure {
			name = "__Host-" + name
		}
		if c.Name != name || c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" ||
			c.Domain != "" || c.MaxAge != 90*24*60*60 || !strings.HasPrefix(c.Value, "ses_") {
			t.Errorf("secure %v: %s", secure, c)
		}
	}
}

func TestAPageInCookieModeReachesTheWholeAPI(t *testing.T) {
	h := buildHeld(t, plan{})
	cookie := h.hold(h.pk, returnTo, "")
	page := []string{sent(cookie), "Origin: " + pageOrigin, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/2/users/me", "", 200}, {"POST", "/2/tweets", hello, 201}, {"GET", "/v1/grants", "", 200},
		{"GET", "/v1/session", "", 200}, {"GET", "/2/tweets/search/all?query=x", "", 403}, {"GET", "/2/nothing", "", 404},
	} {
		a := ask(t, c.method, h.public+c.path, c.body, append(page, "Content-Type: application/json")...)
		if a.StatusCode != c.status || a.Header.Get(allowOrigin) != pageOrigin ||
			a.Header.Get("Access-Control-Allow-Credentials") != "true" || a.Header.Get("Vary") != "Origin" {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, a.StatusCode, a.Header, a.body)
		}
		if strings.Contains(a.body, cookie.Value) {
			t.Errorf("%s %s shows the cookie", c.method, c.path)
		}
	}
	who := ask(t, "GET", h.public+"/v1/session", "", page...).json(t)
	if who["user"].(map[string]any)["username"] != "ada" || who["grant_id"] != string(h.grant) || who["expires_at"] == nil ||
		!strings.Contains(strings.Join(words(who["scopes"]), " "), "tweet.write") {
		t.Errorf("who is signed in: %v", who)
	}
	if h.posts() != 1 {
		t.Errorf("X has %d posts", h.posts())
	}
	if seen := h.tap.text(); strings.Contains(seen, cookie.Value) || strings.Contains(seen, "\nCookie:") {
		t.Error("a cookie reached X")
	}
	if strings.Contains(h.log.String(), cookie.Value) {
		t.Error("the cookie is in the log")
	}
}

func words(v any) (out []string) {
	list, _ := v.([]any)
	for _, one := range list {
		out = append(out, one.(string))
	}
	return out
}

// What a page of anybody else can make a browser send with the cookie. Nothing
// of it reaches X.
func TestForgedRequestsAreRefused(t *testing.T) {
	h := buildHeld(t, plan{})
	cookie := h.hold(h.pk, returnTo, "")
	id, proof, _ := strings.Cut(cookie.Value, ".")
	otherID, otherPK := h.second("https://second.example")
	other := h.hold(otherPK, "https://second.example/back", "")
	own := []string{"Origin: " + pageOrigin, "Sec-Fetch-Site: same-site"}
	as := func(value string, more ...string) []string {
		return append([]string{"Cookie: " + cookie.Name + "=" + value}, more...)
	}
	before := h.tap.text()
	for name, headers := range map[string][]string{
		"no origin":                    as(cookie.Value),
		"no origin, same origin":       as(cookie.Value, "Sec-Fetch-Site: same-origin"),
		"an attacker's page":           as(cookie.Value, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"),
		"an attacker, old browser":     as(cookie.Value, "Origin: https://evil.example"),
		"a neighbour":                  as(cookie.Value, "Origin: https://evil.app.example", "Sec-Fetch-Site: same-site"),
		"a sandboxed frame":            as(cookie.Value, "Origin: null", "Sec-Fetch-Site: cross-site"),
		"a null origin of this site":   as(cookie.Value, "Origin: null", "Sec-Fetch-Site: same-site"),
		"its page on another site":     as(cookie.Value, "Origin: "+pageOrigin, "Sec-Fetch-Site: cross-site"),
		"another application's page":   as(cookie.Value, "Origin: https://second.example", "Sec-Fetch-Site: same-site"),
		"another scheme":               as(cookie.Value, "Origin: http://app.example"),
		"Perch's own origin":           as(cookie.Value, "Origin: "+h.public, "Sec-Fetch-Site: same-origin"),
		"a Referer alone":              as(cookie.Value, "Referer: "+pageOrigin+"/"),
		"a planted value":              as("ses_planted.0123456789", own...),
		"an ID alone":                  as(id, own...),
		"another session's proof":      as("ses_other."+proof, own...),
		"another application's value":  as(other.Value, own...),
		"a value under another's name": {"Cookie: perch_session_" + string(otherID) + "=" + cookie.Value, own[0], own[1]},
		"a secret key as value":        as(h.sk, own...),
		"the name of https":            {"Cookie: __Host-" + cookie.Name + "=" + cookie.Value, own[0], own[1]},
		"the cookie twice":             as(cookie.Value+"; "+cookie.Name+"=ses_planted.0", own...),
		"planted first":                as("ses_planted.0; "+cookie.Name+"="+cookie.Value, own...),
		"a bad token beside it":        as(cookie.Value, append([]string{"Authorization: Bearer x"}, own...)...),
		"Basic beside it":              as(cookie.Value, append([]string{"Authorization: Basic eDp5"}, own...)...),
		"a publishable key beside it":  as(cookie.Value, append([]string{"Authorization: Bearer " + h.pk}, own...)...),
		"a method to override":         as(cookie.Value, "X-HTTP-Method-Override: GET", "Sec-Fetch-Site: same-origin"),
	} {
		for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
			a := ask(t, "POST", h.public+"/2/tweets", hello, append(headers, "Content-Type: "+kind)...)
			if a.StatusCode != http.StatusForbidden && a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d %s", name, kind, a.StatusCode, a.body)
			}
		}
	}
	for _, query := range []string{"session=", "token=", "access_token=", cookie.Name + "="} {
		a := ask(t, "POST", h.public+"/2/tweets?"+query+cookie.Value, hello, append(own, "Content-Type: application/json")...)
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("in the query as %s: %d", query, a.StatusCode)
		}
	}
	for name, headers := range map[string][]string{
		"an image elsewhere":    as(cookie.Value, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"),
		"an image next door":    as(cookie.Value, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"),
		"a link":                as(cookie.Value, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
		"a typed address":       as(cookie.Value, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"),
		"no browser":            as(cookie.Value),
		"a script of elsewhere": as(cookie.Value, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"),
	} {
		if a := ask(t, "GET", h.public+"/2/users/me", "", headers...); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
		if a := ask(t, "DELETE", h.public+"/v1/session", "", headers...); a.StatusCode != http.StatusForbidden || len(a.Cookies()) > 0 {
			t.Errorf("sign-out by %s: %d", name, a.StatusCode)
		}
	}
	if after := h.tap.text(); after != before || h.posts() != 0 {
		t.Errorf("forged requests reached X: %s", strings.TrimPrefix(after, before))
	}
	if a := ask(t, "GET", h.public+"/v1/session", "", as(cookie.Value, own...)...); a.StatusCode != http.StatusOK {
		t.Errorf("the session did not survive: %d", a.StatusCode)
	}
}

func TestATokenBesideACookieWins(t *testing.T) {
	h := buildHeld(t, plan{})
	cookie := h.hold(h.pk, returnTo, "")
	a := ask(t, "GET", h.public+"/v1/grants", "", sent(cookie), "Authorization: Bearer "+h.sk)
	if a.StatusCode != http.StatusOK {
		t.Errorf("a server that sends a cookie along: %d %s", a.StatusCode, a.body)
	}
	a = ask(t, "GET", h.public+"/v1/session", "", sent(cookie), "Authorization: Bearer "+h.sk)
	if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "not-a-session") {
		t.Errorf("the cookie counts beside a key: %d %s", a.StatusCode, a.body)
	}
	if a := ask(t, "GET", h.admin+"/admin/v1/apps", "", sent(cookie)); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session cookie at the operators' door: %d", a.StatusCode)
	}
}

// Browsers let any host of a site set a cookie whose name begins with another
// space than the usual one; __Host- does not protect it.
func TestACookieWithAnOddSpaceBeforeItsNameIsNone(t *testing.T) {
	h := buildHeld(t, plan{secure: true})
	mine, planted := h.hold(h.pk, returnTo, ""), h.hold(h.pk, returnTo, "")
	status := func(cookies string) int {
		return ask(t, "GET", h.public+"/v1/session", "", "Cookie: "+cookies, "Origin: "+pageOrigin).StatusCode
	}
	for _, space := range []string{
		"\u0085", "\u00a0", "\u1680", "\u2000", "\u2009", "\u2028", "\u202f", "\u205f", "\u3000", "\ufeff", "\u200b", "_", "%20", "+",
	} {
		bad := space + planted.Name + "=" + planted.Value
		if got := status(bad); got != http.StatusUnauthorized {
			t.Errorf("%q before the name: %d", space, got)
		}
		if got := status(bad + "; " + mine.Name + "=" + mine.Value); got != http.StatusOK {
			t.Errorf("%q before the name of one beside a good one: %d", space, got)
		}
	}
	for _, fine := range []string{"", " ", "\t", "a=b;", "a=b ; ", "a; "} {
		if got := status(fine + mine.Name + "=" + mine.Value); got != http.StatusOK {
			t.Errorf("after %q: %d", fine, got)
		}
	}
}

func TestAPresetSessionCookieIsReplacedAndEnded(t *testing.T) {
	h := buildHeld(t, plan{secure: true})
	old := h.hold(h.pk, returnTo, "")
	good := func(c *http.Cookie) bool {
		return ask(t, "GET", h.public+"/v1/session", "", sent(c), "Origin: "+pageOrigin).StatusCode == http.StatusOK
	}
	if !good(old) {
		t.Fatal("the first session is not good")
	}
	now := h.hold(h.pk, returnTo, old.Name+"="+old.Value)
	if now.Value == old.Value || !good(now) || good(old) {
		t.Errorf("after another sign-in: new %v, old %v", good(now), good(old))
	}
	planted := h.hold(h.pk, returnTo, old.Name+"=ses_planted."+strings.Repeat("0", 64))
	if strings.HasPrefix(planted.Value, "ses_planted") || !good(planted) || !good(now) {
		t.Errorf("after a planted cookie: new %v, other %v", good(planted), good(now))
	}
}

func TestSignOutClearsTheCookieAndEndsTheSession(t *testing.T) {
	for _, secure := range []bool{true, false} {
		h := buildHeld(t, plan{secure: secure, plain: true})
		cookie := h.hold(h.pk, returnTo, "")
		page := []string{sent(cookie), "Origin: " + pageOrigin, "Sec-Fetch-Site: same-site"}
		a := ask(t, "DELETE", h.public+"/v1/session", "", page...)
		c := a.Cookies()
		if a.StatusCode != http.StatusNoContent || len(c) != 1 || c[0].Name != cookie.Name || c[0].Value != "" || c[0].MaxAge >= 0 ||
			c[0].Secure != secure || c[0].Path != "/" || c[0].Domain != "" || !c[0].HttpOnly {
			t.Errorf("secure %v: %d %v", secure, a.StatusCode, a.Header.Values("Set-Cookie"))
		}
		if a.Header.Get("Access-Control-Allow-Credentials") != "true" || a.Header.Get("Clear-Site-Data") != "" {
			t.Errorf("secure %v: %v", secure, a.Header)
		}
		for _, method := range []string{"GET", "DELETE"} {
			a = ask(t, method, h.public+"/v1/session", "", page...)
			if a.StatusCode != http.StatusUnauthorized || a.json(t)["type"] != typePrefix+"no-session" ||
				a.Header.Get(allowOrigin) != pageOrigin || a.Header.Get("Access-Control-Allow-Credentials") != "true" {
				t.Errorf("%s after signing out: %d %s", method, a.StatusCode, a.body)
			}
		}
	}
}

func TestTwoApplicationsInOneBrowserDoNotDisturbEachOther(t *testing.T) {
	h := buildHeld(t, plan{})
	const second = "https://second.example"
	_, pk := h.second(second)
	one := h.hold(h.pk, returnTo, "")
	two := h.hold(pk, second+"/back", one.Name+"="+one.Value)
	both := "Cookie: " + one.Name + "=" + one.Value + "; theirs=1; " + two.Name + "=" + two.Value
	app := func(origin string, headers ...string) any {
		a := ask(t, "GET", h.public+"/v1/session", "", append(headers, "Origin: "+origin)...)
		if a.StatusCode != http.StatusOK {
			return a.StatusCode
		}
		return a.json(t)["app_id"]
	}
	if first, other := app(pageOrigin, both), app(second, both); first != string(h.app.ID) || other == first {
		t.Errorf("the pages are %v and %v", first, other)
	}
	if got := app(second, sent(one)); got != http.StatusUnauthorized {
		t.Errorf("a page that is not signed in, in a browser that holds another's session: %v", got)
	}
	if a := ask(t, "DELETE", h.public+"/v1/session", "", both, "Origin: "+second); a.StatusCode != http.StatusNoContent {
		t.Fatal(a.StatusCode, a.body)
	}
	if first, other := app(pageOrigin, both), app(second, both); first != string(h.app.ID) || other != http.StatusUnauthorized {
		t.Errorf("after one has signed out the pages are %v and %v", first, other)
	}
}

func TestARevokedPermissionEndsTheCookiesSession(t *testing.T) {
	h := buildHeld(t, plan{})
	cookie := h.hold(h.pk, returnTo, "")
	page := []string{sent(cookie), "Origin: " + pageOrigin}
	if a := ask(t, "DELETE", h.public+"/v1/grants/"+string(h.grant), "", page...); a.StatusCode != http.StatusNoContent {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, path := range []string{"/v1/session", "/2/users/me"} {
		if a := ask(t, "GET", h.public+path, "", page...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s afterwards: %d", path, a.StatusCode)
		}
	}
}

func TestSignInWithACookieIsForCookieModeOnly(t *testing.T) {
	h := build(t, plan{})
	a := ask(t, "GET", h.signInURL(h.pk, returnTo), "")
	to, err := url.Parse(a.Header.Get("Location"))
	must(t, err)
	if q := to.Query(); q.Get("error") != "unauthorized_client" || q.Get("state") != "s1" || len(a.Cookies()) > 0 {
		t.Errorf("an application with tokens: %d %s", a.StatusCode, to)
	}
	h.change(h.app.ID, func(a *client.App) { a.Cookies = true })
	for name, at := range map[string]string{
		"a redirect URI of nobody": h.signInURL(h.pk, "https://evil.example/"), "a secret key": h.signInURL(h.sk, returnTo),
		"a parameter twice": h.signInURL(h.pk, returnTo) + "&state=x", "nobody": h.signInURL("pk_nobody", returnTo),
	} {
		if a := ask(t, "GET", at, ""); a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" || len(a.Cookies()) > 0 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if a := ask(t, "GET", h.authorizeURL("s"), ""); !strings.Contains(a.Header.Get("Location"), "error=unauthorized_client") {
		t.Errorf("tokens for an application in cookie mode: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
}
