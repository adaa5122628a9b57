package wiring_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

const problemJSON = "application/problem+json"

// A stageOfTrouble is where something goes wrong: a house, its X and an application. A
// client asks for the media type accept, or for none in particular.
type stageOfTrouble struct {
	*house
	x      *xsim.Sim
	app    tenant
	accept string
}

// A trouble is something that goes wrong for a user or a developer.
type trouble struct {
	name    string
	happens func(t *testing.T, s stageOfTrouble) answer
	status  int    // of HTTP
	told    int    // the status in the document; they differ where a browser is redirected
	problem string // last part of the problem type
	remedy  string // what the detail says to do
	oauth   string // error of OAuth, where the token endpoint answers
	sent    string // error of OAuth with which a browser is sent back, where one is
}

func troubles() []trouble {
	const signInAgain = "start the sign-in again"
	return []trouble{
		{"the user denies", denied, 302, 403, "access-denied", "connecting again asks anew", "", "access_denied"},
		{"the code of X has expired", expiredAtX, 302, 400, "x-code-refused", signInAgain, "", "invalid_request"},
		{"the state comes again", replayedState, 400, 400, "unknown-state", "connect again", "", ""},
		{"another browser comes back", otherBrowser, 403, 403, "other-browser", "connect again from here", "", ""},
		{"the code comes again", replayedCode, 400, 400, "invalid-grant", signInAgain, "invalid_grant", ""},
		{"the verifier is wrong", wrongVerifier, 400, 400, "invalid-grant", signInAgain, "invalid_grant", ""},
		{"the refresh token is spent", spentRefresh, 400, 400, "invalid-grant", signInAgain, "invalid_grant", ""},
		{"the client is unknown", unknownClient, 401, 401, "invalid-client", "use its publishable key", "invalid_client", ""},
		{"the grant is revoked", revokedGrant, 403, 403, "grant-revoked", "the user must connect again", "", ""},
		{"a session's grant is revoked", revokedUnderSession, 401, 401, "invalid-token", "sign in again", "", ""},
		{"the grant is another's", foreignGrant, 404, 404, "no-such-grant", "GET /v1/grants lists those it has", "", ""},
	}
}

func TestWhatGoesWrongIsToldWithARemedy(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		s := stageOfTrouble{house: open(t, settings(t, e, at)), x: x}
		s.app = s.register(t, pageA, "")
		for _, v := range troubles() {
			t.Run(v.name, func(t *testing.T) {
				kind := problemJSON
				if v.oauth != "" {
					kind = "application/json"
				}
				v.check(t, v.happens(t, s), kind)
				asks := s
				asks.accept = problemJSON
				v.check(t, v.happens(t, asks), problemJSON)
			})
		}
	})
}

func (v trouble) check(t *testing.T, a answer, kind string) {
	t.Helper()
	if a.status != v.status || a.header.Get("Content-Type") != kind {
		t.Errorf("got %d %s, want %d %s", a.status, a.header.Get("Content-Type"), v.status, kind)
	}
	if told, _ := a.field("status").(float64); int(told) != v.told || a.problem() != v.problem || a.text("title") == "" {
		t.Errorf("the document is %s", a.body)
	}
	if !strings.Contains(a.text("detail"), v.remedy) {
		t.Errorf("the detail does not say what to do: %q", a.text("detail"))
	}
	if a.text("error") != v.oauth || (v.oauth != "" && !strings.Contains(a.text("error_description"), v.remedy)) {
		t.Errorf("for OAuth it is %q: %q", a.text("error"), a.text("error_description"))
	}
	if id := a.header.Get("Perch-Request-Id"); id == "" || a.text("instance") != id {
		t.Errorf("the instance is %q, the request %q", a.text("instance"), id)
	}
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || to.Query().Get("error") != v.sent || (v.sent == "") != (to.Host == "") || to.Query().Has("code") {
		t.Errorf("the browser is sent to %q", a.header.Get("Location"))
	}
}

