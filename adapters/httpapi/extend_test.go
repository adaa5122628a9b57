package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"perch/domain/apikey"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports/conformance"
)

const grace = "1500000000000000002" // another user of the simulator

// stepUp does what the caller lacks a scope for, and returns the link it is told.
func (h *house) stepUp(a answer, scheme, missing string) string {
	h.t.Helper()
	m := a.json(h.t)
	link, _ := m["step_up_url"].(string)
	challenge := a.Header.Get("WWW-Authenticate")
	if a.StatusCode != http.StatusForbidden || m["missing_scope"] != missing ||
		!strings.HasPrefix(challenge, scheme+` realm="Perch", error="insufficient_scope", scope="`+missing+`"`) ||
		!strings.HasPrefix(link, h.public+"/oauth/extend?ticket=") {
		h.t.Fatalf("%d %s %s", a.StatusCode, challenge, a.body)
	}
	return link
}

// open follows the link in a browser of its own, lets the user decide at X and
// returns what X was asked for and where the browser ends.
func (h *house) open(link, user, decision string) (asked string, end answer, q url.Values) {
	h.t.Helper()
	a := ask(h.t, "GET", link, "")
	if a.StatusCode != http.StatusFound || len(a.Cookies()) != 1 {
		h.t.Fatalf("%s: %d %s", link, a.StatusCode, a.body)
	}
	at, err := url.Parse(a.Header.Get("Location"))
	must(h.t, err)
	x := ask(h.t, "GET", at.String()+"&_sim_user="+user+"&_sim_decision="+decision, "")
	back, err := url.Parse(x.Header.Get("Location"))
	must(h.t, err)
	c := a.Cookies()[0]
	end = ask(h.t, "GET", h.public+back.RequestURI(), "", "Cookie: "+c.Name+"="+c.Value, "Accept: text/html")
	to, err := url.Parse(end.Header.Get("Location"))
	must(h.t, err)
	return at.Query().Get("scope"), end, to.Query()
}

func (h *house) scopes() oauth.Scopes {
	h.t.Helper()
	g, err := h.services.Grants.Get(h.t.Context(), h.app.ID, h.grant)
	must(h.t, err)
	return g.Scopes
}

// small replaces the grant by one that a sign-in without further wishes gives,
// and returns the tokens of its session.
func (h *house) small() map[string]any {
	h.t.Helper()
	must(h.t, h.services.Grants.Revoke(h.t.Context(), h.app.ID, h.grant))
	got := h.signIn()
	h.grant = oauth.GrantID(got["grant_id"].(string))
	return got
}

func TestAMissingScopeIsAskedForByALink(t *testing.T) {
	h := build(t, plan{})
	got := h.small()
	had := h.scopes()
	token := "Authorization: Bearer " + got["access_token"].(string)
	like := func(token string) answer {
		return ask(t, "POST", h.public+"/2/users/"+ada+"/likes", `{"tweet_id":"1"}`, token, "Content-Type: application/json")
	}
	link := h.stepUp(like(token), "Bearer", "like.write")
	asked, end, q := h.open(link+"&redirect_uri="+url.QueryEscape(returnTo)+"&state=s%261", ada, "approve")
	if asked != string(had.And("like.write")) {
		t.Errorf("X is asked for %q", asked)
	}
	if end.StatusCode != http.StatusFound || !strings.HasPrefix(end.Header.Get("Location"), returnTo+"?") ||
		q.Get("state") != "s&1" || q.Get("iss") != h.public || len(q) != 2 {
		t.Errorf("the browser ends at %d %s", end.StatusCode, end.Header.Get("Location"))
	}
	if h.scopes() != had.And("like.write") {
		t.Errorf("the grant has %q", h.scopes())
	}
	next := h.tokenCall(url.Values{"grant_type": {"refresh_token"}, "client_id": {h.pk},
		"refresh_token": {got["refresh_token"].(string)}}).json(t)
	if next["scope"] != string(had.And("like.write")) {
		t.Errorf("the session has %v", next["scope"])
	}
	if a := like("Authorization: Bearer " + next["access_token"].(string)); a.StatusCode == http.StatusForbidden &&
		strings.Contains(a.body, "missing_scope") {
		t.Errorf("and still: %s", a.body)
	}
}

