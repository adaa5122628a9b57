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
	"perch/domain/session"
)

// narrow opens a session that may not write, and returns it.
func (s *server) narrow() (sessions.Tokens, session.Claims) {
	s.t.Helper()
	r := s.request()
	r.Scope = "like.read"
	if _, err := s.Authorize(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	tokens, err := s.Token(s.t.Context(), s.exchange(s.codeAtCallback()))
	if err != nil {
		s.t.Fatal(err)
	}
	claims, _, err := s.Verify(s.t.Context(), session.Presented{Token: tokens.Access})
	if err != nil || claims.Scopes.Has("tweet.write") {
		s.t.Fatalf("%q: %v", claims.Scopes, err)
	}
	return tokens, claims
}

// link asks for one scope more and returns the ticket.
func (s *server) link(c session.Claims, scopes oauth.Scopes) string {
	s.t.Helper()
	to, err := s.StepUp(s.t.Context(), s.app, oauth.Extension{Grant: c.Grant, Session: string(c.Session), Scopes: scopes})
	u, err2 := url.Parse(to)
	if errors.Join(err, err2) != nil || !strings.HasPrefix(to, issuer+"/oauth/extend?ticket=") {
		s.t.Fatalf("%q: %v", to, err)
	}
	return u.Query().Get("ticket")
}

func TestALinkWidensTheSessionThatAsked(t *testing.T) {
	for name, redirect := range map[string]string{"to a page of Perch": "", "to the application": redirect} {
		s := newServer(t)
		tokens, claims := s.narrow()
		ticket := s.link(claims, "tweet.write")
		to, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: ticket, Redirect: redirect, State: "st&te"})
		if err != nil || to.URL == "" || to.Cookie.Empty() {
			t.Fatalf("%s: %v", name, err)
		}
		if a := s.x.asked; a.Mode != oauth.ModeExtend || a.Extends != claims.Grant || a.App != s.app.ID ||
			a.Scopes != "tweet.write" || a.Session != string(claims.Session) || a.Redirect != redirect {
			t.Errorf("%s: X is asked for %+v", name, a)
		}
		s.x.scopes = "like.read offline.access tweet.read tweet.write users.read dm.read"
		back, err := s.Callback(t.Context(), oauth.Callback{})
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{"state": {"st&te"}, "iss": {issuer}}.Encode()
		if redirect == "" && back.URL != "" || redirect != "" && back.URL != redirect+"?"+want {
			t.Errorf("%s: the browser ends at %q", name, back.URL)
		}
		if !s.goesOn(tokens) {
			t.Errorf("%s: the old access token is no good any more", name)
		}
		next, err := s.refresh(tokens.Refresh)
		if err != nil || next.Scopes != claims.Scopes.And("tweet.write") {
			t.Errorf("%s: the session has %q: %v", name, next.Scopes, err)
		}
	}
}

func TestASessionGrowsNoFurtherThanItsGrantAndItsApplication(t *testing.T) {
	s := newServer(t)
	tokens, claims := s.narrow()
	if _, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: s.link(claims, "tweet.write")}); err != nil {
		t.Fatal(err)
	}
	s.x.scopes = claims.Scopes // X, or the grant, has it not
	if _, err := s.Callback(t.Context(), oauth.Callback{}); err != nil {
		t.Fatal(err)
	}
	if next, err := s.refresh(tokens.Refresh); err != nil || next.Scopes != claims.Scopes {
		t.Errorf("wider than its grant: %q, %v", next.Scopes, err)
	}

	s = newServer(t)
	tokens, claims = s.narrow()
	if _, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: s.link(claims, "tweet.write")}); err != nil {
		t.Fatal(err)
	}
	s.allow("like.read") // while the user is at X
	s.x.scopes = claims.Scopes.And("tweet.write")
	if _, err := s.Callback(t.Context(), oauth.Callback{}); err != nil {
		t.Fatal(err)
	}
	if next, err := s.refresh(tokens.Refresh); err != nil || next.Scopes != claims.Scopes {
		t.Errorf("wider than its application: %q, %v", next.Scopes, err)
	}
}

// allow changes what the application may ask for.
func (s *server) allow(scopes ...string) {
	s.t.Helper()
	app, err := s.apps.Change(s.t.Context(), s.app.ID, func(a client.App) client.App {
		a.Scopes = scopes
		return a
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.app = app
}

func TestAnApplicationThatMayNotAskGetsNoLink(t *testing.T) {
	s := newServer(t)
	to, err := s.StepUp(t.Context(), s.app, oauth.Extension{Grant: "grant_1", Scopes: "dm.read tweet.write"})
	if err != nil || to != "" {
		t.Errorf("%q: %v", to, err)
	}
	_, claims := s.narrow()
	ticket := s.link(claims, "tweet.write")
	s.allow("like.read")
	_, err = s.Extend(t.Context(), sessions.ExtendRequest{Ticket: ticket})
	named(t, err, "invalid-scope")
}

func TestALinkOfAServerWidensTheGrantAlone(t *testing.T) {
	s := newServer(t)
	tokens, claims := s.narrow()
	claims.Session = ""
	if _, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: s.link(claims, "tweet.write")}); err != nil {
		t.Fatal(err)
	}
	s.x.scopes = claims.Scopes.And("tweet.write")
	if back, err := s.Callback(t.Context(), oauth.Callback{}); err != nil || back.URL != "" {
		t.Errorf("%q: %v", back.URL, err)
	}
	if next, err := s.refresh(tokens.Refresh); err != nil || next.Scopes != claims.Scopes {
		t.Errorf("a session that did not ask has %q: %v", next.Scopes, err)
	}
}

