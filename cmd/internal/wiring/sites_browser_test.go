package wiring_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"perch/ports/conformance"
)

// tenants registers two applications of the page: one with tokens, one with
// cookies.
func (s *sites) tenants(t *testing.T) (tokens, cookies tenant) {
	t.Helper()
	tokens, cookies = s.house.register(t, s.at(pageHost), ""), s.house.register(t, s.at(pageHost), "")
	s.house.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+cookies.id, object{"cookies": true})
	return tokens, cookies
}

// signIn signs the page's user in with a cookie, as people do.
func (b siteTab) signIn(s *sites, app tenant) {
	b.t.Helper()
	b.visit(s.house.public + "/v1/session/sign-in?" + url.Values{
		"client_id": {app.pk}, "redirect_uri": {app.origin + "/back"}, "state": {"s1"},
	}.Encode())
	b.do("approve", chromedp.WaitVisible(chromedp.CSS("#approve")),
		chromedp.Click(chromedp.CSS(`input[name=user][value="`+ada+`"]`)), chromedp.Click(chromedp.CSS("#approve")))
	b.until(`location.pathname === "/back"`)
	at, err := url.Parse(says[string](b, "location.href"))
	if err != nil || at.Scheme+"://"+at.Host != app.origin {
		b.t.Fatalf("the browser came back to %s: %v", at, err)
	}
	want := url.Values{"state": {"s1"}, "iss": {s.house.public}}
	if diff := cmp.Diff(want, at.Query()); diff != "" {
		b.t.Errorf("the page is given (-want +got):\n%s", diff)
	}
}

// sessionCookies are the session cookies that the browser holds.
func (b siteTab) sessionCookies() (found []*network.Cookie) {
	b.t.Helper()
	jar, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range jar.Cookies {
		if strings.Contains(c.Name, "perch_session_") {
			found = append(found, c)
		}
	}
	return found
}

// noScriptSees looks for cookies where scripts of Perch's own origin and of the
// page would find them.
func (b siteTab) noScriptSees(s *sites, cookie string) {
	b.t.Helper()
	for _, at := range []string{s.house.public + "/healthz", s.at(pageHost) + "/"} {
		b.visit(at)
		if got := says[string](b, `JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])`); got != `["",{},{}]` ||
			strings.Contains(got, cookie) {
			b.t.Errorf("a script at %s sees %s", at, got)
		}
	}
}

func (s *sites) attempts(b siteTab, token string) map[string]string {
	b.t.Helper()
	return says[map[string]string](b, `attempt("`+token+`")`)
}

// token is an access token of the application for ada, from another browser.
func (s *sites) token(t *testing.T, app tenant) string {
	t.Helper()
	return s.house.visit(t, app).signIn(t, ada).access
}

func posted(s *sites) int { return len(happened(s.x, "post.created")) }