func TestALinkWithoutRedirectEndsOnAPage(t *testing.T) {
	h := build(t, plan{})
	h.small()
	a := h.act("POST", "/2/users/"+ada+"/likes", `{"tweet_id":"1"}`) // by the secret key
	_, end, _ := h.open(h.stepUp(a, "Bearer", "like.write"), ada, "approve")
	if end.StatusCode != http.StatusOK || !strings.Contains(end.body, `role="status"`) ||
		!strings.HasPrefix(end.Header.Get("Content-Type"), "text/html") || strings.Contains(end.body, "did not work") {
		t.Errorf("%d %s", end.StatusCode, end.body)
	}
	if !h.scopes().Has("like.write") {
		t.Errorf("the grant has %q", h.scopes())
	}
}

func TestABoundTokenIsChallengedInItsScheme(t *testing.T) {
	h, d := build(t, plan{}), conformance.NewDevice(t)
	h.small()
	got := h.bound(d, h.exchangeForm(h.code())).json(t)
	nonce, err := h.services.Sessions.Nonce(t.Context())
	must(t, err)
	h.stepUp(h.with(d, got["access_token"].(string), "POST", "/2/users/"+ada+"/likes", map[string]any{"nonce": nonce}),
		"DPoP", "like.write")
}

func TestAnApplicationThatMayNotAskIsToldSo(t *testing.T) {
	h := build(t, plan{})
	h.small()
	a := h.act("GET", "/2/users/"+ada+"/muting", "")
	m := a.json(t)
	if a.StatusCode != http.StatusForbidden || m["step_up_url"] != nil || m["missing_scope"] != "mute.read" ||
		!strings.Contains(m["detail"].(string), "operator") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestHowAnExtensionCanEndBadly(t *testing.T) {
	h := build(t, plan{})
	h.small()
	had := h.scopes()
	link := h.stepUp(h.act("POST", "/2/users/"+ada+"/likes", `{"tweet_id":"1"}`), "Bearer", "like.write")
	back := "&state=s&redirect_uri=" + url.QueryEscape(returnTo)
	_, end, q := h.open(link+back, ada, "deny")
	if end.StatusCode != http.StatusFound || q.Get("error") != "access_denied" || q.Get("state") != "s" || q.Get("iss") != h.public {
		t.Errorf("denied: %d %s", end.StatusCode, end.Header.Get("Location"))
	}
	if _, end, _ = h.open(link, ada, "deny"); end.StatusCode != http.StatusForbidden || !strings.Contains(end.body, "did not allow") {
		t.Errorf("denied without a way back: %d %s", end.StatusCode, end.body)
	}
	_, end, _ = h.open(link+back, grace, "approve")
	if end.StatusCode != http.StatusForbidden || !strings.Contains(end.body, "@grace") ||
		!strings.Contains(end.body, `href="`+returnTo+`?error=access_denied`) || strings.Contains(end.body, "%40grace") {
		t.Errorf("another user: %d %s", end.StatusCode, end.body)
	}
	for _, bad := range []string{
		h.public + "/oauth/extend", h.public + "/oauth/extend?ticket=x", link + "x", link + "&ticket=x",
		link + "&redirect_uri=" + url.QueryEscape("https://evil.example/"), link + "&redirect_uri=" + url.QueryEscape(returnTo+"/"),
	} {
		if a := ask(t, "GET", bad, "", "Accept: text/html"); a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" ||
			!strings.Contains(a.body, `role="alert"`) || len(a.Cookies()) > 0 {
			t.Errorf("%s: %d %s", bad, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if h.scopes() != had {
		t.Errorf("the grant has %q", h.scopes())
	}
}

// A link in one browser does not end in another, and says nothing secret.
func TestALinkHoldsNoCredential(t *testing.T) {
	h := build(t, plan{})
	got := h.small()
	link := h.stepUp(h.act("POST", "/2/users/"+ada+"/likes", `{"tweet_id":"1"}`), "Bearer", "like.write")
	u, err := url.Parse(link)
	must(t, err)
	e, _, ok := oauth.ReadTicket(u.Query().Get("ticket"))
	if !ok || e.Grant != h.grant || e.App != h.app.ID {
		t.Fatalf("%+v", e)
	}
	for _, credential := range []string{h.sk, h.pk, got["access_token"].(string), got["refresh_token"].(string)} {
		if strings.Contains(e.Words(), credential) || secret.New(credential).Empty() {
			t.Error("the ticket holds a credential")
		}
	}
	a := ask(t, "GET", h.public+"/v1/grants", "", "Authorization: Bearer "+u.Query().Get("ticket"))
	if kind, isKey := apikey.KindOf(u.Query().Get("ticket")); a.StatusCode != http.StatusUnauthorized || isKey {
		t.Errorf("a ticket lets somebody in: %d, as %s", a.StatusCode, kind)
	}
}
