package sessions_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"perch/app/sessions"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

type jar = map[client.AppID]secret.Text

// inCookies puts the server's application into cookie mode.
func (s *server) inCookies() {
	s.t.Helper()
	s.change(func(a client.App) client.App { a.Cookies = true; return a })
}

func (s *server) change(edit func(client.App) client.App) {
	s.t.Helper()
	if _, err := s.apps.Change(s.t.Context(), s.app.ID, edit); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) signInRequest(held jar) sessions.SignInRequest {
	return sessions.SignInRequest{ClientID: s.id, Redirect: redirect, Scope: "tweet.write", State: "st&te=1", Held: held}
}

// hold signs in with the cookies and returns the session's cookie.
func (s *server) hold(begin, end jar) secret.Text {
	s.t.Helper()
	if _, err := s.SignIn(s.t.Context(), s.signInRequest(begin)); err != nil {
		s.t.Fatal(err)
	}
	to, err := s.Callback(s.t.Context(), oauth.Callback{Held: end})
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	q := u.Query()
	if !strings.HasPrefix(to.URL, redirect) || q.Has("code") || q.Get("state") != "st&te=1" || q.Get("iss") != issuer || len(q) != 2 {
		s.t.Errorf("the browser is sent to %s", to.URL)
	}
	if to.Held == nil || to.Held.App != s.app.ID || to.Held.TTL != session.CookieTTL || !to.Cookie.Empty() {
		s.t.Fatalf("the browser is to hold %+v", to.Held)
	}
	return to.Held.Value
}

func (s *server) holds(cookie secret.Text) bool {
	s.t.Helper()
	_, _, err := s.Holder(s.t.Context(), s.app.ID, cookie)
	if err != nil && !errors.Is(err, fault.Unauthenticated) {
		s.t.Fatal(err)
	}
	return err == nil
}

func TestASignInGivesACookieAndNoToken(t *testing.T) {
	s := newServer(t)
	s.inCookies()
	cookie := s.hold(nil, nil)
	ses, app, err := s.Holder(t.Context(), s.app.ID, cookie)
	if err != nil || app.ID != s.app.ID || ses.Grant != "grant_1" || ses.User != "7" || !ses.Cookie ||
		ses.Current != "" || ses.Scopes != s.x.asked.Scopes || !ses.Scopes.Has("tweet.write") {
		t.Errorf("%+v %v", ses, err)
	}
	if err := s.SignOut(t.Context(), ses.ID); err != nil || s.holds(cookie) {
		t.Errorf("after signing out: %v", err)
	}
	if err := s.SignOut(t.Context(), ses.ID); err != nil {
		t.Errorf("signing out again: %v", err)
	}
	if _, err := s.Session(t.Context(), ses.ID); fault.SlugOf(err) != "no-session" {
		t.Errorf("the session that has ended: %v", err)
	}
}

func TestEachSignInHasANewSessionAndEndsTheOld(t *testing.T) {
	for name, v := range map[string]struct{ begin, end bool }{
		"presented when it began": {begin: true}, "presented when it ended": {end: true}, "presented both times": {true, true},
	} {
		s := newServer(t)
		s.inCookies()
		old := s.hold(nil, nil)
		cookies := jar{s.app.ID: old, "app_other": secret.New("theirs")}
		var begin, end jar
		if v.begin {
			begin = cookies
		}
		if v.end {
			end = cookies
		}
		if now := s.hold(begin, end); now.Equal(old) || !s.holds(now) || s.holds(old) {
			t.Errorf("%s: the old session goes on: %v", name, s.holds(old))
		}
	}
}

func TestASignInThatFailsEndsNothing(t *testing.T) {
	s := newServer(t)
	s.inCookies()
	old := s.hold(nil, nil)
	if _, err := s.SignIn(t.Context(), s.signInRequest(jar{s.app.ID: old})); err != nil {
		t.Fatal(err)
	}
	s.x.err = fault.New(fault.Forbidden, "the user said no").Named("access-denied")
	to, err := s.Callback(t.Context(), oauth.Callback{Held: jar{s.app.ID: old}})
	if refusal := new(sessions.Refusal); !errors.As(err, &refusal) || !strings.Contains(refusal.URL, "error=access_denied") {
		t.Errorf("%+v %v", to, err)
	}
	if !s.holds(old) {
		t.Error("the session before has ended")
	}
}