func TestAPageAndItsNeighboursInChromium(t *testing.T) {
	conformance.Verified(t, "chromium")
	b, s := openTab(t), openSites(t)
	tokens, cookies := s.tenants(t)
	token := s.token(t, tokens)
	b.signIn(s, cookies)
	b.visit(s.at(pageHost) + "/")
	s.seen()
	const own = 3 // posts that the page makes itself: even a blind one names its origin
	if diff := cmp.Diff(map[string]string{
		"read with a token": "200 with rates", "read with the cookie": "200 with rates", "who is signed in": "200",
		"post": "201 with rates", "simple post": "201 with rates", "blind post": "opaque", "discovery": "200",
	}, s.attempts(b, token)); diff != "" {
		t.Errorf("the page itself (-want +got):\n%s", diff)
	}
	if n := posted(s); n != own {
		t.Fatalf("X has %d posts, want the page's own %d", n, own)
	}

	blocked := map[string]string{
		"read with a token": "blocked", "read with the cookie": "blocked", "who is signed in": "blocked", "post": "blocked",
		"simple post": "blocked", "blind post": "opaque", "discovery": "blocked",
	}
	sameSite := 0
	s.seen()
	for name, at := range map[string]string{
		"another scheme":     "http://" + pageHost + ":" + s.port,
		"another port":       "https://" + pageHost + ":" + s.other,
		"a subdomain":        s.at("sub." + pageHost),
		"the parent":         s.at("perch.test"),
		"a name that begins": s.at(pageHost + ".evil.test"),
		"a name that ends":   s.at("evil" + pageHost),
		"a sandboxed frame":  "null",
		"another site":       s.at(evilHost),
	} {
		var got map[string]string
		if at == "null" {
			b.visit(s.at(pageHost) + "/")
			got = says[map[string]string](b, `framed("`+token+`")`)
		} else {
			b.visit(at + "/")
			if here := says[string](b, "origin"); here != at {
				t.Fatalf("%s: the browser calls its origin %s", name, here)
			}
			got = s.attempts(b, token)
		}
		if diff := cmp.Diff(blocked, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		calls := s.seen()
		if len(calls) == 0 {
			t.Errorf("%s: nothing reached Perch, so nothing was tried", name)
		}
		for _, c := range calls {
			if c.origin != "" && c.origin != at {
				t.Errorf("%s sends the origin %s", name, c.origin)
			}
			if c.held && c.method == "POST" {
				sameSite++
			}
		}
	}
	if sameSite == 0 {
		t.Error("no neighbour sent the cookie along, so only SameSite was tried")
	}
	if n := posted(s); n != own {
		t.Errorf("X has %d posts, want %d; neighbours posted", n, own)
	}
	b.visit(s.at(pageHost) + "/")
	if got := s.attempts(b, token)["who is signed in"]; got != "200" {
		t.Errorf("afterwards the page is told %s", got)
	}
}

func TestCookieModeSurvivesAttackPagesInChromium(t *testing.T) {
	conformance.Verified(t, "chromium")
	b, s := openTab(t), openSites(t)
	_, cookies := s.tenants(t)
	b.signIn(s, cookies)
	held := b.sessionCookies()
	if len(held) != 1 {
		t.Fatalf("the browser holds %d session cookies", len(held))
	}
	c := held[0]
	if c.Name != "__Host-perch_session_"+cookies.id || !c.Secure || !c.HTTPOnly || c.SameSite != network.CookieSameSiteStrict ||
		c.Path != "/" || c.Domain != perchHost {
		t.Errorf("the cookie is %+v", c)
	}
	b.noScriptSees(s, c.Value)

	asked := len(happened(s.x, "call"))
	forged := map[bool]int{} // POSTs, by whether the cookie came along
	for _, from := range []string{evilHost, "sub." + pageHost, "perch.test"} {
		s.seen()
		b.visit(s.at(from) + "/")
		says[string](b, "attack()")
		for _, call := range s.seen() {
			if call.method == "POST" {
				forged[call.held]++
			}
			if from == evilHost && call.held {
				t.Errorf("another site's page sent the cookie along: %+v", call)
			}
		}
		b.visit(s.at(from) + "/") // and once as a page of its own
		says[bool](b, `(() => { const f = document.createElement("form"); Object.assign(f, {method: "POST", enctype: "text/plain",
			action: perch + "/2/tweets"}); f.innerHTML = "<input name='{\"text\":\"stolen\",\"m\":\"' value='\"}'>";
			document.body.append(f); f.submit(); return true })()`)
		b.until(`location.pathname === "/2/tweets" && document.body.innerText.includes("cross-site-request")
			|| document.body.innerText.includes("origin-not-allowed") || document.body.innerText.includes("no-credential")`)
	}
	if forged[true] == 0 || forged[false] == 0 {
		t.Errorf("forged posts with and without the cookie: %v; both must have been tried", forged)
	}
	if n := posted(s); n != 0 {
		t.Errorf("X has %d posts: the attack worked", n)
	}
	if got := happened(s.x, "call"); len(got) != asked {
		t.Errorf("the attack reached X: %+v", got[asked:])
	}

	b.visit(s.at(pageHost) + "/")
	const who = `fetch(perch + "/v1/session", {credentials: "include"}).then((r) => r.status)`
	if got := says[int](b, who); got != http.StatusOK {
		t.Errorf("after the attacks the page is told %d", got)
	}
	b.signIn(s, cookies)
	again := b.sessionCookies()
	if len(again) != 1 || again[0].Value == c.Value {
		t.Errorf("after another sign-in the browser holds the old session, or %d of them", len(again))
	}
	out := says[int](b, `fetch(perch + "/v1/session", {method: "DELETE", credentials: "include"}).then((r) => r.status)`)
	if left := b.sessionCookies(); out != http.StatusNoContent || len(left) > 0 {
		t.Errorf("signing out: %d, and the browser still holds %d session cookies", out, len(left))
	}
	if got := says[int](b, who); got != http.StatusUnauthorized {
		t.Errorf("after signing out the page is told %d", got)
	}
}