// comesBack brings X's answer to Perch.
func (s stageOfTrouble) comesBack(t *testing.T, v *visitor, back *url.URL) answer {
	t.Helper()
	return ask(t, v.client, "GET", v.at(back), "", "Accept: "+s.accept)
}

func denied(t *testing.T, s stageOfTrouble) answer {
	v := s.visit(t, s.app)
	return s.comesBack(t, v, v.decide(t, ada, "deny"))
}

func expiredAtX(t *testing.T, s stageOfTrouble) answer {
	v := s.visit(t, s.app)
	back := v.decide(t, ada, "approve")
	s.x.Advance(31 * time.Second) // X's codes live for thirty
	return s.comesBack(t, v, back)
}

func replayedState(t *testing.T, s stageOfTrouble) answer {
	v := s.visit(t, s.app)
	back := v.decide(t, ada, "approve")
	want(t, http.StatusFound, s.comesBack(t, v, back))
	return s.comesBack(t, v, back)
}

func otherBrowser(t *testing.T, s stageOfTrouble) answer {
	return s.comesBack(t, s.visit(t, s.app), s.visit(t, s.app).decide(t, ada, "approve"))
}

func replayedCode(t *testing.T, s stageOfTrouble) answer {
	v := s.visit(t, s.app)
	code := v.code(t, ada)
	first := sessionOf(t, v.exchange(t, code))
	again := v.exchange(t, code, "Accept: "+s.accept)
	// Who else has the code may have had it first, so nobody keeps what it opened.
	want(t, http.StatusUnauthorized, v.page(t, pageA, first.access, "GET", "/2/users/me", ""))
	want(t, http.StatusBadRequest, v.refresh(t, first.refresh))
	return again
}

func wrongVerifier(t *testing.T, s stageOfTrouble) answer {
	v := s.visit(t, s.app)
	code := v.code(t, ada)
	v.verifier = strings.Repeat("w", 43)
	return v.exchange(t, code, "Accept: "+s.accept)
}

func spentRefresh(t *testing.T, s stageOfTrouble) answer {
	v := s.visit(t, s.app)
	first := v.signIn(t, ada)
	second := sessionOf(t, v.refresh(t, first.refresh))
	third := sessionOf(t, v.refresh(t, second.refresh)) // the first is good until the second is used
	a := v.token(t, "/oauth/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {first.refresh},
	}, "Accept: "+s.accept)
	want(t, http.StatusBadRequest, v.refresh(t, third.refresh))
	return a
}

func unknownClient(t *testing.T, s stageOfTrouble) answer {
	s.app.pk = "pk_" + strings.Repeat("A", 26)
	return s.visit(t, s.app).token(t, "/oauth/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {"rt_x"},
	}, "Accept: "+s.accept)
}

// revoke connects the user and gives the grant up again.
func (s stageOfTrouble) revoke(t *testing.T, v *visitor) session {
	t.Helper()
	got := v.signIn(t, ada)
	a := s.act(t, s.app.sk, "", "DELETE", "/v1/grants/"+got.grant, "")
	want(t, http.StatusNoContent, a)
	return got
}

func revokedGrant(t *testing.T, s stageOfTrouble) answer {
	got := s.revoke(t, s.visit(t, s.app))
	before := len(happened(s.x, "post.created"))
	a := s.act(t, s.app.sk, got.grant, "POST", "/2/tweets", `{"text":"too late"}`, "Accept: "+s.accept)
	if len(happened(s.x, "post.created")) != before {
		t.Error("X was asked all the same")
	}
	return a
}

func revokedUnderSession(t *testing.T, s stageOfTrouble) answer {
	v := s.visit(t, s.app)
	return v.page(t, pageA, s.revoke(t, v).access, "GET", "/2/users/me", "")
}

func foreignGrant(t *testing.T, s stageOfTrouble) answer {
	other := s.register(t, pageB, "")
	grant := s.adopt(t, other, grace, issue(t, s.x, "sim-client", grace), time.Now().Add(time.Hour))
	return s.act(t, s.app.sk, grant, "GET", "/2/users/me", "", "Accept: "+s.accept)
}
