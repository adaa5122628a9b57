package sessions_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/jws"
	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/clients"
	"perch/app/sessions"
	"perch/app/xapps"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

const (
	issuer   = "https://perch.example"
	redirect = "https://app.example/cb"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// x stands where the grants slice does: every sign-in ends as it says.
type x struct {
	asked oauth.Authorization
	err   error
}

func (x *x) Begin(_ context.Context, a oauth.Authorization) (string, secret.Text, error) {
	a.ID = "authorization"
	x.asked = a
	return "https://x.example/?state=x", secret.New("cookie"), x.err
}

func (x *x) Complete(context.Context, oauth.Callback) (oauth.Authorization, oauth.Grant, error) {
	return x.asked, oauth.Grant{ID: "grant_1", User: user.User{ID: "7"}, Scopes: x.asked.Scopes}, x.err
}

// A server is the sessions slice over memory, with one client application.
type server struct {
	*sessions.Service
	t      *testing.T
	x      *x
	apps   *clients.Service
	app    client.App
	id     string // the application's publishable key
	secret secret.Text
	other  string // the publishable key of another application
}

func newServer(t *testing.T) *server {
	t.Helper()
	store, ring := memory.Open(), keyring.Ephemeral()
	t.Cleanup(func() { _ = store.Close() })
	registry := store.Registry()
	xs := xapps.New(registry.XApps(), registry.Apps(), ring, ports.XApp{ClientID: "x"})
	s := &server{t: t, x: &x{}, apps: clients.New(registry.Apps(), registry.Keys(), ring, xs)}
	s.Service = sessions.New(sessions.Parts{
		Clients: s.apps, Apps: registry.Apps(), Grants: s.x, Codes: store.Codes(), Sessions: store.Sessions(),
		Signer: jws.New(store.SigningKeys(), ring, issuer), Keyring: ring, Issuer: issuer,
	})
	s.app, s.id = s.register()
	_, s.other = s.register()
	s.secret = s.key(s.app.ID, apikey.Secret)
	return s
}

func (s *server) register() (client.App, string) {
	s.t.Helper()
	app, err := s.apps.Register(s.t.Context(), client.App{
		Name: "test", XApp: xapp.Default, RedirectURIs: []string{redirect, redirect + "?keep=1"},
		Scopes: []string{"tweet.write", "like.read"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return app, s.key(app.ID, apikey.Publishable).Reveal()
}

func (s *server) key(app client.AppID, kind apikey.Kind) secret.Text {
	s.t.Helper()
	_, text, err := s.apps.IssueKey(s.t.Context(), apikey.Key{App: app, Kind: kind})
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *server) request() sessions.AuthorizeRequest {
	return sessions.AuthorizeRequest{
		ResponseType: "code", ClientID: s.id, Redirect: redirect, Scope: "tweet.write", State: "st&te=1",
		Challenge: oauth.Challenge(verifier), ChallengeMethod: "S256",
	}
}

// code signs in and returns the authorization code.
func (s *server) code() string {
	s.t.Helper()
	if _, err := s.Authorize(s.t.Context(), s.request()); err != nil {
		s.t.Fatal(err)
	}
	back, err := s.Callback(s.t.Context(), oauth.Callback{})
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := url.Parse(back.URL)
	if err != nil || u.Query().Get("state") != "st&te=1" || u.Query().Get("iss") != issuer {
		s.t.Fatalf("sent back to %s: %v", back.URL, err)
	}
	return u.Query().Get("code")
}

func (s *server) exchange(code string) sessions.TokenRequest {
	return sessions.TokenRequest{
		GrantType: "authorization_code", ClientID: s.id, Code: code, Redirect: redirect, Verifier: verifier,
	}
}

func (s *server) refresh(token secret.Text) (sessions.Tokens, error) {
	return s.Token(s.t.Context(), sessions.TokenRequest{GrantType: "refresh_token", ClientID: s.id, Refresh: token})
}

// signedIn returns the tokens of a new session.
func (s *server) signedIn() sessions.Tokens {
	s.t.Helper()
	tokens, err := s.Token(s.t.Context(), s.exchange(s.code()))
	if err != nil {
		s.t.Fatal(err)
	}
	return tokens
}

func (s *server) goesOn(tokens sessions.Tokens) bool {
	_, _, err := s.Verify(s.t.Context(), tokens.Access)
	return err == nil
}

func named(t *testing.T, err error, slug string) {
	t.Helper()
	if fault.SlugOf(err) != slug {
		t.Errorf("error is %q (%v), want %q", fault.SlugOf(err), err, slug)
	}
}

func TestSigningIn(t *testing.T) {
	s := newServer(t)
	tokens := s.signedIn()
	claims, app, err := s.Verify(t.Context(), tokens.Access)
	if err != nil || claims.Grant != "grant_1" || claims.User != "7" || app.ID != s.app.ID || claims.Issuer != issuer {
		t.Fatalf("claims %+v: %v", claims, err)
	}
	if want := oauth.Scopes("offline.access tweet.read tweet.write users.read"); claims.Scopes != want || s.x.asked.Scopes != want {
		t.Errorf("scopes %q, asked %q", claims.Scopes, s.x.asked.Scopes)
	}
}

func TestAuthorizeNeverRedirectsToAStranger(t *testing.T) {
	s := newServer(t)
	for name, spoil := range map[string]func(*sessions.AuthorizeRequest){
		"no client":              func(r *sessions.AuthorizeRequest) { r.ClientID = "" },
		"an unknown client":      func(r *sessions.AuthorizeRequest) { r.ClientID = "pk_unknown" },
		"a secret key":           func(r *sessions.AuthorizeRequest) { r.ClientID = s.secret.Reveal() },
		"no redirect of several": func(r *sessions.AuthorizeRequest) { r.Redirect = "" },
		"another host":           func(r *sessions.AuthorizeRequest) { r.Redirect = "https://evil.example/cb" },
		"a longer path":          func(r *sessions.AuthorizeRequest) { r.Redirect += "/" },
		"another case":           func(r *sessions.AuthorizeRequest) { r.Redirect = strings.ToUpper(r.Redirect) },
		"a parameter more":       func(r *sessions.AuthorizeRequest) { r.Redirect += "?x=1" },
	} {
		r := s.request()
		spoil(&r)
		_, err := s.Authorize(t.Context(), r)
		if refusal, redirects := errors.AsType[*sessions.Refusal](err); err == nil || redirects {
			t.Errorf("%s: %v, redirects: %v", name, err, refusal)
		}
	}
}

func TestAuthorizeTellsTheClientByRedirect(t *testing.T) {
	s := newServer(t)
	for want, spoil := range map[string]func(*sessions.AuthorizeRequest){
		"unsupported_response_type": func(r *sessions.AuthorizeRequest) { r.ResponseType = "token" },
		"invalid_request":           func(r *sessions.AuthorizeRequest) { r.ChallengeMethod = "plain" },
		"invalid_scope":             func(r *sessions.AuthorizeRequest) { r.Scope = "dm.read" },
		"access_denied": func(*sessions.AuthorizeRequest) {
			s.x.err = fault.New(fault.Forbidden, "no").Named("access-denied")
		},
	} {
		r := s.request()
		spoil(&r)
		_, err := s.Authorize(t.Context(), r)
		refusal, ok := errors.AsType[*sessions.Refusal](err)
		if !ok {
			t.Errorf("%s: %v", want, err)
			continue
		}
		u, _ := url.Parse(refusal.URL)
		q := u.Query()
		if q.Get("error") != want || q.Get("state") != r.State || q.Get("iss") != issuer || q.Get("error_description") == "" {
			t.Errorf("%s: %s", want, refusal.URL)
		}
	}
	r := s.request()
	r.Challenge = ""
	s.x.err = nil
	if _, err := s.Authorize(t.Context(), r); err == nil {
		t.Error("a request without PKCE is let through")
	}
}

func TestARedirectURIWithAQueryKeepsIt(t *testing.T) {
	s := newServer(t)
	r := s.request()
	r.Redirect += "?keep=1"
	if _, err := s.Authorize(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	back, err := s.Callback(t.Context(), oauth.Callback{})
	if err != nil || !strings.HasPrefix(back.URL, redirect+"?keep=1&") {
		t.Errorf("%s: %v", back.URL, err)
	}
}

func TestHostileTokenRequests(t *testing.T) {
	for name, v := range map[string]struct {
		spoil func(*server, *sessions.TokenRequest)
		slug  string
	}{
		"a wrong verifier":      {func(_ *server, r *sessions.TokenRequest) { r.Verifier = strings.Repeat("a", 43) }, "invalid-grant"},
		"no verifier":           {func(_ *server, r *sessions.TokenRequest) { r.Verifier = "" }, "invalid-request"},
		"the challenge itself":  {func(_ *server, r *sessions.TokenRequest) { r.Verifier = oauth.Challenge(verifier) }, "invalid-grant"},
		"another redirect URI":  {func(_ *server, r *sessions.TokenRequest) { r.Redirect += "?keep=1" }, "invalid-grant"},
		"an unknown code":       {func(_ *server, r *sessions.TokenRequest) { r.Code = "x" }, "invalid-grant"},
		"another client's code": {func(s *server, r *sessions.TokenRequest) { r.ClientID = s.other }, "invalid-grant"},
		"no client":             {func(_ *server, r *sessions.TokenRequest) { r.ClientID = "" }, "invalid-client"},
		"a secret of another":   {func(_ *server, r *sessions.TokenRequest) { r.ClientSecret = secret.New("sk_wrong") }, "invalid-client"},
		"a publishable secret":  {func(s *server, r *sessions.TokenRequest) { r.ClientSecret = secret.New(s.id) }, "invalid-client"},
		"an unknown grant type": {func(_ *server, r *sessions.TokenRequest) { r.GrantType = "password" }, "unsupported-grant-type"},
		"a made-up refresh": {func(_ *server, r *sessions.TokenRequest) {
			r.GrantType, r.Refresh = "refresh_token", secret.New("rt_a.b.c")
		}, "invalid-grant"},
		"a code that is too old": {func(*server, *sessions.TokenRequest) { time.Sleep(61 * time.Second) }, "invalid-grant"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				r := s.exchange(s.code())
				v.spoil(s, &r)
				_, err := s.Token(t.Context(), r)
				named(t, err, v.slug)
			})
		})
	}
}

func TestAServerMayAuthenticateWithItsSecretKey(t *testing.T) {
	s := newServer(t)
	r := s.exchange(s.code())
	r.ClientSecret = s.secret
	if _, err := s.Token(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestAReusedCodeEndsTheSessionItOpened(t *testing.T) {
	s := newServer(t)
	r := s.exchange(s.code())
	tokens, err := s.Token(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	thief := r
	thief.ClientID = s.other
	_, err = s.Token(t.Context(), thief)
	named(t, err, "invalid-grant")
	if !s.goesOn(tokens) {
		t.Error("another client can end the session")
	}
	_, err = s.Token(t.Context(), r)
	named(t, err, "invalid-grant")
	if s.goesOn(tokens) {
		t.Error("the session goes on")
	}
}

func TestOneOfManyExchangesWins(t *testing.T) {
	s := newServer(t)
	r := s.exchange(s.code())
	var all sync.WaitGroup
	won := make(chan sessions.Tokens, 50)
	for range 50 {
		all.Go(func() {
			if tokens, err := s.Token(t.Context(), r); err == nil {
				won <- tokens
			}
		})
	}
	all.Wait()
	if n := len(won); n > 1 {
		t.Errorf("a code was exchanged %d times", n)
	} else if n == 1 && s.goesOn(<-won) {
		t.Error("the code was presented twice, and its session goes on")
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	s := newServer(t)
	first := s.signedIn()
	second, err := s.refresh(first.Refresh)
	if err != nil || second.Refresh.Equal(first.Refresh) || !s.goesOn(second) {
		t.Fatal(err)
	}
	lost, err := s.refresh(first.Refresh)
	if err != nil || !lost.Refresh.Equal(second.Refresh) {
		t.Fatalf("a lost reply cannot be asked for again: %v", err)
	}
	third, err := s.refresh(second.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.refresh(first.Refresh)
	named(t, err, "invalid-grant")
	if s.goesOn(third) {
		t.Error("an old refresh token leaves the session alive")
	}
	_, err = s.refresh(third.Refresh)
	named(t, err, "invalid-grant")
}

func TestNobodyEndsASessionByGuessing(t *testing.T) {
	s := newServer(t)
	tokens := s.signedIn()
	text := tokens.Refresh.Reveal()
	for _, guess := range []string{text + "x", text[:len(text)-1], strings.Replace(text, ".", ".x", 1), "rt_" + text, ""} {
		_, err := s.refresh(secret.New(guess))
		named(t, err, "invalid-grant")
	}
	_, err := s.Token(t.Context(), sessions.TokenRequest{GrantType: "refresh_token", ClientID: s.other, Refresh: tokens.Refresh})
	named(t, err, "invalid-grant")
	if !s.goesOn(tokens) {
		t.Error("a guess ended the session")
	}
}

func TestTabsThatRefreshAtOnceAgree(t *testing.T) {
	s := newServer(t)
	first := s.signedIn()
	var all sync.WaitGroup
	got := make(chan sessions.Tokens, 20)
	for range 20 {
		all.Go(func() {
			tokens, err := s.refresh(first.Refresh)
			if err != nil {
				t.Error(err)
			}
			got <- tokens
		})
	}
	all.Wait()
	close(got)
	next := <-got
	for tokens := range got {
		if !tokens.Refresh.Equal(next.Refresh) {
			t.Error("two tabs got different refresh tokens")
		}
	}
	if _, err := s.refresh(next.Refresh); err != nil {
		t.Error(err)
	}
}

func TestRevoke(t *testing.T) {
	s := newServer(t)
	for name, which := range map[string]func(sessions.Tokens) secret.Text{
		"the access token":  func(t sessions.Tokens) secret.Text { return t.Access },
		"the refresh token": func(t sessions.Tokens) secret.Text { return t.Refresh },
	} {
		tokens := s.signedIn()
		if err := s.Revoke(t.Context(), s.other, secret.Text{}, which(tokens)); err != nil || !s.goesOn(tokens) {
			t.Errorf("%s, by another client: %v, goes on: %v", name, err, s.goesOn(tokens))
		}
		if err := s.Revoke(t.Context(), s.id, secret.Text{}, which(tokens)); err != nil || s.goesOn(tokens) {
			t.Errorf("%s: %v, goes on: %v", name, err, s.goesOn(tokens))
		}
	}
	if err := s.Revoke(t.Context(), s.id, secret.Text{}, secret.New("unknown")); err != nil {
		t.Errorf("an unknown token: %v", err)
	}
	named(t, s.Revoke(t.Context(), "pk_x", secret.Text{}, secret.New("x")), "invalid-client")
}

func TestASuspendedApplicationIsRefusedAtOnce(t *testing.T) {
	s := newServer(t)
	tokens := s.signedIn()
	_, err := s.apps.Change(t.Context(), s.app.ID, func(a client.App) client.App {
		a.Status = client.Suspended
		return a
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Verify(t.Context(), tokens.Access)
	named(t, err, "app-suspended")
	_, err = s.refresh(tokens.Refresh)
	named(t, err, "app-suspended")
}

func TestAccessTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		tokens := s.signedIn()
		time.Sleep(tokens.TTL + time.Second)
		if s.goesOn(tokens) {
			t.Error("an access token outlives its time")
		}
		if again, err := s.refresh(tokens.Refresh); err != nil || !s.goesOn(again) {
			t.Errorf("the session does not go on: %v", err)
		}
	})
}
