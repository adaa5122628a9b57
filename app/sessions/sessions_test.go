package sessions_test

import (
	"context"
	"errors"
	"net/netip"
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
	"perch/app/uses"
	"perch/app/xapps"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
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
	asked  oauth.Authorization
	err    error
	state  oauth.State  // of the grant
	since  time.Time    // of the grant
	scopes oauth.Scopes // of the grant; empty: as asked
}

func (x *x) Begin(_ context.Context, a oauth.Authorization) (string, secret.Text, error) {
	a.ID = "authorization"
	x.asked = a
	return "https://x.example/?state=x", secret.New("cookie"), x.err
}

func (x *x) Complete(context.Context, oauth.Callback) (oauth.Authorization, oauth.Grant, error) {
	return x.asked, x.granted(), x.err
}

func (x *x) Get(context.Context, client.AppID, oauth.GrantID) (oauth.Grant, error) {
	return x.granted(), nil
}

func (x *x) granted() oauth.Grant {
	scopes := x.scopes
	if scopes == "" {
		scopes = x.asked.Scopes
	}
	return oauth.Grant{
		ID: "grant_1", User: user.User{ID: "7"}, Scopes: scopes, State: x.state, Created: x.since,
	}
}

// A server is the sessions slice over memory, with one client application.
type server struct {
	*sessions.Service
	t      *testing.T
	x      *x
	store  *memory.Store
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
	s := &server{t: t, x: &x{}, store: store}
	s.apps = clients.New(registry.Apps(), registry.Keys(), ring, xs, uses.New(store.Uses()))
	s.Service = sessions.New(sessions.Parts{
		Clients: s.apps, Apps: registry.Apps(), Grants: s.x, Codes: store.Codes(), Sessions: store.Sessions(),
		DPoP: jws.NewProofs(), Signer: jws.New(store.SigningKeys(), ring, issuer, time.Now), Keyring: ring, Quotas: store.Quota(), Issuer: issuer, Now: time.Now,
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

func TestOneAddressCannotUseUpTheSignInsOfAnApplication(t *testing.T) {
	s := newServer(t)
	begin := func(from string) error {
		r := s.request()
		r.From = netip.MustParseAddr(from)
		_, err := s.Authorize(t.Context(), r)
		return err
	}
	for i := range 120 {
		if err := begin("192.0.2.1"); err != nil {
			t.Fatalf("sign-in %d: %v", i+1, err)
		}
	}
	named(t, begin("192.0.2.1"), "too-many-sign-ins")
	for _, other := range []string{"192.0.2.2", "2001:db8::1", "127.0.0.1"} {
		if err := begin(other); err != nil {
			t.Errorf("from %s: %v", other, err)
		}
	}
	for range 119 {
		if err := begin("2001:db8::2"); err != nil {
			t.Fatal(err)
		}
	}
	named(t, begin("2001:db8::3"), "too-many-sign-ins") // of the same subscriber
}

// code signs in and returns the authorization code.
func (s *server) code() string {
	s.t.Helper()
	if _, err := s.Authorize(s.t.Context(), s.request()); err != nil {
		s.t.Fatal(err)
	}
	return s.codeAtCallback()
}

// codeAtCallback ends the sign-in that has begun and returns its code.
func (s *server) codeAtCallback() string {
	s.t.Helper()
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
	_, _, err := s.Verify(s.t.Context(), session.Presented{Token: tokens.Access})
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
	claims, app, err := s.Verify(t.Context(), session.Presented{Token: tokens.Access})
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

func TestACodeDoesNotOutliveARevocation(t *testing.T) {
	s := newServer(t)
	code := s.code()
	s.x.state = oauth.Revoked
	_, err := s.Token(t.Context(), s.exchange(code))
	named(t, err, "invalid-grant")

	s.x.state = oauth.Active
	code = s.code()
	s.x.since = time.Now().Add(time.Second) // revoked, and connected again
	_, err = s.Token(t.Context(), s.exchange(code))
	named(t, err, "invalid-grant")
}

func TestSignInsThatBeginAreBounded(t *testing.T) {
	s := newServer(t)
	var err error
	for range 1201 {
		_, err = s.Authorize(t.Context(), s.request())
	}
	refusal, ok := errors.AsType[*sessions.Refusal](err)
	if !ok || !strings.Contains(refusal.URL, "error=temporarily_unavailable") {
		t.Errorf("%v", err)
	}
}