func TestAPlantedValueIsNotTakenOver(t *testing.T) {
	s := newServer(t)
	s.inCookies()
	good := s.hold(nil, nil).Reveal()
	id, proof, _ := strings.Cut(good, ".")
	for name, planted := range map[string]string{
		"nothing": "", "an ID alone": id, "no proof": id + ".", "another proof": id + "." + strings.Repeat("0", len(proof)),
		"another ID": "ses_attacker." + proof, "a long one": good + strings.Repeat("x", 1000), "in pieces": id + ".." + proof,
	} {
		if s.holds(secret.New(planted)) {
			t.Errorf("%s lets in", name)
		}
		if now := s.hold(jar{s.app.ID: secret.New(planted)}, jar{s.app.ID: secret.New(planted)}).Reveal(); now == planted || strings.HasPrefix(now, id) {
			t.Errorf("%s was taken over", name)
		}
	}
	if _, _, err := s.Holder(t.Context(), "app_other", secret.New(good)); fault.SlugOf(err) != "no-session" {
		t.Errorf("under another application's name: %v", err)
	}
}

func TestATokensSessionIsNoCookies(t *testing.T) {
	s := newServer(t)
	tokens, err := s.Token(t.Context(), sessions.TokenRequest{
		GrantType: "authorization_code", ClientID: s.id, Code: s.code(), Redirect: redirect, Verifier: verifier,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.holds(tokens.Access) || s.holds(tokens.Refresh) {
		t.Error("a token is taken for a cookie")
	}
	_, err = s.SignIn(t.Context(), s.signInRequest(nil))
	if refusal := new(sessions.Refusal); !errors.As(err, &refusal) || !strings.Contains(refusal.URL, "error=unauthorized_client") {
		t.Errorf("an application with tokens begins a sign-in with a cookie: %v", err)
	}

	s.inCookies()
	_, err = s.Authorize(t.Context(), s.request())
	if refusal := new(sessions.Refusal); !errors.As(err, &refusal) || !strings.Contains(refusal.URL, "error=unauthorized_client") {
		t.Errorf("an application in cookie mode begins a sign-in with tokens: %v", err)
	}
	_, err = s.Token(t.Context(), sessions.TokenRequest{GrantType: "refresh_token", ClientID: s.id, Refresh: tokens.Refresh})
	if sessions.ErrorCode(err) != "unauthorized_client" {
		t.Errorf("an application in cookie mode refreshes a token: %v", err)
	}
}

func TestCookiesEndWithTheirMode(t *testing.T) {
	s := newServer(t)
	s.inCookies()
	cookie := s.hold(nil, nil)
	s.change(func(a client.App) client.App { a.Status = client.Suspended; return a })
	if _, app, err := s.Holder(t.Context(), s.app.ID, cookie); fault.SlugOf(err) != "app-suspended" || app.ID != s.app.ID {
		t.Errorf("suspended: %v", err)
	}
	s.change(func(a client.App) client.App { a.Status, a.Cookies = client.Active, false; return a })
	if s.holds(cookie) {
		t.Error("a cookie lets in at an application that no longer has cookies")
	}
}

func TestASessionInUseLastsAndOneThatIsNotEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.inCookies()
		used, unused := s.hold(nil, nil), s.hold(nil, nil)
		const day = 24 * time.Hour
		for range 60 {
			time.Sleep(day)
			if !s.holds(used) {
				t.Fatal("a session in use has ended before its time")
			}
		}
		if s.holds(unused) {
			t.Error("a session that nobody used goes on")
		}
		time.Sleep(session.CookieTTL - 60*day)
		if s.holds(used) {
			t.Error("a session in use goes on for ever")
		}
	})
}

func TestRefusalsOfASignInWithACookie(t *testing.T) {
	s := newServer(t)
	s.inCookies()
	for name, edit := range map[string]func(*sessions.SignInRequest){
		"a secret key as client":  func(r *sessions.SignInRequest) { r.ClientID = s.secret.Reveal() },
		"an unknown client":       func(r *sessions.SignInRequest) { r.ClientID = "pk_nobody" },
		"a redirect URI of none":  func(r *sessions.SignInRequest) { r.Redirect = "https://evil.example/cb" },
		"a redirect URI to guess": func(r *sessions.SignInRequest) { r.Redirect = "" },
	} {
		r := s.signInRequest(nil)
		edit(&r)
		_, err := s.SignIn(t.Context(), r)
		if refusal := new(sessions.Refusal); !errors.Is(err, fault.Invalid) || errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*sessions.SignInRequest){
		"invalid_scope":   func(r *sessions.SignInRequest) { r.Scope = "dm.write" },
		"invalid_request": func(r *sessions.SignInRequest) { r.State = strings.Repeat("s", 1001) },
	} {
		r := s.signInRequest(nil)
		edit(&r)
		_, err := s.SignIn(t.Context(), r)
		if refusal := new(sessions.Refusal); !errors.As(err, &refusal) || !strings.Contains(refusal.URL, "error="+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
