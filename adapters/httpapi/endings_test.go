package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
)

// A signIn is one that is under way, in its browser.
type signIn struct {
	back   *url.URL // where X sends the browser
	cookie string
}

func (h *house) under(state string) signIn {
	h.t.Helper()
	back, c := h.start(state, "approve")
	return signIn{back, c.Name + "=" + c.Value}
}

// answered is the callback with another query than X's.
func (h *house) answered(s signIn, query string) (answer, url.Values) {
	h.t.Helper()
	to := *s.back
	to.RawQuery = query
	return h.finish(&to, s.cookie)
}

// stored counts the grants there are.
func (h *house) stored() int {
	h.t.Helper()
	all, err := h.services.Grants.List(h.t.Context(), h.app.ID, "", 100)
	must(h.t, err)
	return len(all)
}

// told fails unless the browser ends at the application, which learns what went
// wrong, for which request, and from whom (RFC 9207); and that is all.
func (h *house) told(what string, a answer, q url.Values, code, state string) {
	h.t.Helper()
	if a.StatusCode != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), returnTo+"?") ||
		q.Get("error") != code || q.Get("state") != state || q.Get("iss") != h.public || q.Get("error_description") == "" || len(q) != 4 {
		h.t.Errorf("%s: %d %s", what, a.StatusCode, a.Header.Get("Location"))
	}
}

// seen fails unless the browser ends on a page of Perch, with a sentence that
// says where to go.
func (h *house) seen(what string, a answer, status int, sentence string) {
	h.t.Helper()
	if a.StatusCode != status || a.Header.Get("Location") != "" || !strings.Contains(a.body, sentence) ||
		!strings.Contains(a.body, "go back to the application") {
		h.t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
	}
}

func TestEveryErrorOfXReachesTheApplication(t *testing.T) {
	h := build(t, plan{})
	before := h.stored()
	for of, code := range map[string]string{
		"access_denied": "access_denied", "temporarily_unavailable": "temporarily_unavailable", "server_error": "server_error",
		"invalid_request": "server_error", "unauthorized_client": "server_error", "unsupported_response_type": "server_error",
		"invalid_scope": "server_error", "<script>alert(1)</script>": "server_error", "x\r\nSet-Cookie: a=b": "server_error",
	} {
		s := h.under("s&1")
		query := url.Values{"state": {s.back.Query().Get("state")}, "error": {of}, "error_description": {"canary"}}
		a, q := h.answered(s, query.Encode())
		h.told(of, a, q, code, "s&1")
		if strings.Contains(a.body+a.Header.Get("Location"), "canary") || strings.Contains(a.body, "script") || len(a.Cookies()) != 1 {
			t.Errorf("%s: what X says is passed on: %s", of, a.body)
		}
		if a, _ := h.answered(s, s.back.RawQuery); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: afterwards the state works: %d", of, a.StatusCode)
		}
	}
	if h.stored() != before {
		t.Error("something was stored")
	}
}

func TestXIsDownAtTheCallback(t *testing.T) {
	for name, v := range map[string]struct {
		trouble xsim.Mischief
		code    string
	}{
		"an outage":                             {xsim.Mischief{Match: "token", Kind: "outage"}, "temporarily_unavailable"},
		"HTML instead of JSON":                  {xsim.Mischief{Match: "token", Kind: "html"}, "temporarily_unavailable"},
		"a reply that is lost":                  {xsim.Mischief{Match: "token", Kind: "lost"}, "temporarily_unavailable"},
		"too many":                              {xsim.Mischief{Match: "token", Kind: "status", Status: 429}, "temporarily_unavailable"},
		"it does not say whose tokens they are": {xsim.Mischief{Match: "getUsersMe", Kind: "status", Status: 403}, "server_error"},
	} {
		h := build(t, plan{})
		before := h.stored()
		s := h.under("s")
		h.sim.Mischief(v.trouble)
		a, q := h.finish(s.back, s.cookie)
		h.told(name, a, q, v.code, "s")
		if h.stored() != before || strings.Contains(a.body+a.Header.Get("Location")+h.log.String(), s.back.Query().Get("code")) {
			t.Errorf("%s: something was stored, or X's code is told: %s", name, a.body)
		}
	}
}

func TestAWindowThatWasLeftOpenEndsOnAPage(t *testing.T) {
	h := build(t, plan{})
	s := h.under("s")
	query := strings.Replace(s.back.RawQuery, s.back.Query().Get("state"), strings.Repeat("A", 26), 1) // as swept after its time
	a, _ := h.answered(s, query)
	h.seen("a sign-in that is gone", a, http.StatusBadRequest, "older than ten minutes")
	if a, q := h.finish(s.back, s.cookie); a.StatusCode != http.StatusFound || q.Get("code") == "" {
		t.Errorf("the one that is not gone: %d", a.StatusCode)
	}
}

