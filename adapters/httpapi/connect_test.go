package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"perch/domain/oauth"
)

const verifier = "a-code-verifier-of-forty-three-characters-00"

// authorizeURL is how the demo application starts a sign-in.
func (h *house) authorizeURL(state string) string {
	return h.public + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {h.pk}, "redirect_uri": {returnTo}, "state": {state},
		"scope": {"tweet.write"}, "code_challenge": {oauth.Challenge(verifier)}, "code_challenge_method": {"S256"},
	}.Encode()
}

// start begins a sign-in and returns where X sends the browser back to, and the
// cookie.
func (h *house) start(state, decision string) (back *url.URL, cookie *http.Cookie) {
	h.t.Helper()
	a := ask(h.t, "GET", h.authorizeURL(state), "")
	if a.StatusCode != http.StatusFound || len(a.Cookies()) != 1 {
		h.t.Fatalf("authorize: %d %s", a.StatusCode, a.body)
	}
	x := ask(h.t, "GET", a.Header.Get("Location")+"&_sim_user="+ada+"&_sim_decision="+decision, "")
	back, err := url.Parse(x.Header.Get("Location"))
	must(h.t, err)
	return back, a.Cookies()[0]
}

// finish follows X's redirect and returns where Perch sends the browser.
func (h *house) finish(back *url.URL, cookie string) (answer, url.Values) {
	h.t.Helper()
	a := ask(h.t, "GET", h.public+back.RequestURI(), "", "Cookie: "+cookie)
	to, err := url.Parse(a.Header.Get("Location"))
	must(h.t, err)
	return a, to.Query()
}

// signIn goes all the way and returns the token reply.
func (h *house) signIn(headers ...string) map[string]any {
	h.t.Helper()
	back, cookie := h.start("s1", "approve")
	_, q := h.finish(back, cookie.Name+"="+cookie.Value)
	a := h.tokenCall(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {h.pk}, "code": {q.Get("code")},
		"redirect_uri": {returnTo}, "code_verifier": {verifier},
	}, headers...)
	if a.StatusCode != http.StatusOK {
		h.t.Fatalf("token: %d %s", a.StatusCode, a.body)
	}
	return a.json(h.t)
}

func (h *house) tokenCall(form url.Values, headers ...string) answer {
	headers = append([]string{"Content-Type: application/x-www-form-urlencoded"}, headers...)
	return ask(h.t, "POST", h.public+"/oauth/token", form.Encode(), headers...)
}

func TestConnect(t *testing.T) {
	h := build(t, plan{plain: true})
	back, cookie := h.start("s1", "approve")
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 600 ||
		cookie.Path != "/oauth/callback" || cookie.Secure || !strings.HasPrefix(cookie.Name, "perch_auth_") {
		t.Errorf("cookie: %+v", cookie)
	}
	other, otherCookie := h.start("s2", "approve") // a second tab
	if cookie.Name == otherCookie.Name {
		t.Error("two sign-ins share a cookie")
	}
	jar := cookie.Name + "=" + cookie.Value + "; " + otherCookie.Name + "=" + otherCookie.Value
	for i, one := range []*url.URL{back, other} {
		a, q := h.finish(one, jar)
		if a.StatusCode != http.StatusFound || q.Get("code") == "" || q.Get("iss") != h.public ||
			q.Get("state") != []string{"s1", "s2"}[i] || !strings.HasPrefix(a.Header.Get("Location"), returnTo) {
			t.Errorf("callback %d: %d %s", i, a.StatusCode, a.Header.Get("Location"))
		}
		if c := a.Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
			t.Errorf("callback %d leaves the cookie: %v", i, c)
		}
	}
	if again, q := h.finish(back, jar); again.StatusCode != http.StatusBadRequest || len(q) > 0 {
		t.Errorf("a state worked twice: %d", again.StatusCode)
	}

	got := h.signIn("Origin: " + pageOrigin)
	if got["token_type"] != "Bearer" || got["expires_in"] != 600.0 || got["grant_id"] != string(h.grant) {
		t.Errorf("token reply: %v", got)
	}
	me := ask(t, "GET", h.public+"/2/users/me", "", "Authorization: Bearer "+got["access_token"].(string),
		"Origin: "+pageOrigin)
	if me.StatusCode != http.StatusOK || !strings.Contains(me.body, ada) {
		t.Errorf("users/me: %d %s", me.StatusCode, me.body)
	}
	if me.Header.Get("Access-Control-Allow-Origin") != pageOrigin {
		t.Error("the page may not read its own reply")
	}
}