// Signed values bind everything they say and end (see docs/threat-model.md).
func TestAForgedTicketIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		_, claims := s.narrow()
		good := s.link(claims, "tweet.write")
		e, proof, ok := oauth.ReadTicket(good)
		if !ok {
			t.Fatal(good)
		}
		with := func(change func(*oauth.Extension)) string {
			other := e
			change(&other)
			return other.Ticket(proof)
		}
		foreign := newServer(t) // with another keyring
		for name, ticket := range map[string]string{
			"nothing": "", "words": "x.y", "no proof": strings.TrimSuffix(good, proof), "half a proof": good[:len(good)-3],
			"another proof":       e.Ticket(proof[1:] + "A"),
			"another application": with(func(e *oauth.Extension) { e.App = "app_other" }),
			"another grant":       with(func(e *oauth.Extension) { e.Grant = "grant_2" }),
			"another session":     with(func(e *oauth.Extension) { e.Session = "ses_2" }),
			"no session":          with(func(e *oauth.Extension) { e.Session = "" }),
			"more scopes":         with(func(e *oauth.Extension) { e.Scopes = "like.read tweet.write" }),
			"a later end":         with(func(e *oauth.Extension) { e.Expires = e.Expires.Add(time.Hour) }),
			"fields run together": with(func(e *oauth.Extension) { e.Grant, e.Session = e.Grant+oauth.GrantID(e.Session), "" }),
			"another Perch's":     foreign.link(claims, "tweet.write"),
		} {
			_, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: ticket, Redirect: redirect})
			named(t, err, "bad-ticket")
			if refusal, told := errors.AsType[*sessions.Refusal](err); told {
				t.Errorf("%s: the browser is sent to %s", name, refusal.URL)
			}
		}
		for i := range len(good) {
			if c := good[i]; c != 'A' {
				_, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: good[:i] + "A" + good[i+1:]})
				named(t, err, "bad-ticket")
			}
		}
		time.Sleep(oauth.ExtensionTTL - time.Second)
		if _, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: good}); err != nil {
			t.Errorf("before its end: %v", err)
		}
		time.Sleep(time.Second)
		_, err := s.Extend(t.Context(), sessions.ExtendRequest{Ticket: good})
		named(t, err, "ticket-expired")
	})
}

func TestWhereAnExtensionThatCannotBeginEnds(t *testing.T) {
	for name, v := range map[string]struct {
		spoil func(*server, session.Claims, *sessions.ExtendRequest)
		slug  string
		told  string // by redirection; "" for a page
	}{
		"a redirect URI of nobody": {func(_ *server, _ session.Claims, r *sessions.ExtendRequest) {
			r.Redirect = "https://evil.example/"
		}, "invalid-redirect-uri", ""},
		"nearly the right one": {func(_ *server, _ session.Claims, r *sessions.ExtendRequest) {
			r.Redirect += "/"
		}, "invalid-redirect-uri", ""},
		"a long state": {func(_ *server, _ session.Claims, r *sessions.ExtendRequest) {
			r.State = strings.Repeat("s", 1001)
		}, "invalid-request", "invalid_request"},
		"a session that has ended": {func(s *server, c session.Claims, _ *sessions.ExtendRequest) {
			s.endAll(c.Grant)
		}, "session-ended", "access_denied"},
		"a page for it": {func(s *server, c session.Claims, r *sessions.ExtendRequest) {
			s.endAll(c.Grant)
			r.Redirect = ""
		}, "session-ended", ""},
		"X cannot be asked": {func(s *server, _ session.Claims, _ *sessions.ExtendRequest) {
			s.x.err = fault.New(fault.Unavailable, "the store is down")
		}, "", "temporarily_unavailable"},
	} {
		s := newServer(t)
		_, claims := s.narrow()
		r := sessions.ExtendRequest{Ticket: s.link(claims, "tweet.write"), Redirect: redirect, State: "s"}
		v.spoil(s, claims, &r)
		_, err := s.Extend(t.Context(), r)
		refusal, told := errors.AsType[*sessions.Refusal](err)
		if err == nil || fault.SlugOf(err) != v.slug || told != (v.told != "") {
			t.Errorf("%s: %v, told by redirection: %v", name, err, told)
		}
		if told && (!strings.HasPrefix(refusal.URL, redirect+"?") || !strings.Contains(refusal.URL, "error="+v.told)) {
			t.Errorf("%s: %s", name, refusal.URL)
		}
	}
}

func (s *server) endAll(g oauth.GrantID) {
	s.t.Helper()
	if _, err := s.store.Sessions().EndAll(s.t.Context(), g, time.Now()); err != nil {
		s.t.Fatal(err)
	}
}

// Whose account it was is for the eyes of whoever looks at the browser, not for
// the application.
func TestAnotherUsersConsentIsShownOnAPage(t *testing.T) {
	s := newServer(t)
	_, claims := s.narrow()
	r := sessions.ExtendRequest{Ticket: s.link(claims, "tweet.write"), Redirect: redirect, State: "s"}
	if _, err := s.Extend(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s.x.err = fault.New(fault.Forbidden, "you are @grace").Named(oauth.OtherUser)
	_, err := s.Callback(t.Context(), oauth.Callback{})
	refusal, ok := errors.AsType[*sessions.Refusal](err)
	if !ok || !refusal.Page || strings.Contains(refusal.URL, "grace") || !strings.Contains(refusal.URL, "error=access_denied") {
		t.Errorf("%+v", refusal)
	}
}