func TestTwoTabsSignInBesideEachOther(t *testing.T) {
	h := build(t, plan{})
	one, two := h.under("1"), h.under("2")
	jar := one.cookie + "; " + two.cookie
	codes := map[string]bool{}
	for state, s := range map[string]signIn{"1": one, "2": two} {
		a, q := h.finish(s.back, jar)
		if a.StatusCode != http.StatusFound || q.Get("state") != state || q.Get("iss") != h.public || q.Get("code") == "" {
			t.Errorf("tab %s: %d %s", state, a.StatusCode, a.Header.Get("Location"))
		}
		codes[q.Get("code")] = true
	}
	if len(codes) != 2 {
		t.Error("two tabs have one code")
	}
	for code := range codes {
		if a := h.tokenCall(withClient(h.exchangeForm(code), h.pk)); a.StatusCode != http.StatusOK {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

func withClient(form url.Values, id string) url.Values {
	form.Set("client_id", id)
	return form
}

func TestBackAndReloadAtTheCallbackEndOnAPage(t *testing.T) {
	h := build(t, plan{})
	s := h.under("s")
	first, q := h.finish(s.back, s.cookie)
	got := h.tokenCall(withClient(h.exchangeForm(q.Get("code")), h.pk))
	if first.StatusCode != http.StatusFound || got.StatusCode != http.StatusOK {
		t.Fatal(first.StatusCode, got.StatusCode)
	}
	for range 2 {
		a, _ := h.finish(s.back, s.cookie)
		h.seen("again", a, http.StatusBadRequest, "finished")
	}
	token := "Authorization: Bearer " + got.json(t)["access_token"].(string)
	if a := ask(t, "GET", h.public+"/v1/grants", "", token); a.StatusCode != http.StatusOK {
		t.Errorf("a reload ends the session: %d", a.StatusCode)
	}
}

func TestTheCallbackInAnotherBrowserEndsOnAPage(t *testing.T) {
	h := build(t, plan{})
	before := h.stored()
	for name, cookie := range map[string]string{"none": "a=b", "another sign-in's": h.under("o").cookie} {
		s := h.under("s")
		a, _ := h.finish(s.back, cookie)
		h.seen(name, a, http.StatusForbidden, "another browser")
		a, _ = h.finish(s.back, s.cookie)
		h.seen(name, a, http.StatusBadRequest, "unknown, finished") // a state is good once
	}
	if h.stored() != before {
		t.Error("something was stored")
	}
}

func TestACallbackThatSaysTooLittleOrTooMuch(t *testing.T) {
	h := build(t, plan{})
	s := h.under("s")
	state, code := s.back.Query().Get("state"), s.back.Query().Get("code")
	for name, query := range map[string]string{
		"nothing": "", "no state": "code=" + code, "no code": "state=" + state, "an empty code": "state=" + state + "&code=",
		"code and error": "state=" + state + "&code=" + code + "&error=access_denied", "error and no state": "error=access_denied",
	} {
		a, _ := h.answered(s, query)
		h.seen(name, a, http.StatusBadRequest, "incomplete")
	}
	if a, q := h.finish(s.back, s.cookie); a.StatusCode != http.StatusFound || q.Get("code") == "" {
		t.Errorf("then X's own: %d", a.StatusCode)
	}
}

func TestEveryAnswerNamesItsIssuer(t *testing.T) {
	h := build(t, plan{})
	s := h.under("s")
	_, good := h.finish(s.back, s.cookie)
	back, c := h.start("s", "deny")
	_, denied := h.finish(back, c.Name+"="+c.Value)
	early := ask(t, "GET", strings.Replace(h.authorizeURL("s"), "S256", "plain", 1), "")
	at, err := url.Parse(early.Header.Get("Location"))
	must(t, err)
	for what, q := range map[string]url.Values{"a code": good, "a refusal": denied, "an early refusal": at.Query()} {
		if q.Get("iss") != h.public || len(q["iss"]) != 1 {
			t.Errorf("%s comes from %q", what, q["iss"])
		}
	}
	issuer := ask(t, "GET", h.public+"/.well-known/oauth-authorization-server", "").json(t)["issuer"]
	if issuer != h.public {
		t.Errorf("the metadata says %v", issuer)
	}
}

// PKCE cannot be left out: not at the beginning, not at the end.
func TestNoCodeIsBoughtWithoutItsVerifier(t *testing.T) {
	h := build(t, plan{})
	for name, change := range map[string]func(url.Values){
		"plain":        func(q url.Values) { q.Set("code_challenge_method", "plain") },
		"no method":    func(q url.Values) { q.Del("code_challenge_method") },
		"no challenge": func(q url.Values) { q.Del("code_challenge") },
		"neither":      func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") },
	} {
		u, err := url.Parse(h.authorizeURL("s"))
		must(t, err)
		q := u.Query()
		change(q)
		u.RawQuery = q.Encode()
		a := ask(t, "GET", u.String(), "")
		to, err := url.Parse(a.Header.Get("Location"))
		must(t, err)
		h.told(name, a, to.Query(), "invalid_request", "s")
	}
	for name, v := range map[string]string{"none": "", "the challenge": "plain", "another": strings.Repeat("v", 43)} {
		form := withClient(h.exchangeForm(h.code()), h.pk)
		form.Set("code_verifier", v)
		a := h.tokenCall(form)
		if a.StatusCode != http.StatusBadRequest || a.json(t)["access_token"] != nil {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
}

func TestTheAnswerOfACallbackIsNotKept(t *testing.T) {
	h := build(t, plan{})
	s := h.under("s")
	a, q := h.finish(s.back, s.cookie)
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Referrer-Policy") != "no-referrer" || q.Get("code") == "" {
		t.Errorf("%v", a.Header)
	}
	if strings.Contains(a.body, q.Get("code")) || strings.Contains(h.log.String(), q.Get("code")) {
		t.Error("the code is told twice")
	}
}