func TestConnectRefused(t *testing.T) {
	h := build(t, plan{})
	back, cookie := h.start("s1", "deny")
	a, q := h.finish(back, cookie.Name+"="+cookie.Value)
	if a.StatusCode != http.StatusFound || q.Get("error") != "access_denied" || q.Get("state") != "s1" {
		t.Errorf("denied: %d %v", a.StatusCode, q)
	}
	if a.json(t)["type"] != typePrefix+"access-denied" {
		t.Errorf("the redirect has no problem in its body: %s", a.body)
	}

	back, cookie = h.start("s2", "approve")
	if a, _ := h.finish(back, cookie.Name+"=forged"); a.StatusCode != http.StatusForbidden {
		t.Errorf("another browser: %d", a.StatusCode)
	}
	if a, _ := h.finish(back, cookie.Name+"="+cookie.Value); a.StatusCode != http.StatusBadRequest {
		t.Errorf("after another browser tried: %d", a.StatusCode)
	}

	for name, query := range map[string]string{
		"no state": "code=a", "neither": "state=a", "both": "state=a&code=b&error=c",
		"twice": "state=a&state=b&code=c", "unknown": "state=a&code=b",
	} {
		if a := ask(t, "GET", h.public+"/oauth/callback?"+query, ""); a.StatusCode != http.StatusBadRequest ||
			a.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
	bad := strings.Replace(h.authorizeURL("s"), url.QueryEscape(returnTo), url.QueryEscape("https://evil.example/"), 1)
	if a := ask(t, "GET", bad, ""); a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("foreign redirect_uri: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
}

func TestSecureCookieAndHSTS(t *testing.T) {
	h := build(t, plan{secure: true})
	a := ask(t, "GET", h.authorizeURL("s"), "")
	c := a.Cookies()
	if len(c) != 1 || !strings.HasPrefix(c[0].Name, "__Host-perch_auth_") || !c[0].Secure || c[0].Path != "/" ||
		c[0].Domain != "" {
		t.Errorf("cookie: %v", c)
	}
	gone := ask(t, "GET", h.public+"/oauth/callback?state=x&code=y", "").Cookies()
	if len(gone) != 1 || !gone[0].Secure || gone[0].Path != "/" || gone[0].MaxAge >= 0 {
		t.Errorf("deleted cookie: %v", gone)
	}
	if a.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS")
	}
}

func TestPageForPeople(t *testing.T) {
	h := build(t, plan{})
	a := ask(t, "GET", h.public+"/oauth/authorize?client_id=%3Cscript%3E", "", "Accept: text/html,*/*;q=0.1")
	csp := a.Header.Get("Content-Security-Policy")
	if a.StatusCode != http.StatusBadRequest || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") ||
		!strings.HasPrefix(csp, "default-src 'none'; ") || !strings.Contains(csp, "style-src 'sha256-") {
		t.Errorf("%d %s %s", a.StatusCode, a.Header.Get("Content-Type"), csp)
	}
	if strings.Contains(a.body, "<script>") || !strings.Contains(a.body, `role="alert"`) {
		t.Error(a.body)
	}
	a = ask(t, "GET", h.public+"/oauth/authorize", "", "Accept: */*")
	if a.Header.Get("Content-Type") != problemJSON {
		t.Errorf("a program gets %s", a.Header.Get("Content-Type"))
	}
}
