package sessions_test

import (
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/app/sessions"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/ports/conformance"
)

const (
	endpoint = issuer + "/oauth/token"
	resource = issuer + "/2/users/me"
)

// fresh is a claim: the nonce that proofs need now.
func (s *server) fresh() map[string]any {
	s.t.Helper()
	nonce, err := s.Nonce(s.t.Context())
	if err != nil || len(nonce) != 43 {
		s.t.Fatalf("the nonce is %q: %v", nonce, err)
	}
	return map[string]any{"nonce": nonce}
}

// prove makes a proof for the token endpoint.
func (s *server) prove(d conformance.Device, changes map[string]any) string {
	claims := s.fresh()
	maps.Copy(claims, changes)
	return d.Prove(s.t, "POST", endpoint, claims)
}

// boundTo asks for tokens with a proof of the device's key.
func (s *server) boundTo(d conformance.Device, r sessions.TokenRequest) (sessions.Tokens, error) {
	r.Proof, r.URL = s.prove(d, nil), endpoint
	return s.Token(s.t.Context(), r)
}

// signedInOn returns the tokens of a new session that is bound to the device.
func (s *server) signedInOn(d conformance.Device) sessions.Tokens {
	s.t.Helper()
	tokens, err := s.boundTo(d, s.exchange(s.code()))
	if err != nil {
		s.t.Fatal(err)
	}
	return tokens
}

// shown is the access token as the device sends it.
func (s *server) shown(d conformance.Device, token secret.Text, changes map[string]any) session.Presented {
	claims := s.fresh()
	claims["ath"] = conformance.Hash(token.Reveal())
	maps.Copy(claims, changes)
	return session.Presented{
		Token: token, Bound: true, Method: "GET", URL: resource, Proof: d.Prove(s.t, "GET", resource, claims),
	}
}

func (s *server) verified(p session.Presented) error {
	_, _, err := s.Verify(s.t.Context(), p)
	return err
}

func (s *server) renewal(token secret.Text) sessions.TokenRequest {
	return sessions.TokenRequest{GrantType: "refresh_token", ClientID: s.id, Refresh: token}
}

func TestAProofBindsTheTokens(t *testing.T) {
	s, d := newServer(t), conformance.NewDevice(t)
	tokens := s.signedInOn(d)
	p := s.shown(d, tokens.Access, nil)
	claims, _, err := s.Verify(t.Context(), p)
	if err != nil || claims.JKT != d.JKT() || !tokens.Bound {
		t.Fatalf("bound to %q: %v", claims.JKT, err)
	}
	again, err := s.boundTo(d, s.renewal(tokens.Refresh))
	if err != nil || !again.Bound {
		t.Fatal(err)
	}
	if err := s.verified(s.shown(d, again.Access, nil)); err != nil {
		t.Error(err)
	}
	if tokens := s.signedIn(); tokens.Bound || !s.goesOn(tokens) {
		t.Error("without a proof the tokens are bound, or no good")
	}
}

func TestABoundTokenWithoutItsKeyIsRefused(t *testing.T) {
	s, d, thief := newServer(t), conformance.NewDevice(t), conformance.NewDevice(t)
	tokens, bearer := s.signedInOn(d), s.signedIn()
	bad := func(spoil func(*session.Presented)) session.Presented {
		p := s.shown(d, tokens.Access, nil)
		spoil(&p)
		return p
	}
	for name, v := range map[string]struct {
		p    session.Presented
		slug string
	}{
		"as Bearer":             {bad(func(p *session.Presented) { p.Bound = false }), "invalid-token"},
		"without a proof":       {bad(func(p *session.Presented) { p.Proof = "" }), "invalid-dpop-proof"},
		"another's proof":       {s.shown(thief, tokens.Access, nil), "invalid-token"},
		"a proof of no token":   {s.shown(d, tokens.Access, map[string]any{"ath": nil}), "invalid-dpop-proof"},
		"of another token":      {s.shown(d, tokens.Access, map[string]any{"ath": conformance.Hash("x")}), "invalid-dpop-proof"},
		"for another method":    {bad(func(p *session.Presented) { p.Method = "POST" }), "invalid-dpop-proof"},
		"for another path":      {bad(func(p *session.Presented) { p.URL = issuer + "/2/tweets" }), "invalid-dpop-proof"},
		"for another host":      {bad(func(p *session.Presented) { p.URL = "https://api.x.com/2/users/me" }), "invalid-dpop-proof"},
		"no nonce":              {s.shown(d, tokens.Access, map[string]any{"nonce": nil}), "use-dpop-nonce"},
		"a made-up nonce":       {s.shown(d, tokens.Access, map[string]any{"nonce": "n"}), "use-dpop-nonce"},
		"too old":               {s.shown(d, tokens.Access, map[string]any{"iat": time.Now().Unix() - 301}), "invalid-dpop-proof"},
		"of the future":         {s.shown(d, tokens.Access, map[string]any{"iat": time.Now().Unix() + 360}), "invalid-dpop-proof"},
		"no jti":                {s.shown(d, tokens.Access, map[string]any{"jti": nil}), "invalid-dpop-proof"},
		"the token as proof":    {bad(func(p *session.Presented) { p.Proof = p.Token.Reveal() }), "invalid-dpop-proof"},
		"a token that is not":   {s.shown(d, bearer.Access, nil), "invalid-token"},
		"an unknown token":      {s.shown(d, secret.New("x"), nil), "invalid-token"},
		"the other's and Proof": {session.Presented{Token: tokens.Access, Proof: s.prove(thief, nil)}, "invalid-token"},
	} {
		err := s.verified(v.p)
		if fault.KindOf(err) != fault.Unauthenticated || fault.SlugOf(err) != v.slug {
			t.Errorf("%s: %v (%s)", name, err, fault.SlugOf(err))
		}
	}
	if err := s.verified(s.shown(d, tokens.Access, nil)); err != nil {
		t.Errorf("and its own device: %v", err)
	}
}

func TestAProofLetsOneRequestIn(t *testing.T) {
	s, d := newServer(t), conformance.NewDevice(t)
	p := s.shown(d, s.signedInOn(d).Access, nil)
	var all sync.WaitGroup
	good := make(chan bool, 50)
	for range 50 {
		all.Go(func() {
			if s.verified(p) == nil {
				good <- true
			}
		})
	}
	all.Wait()
	if n := len(good); n != 1 {
		t.Errorf("one proof let %d requests in", n)
	}
}

func TestAProofBuysTokensOnce(t *testing.T) {
	s, d := newServer(t), conformance.NewDevice(t)
	r := s.exchange(s.code())
	r.Proof, r.URL = s.prove(d, map[string]any{"jti": "one"}), endpoint
	first, err := s.Token(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	second := s.renewal(first.Refresh)
	second.Proof, second.URL = s.prove(d, map[string]any{"jti": "one"}), endpoint
	_, err = s.Token(t.Context(), second)
	named(t, err, "invalid-dpop-proof")
	other := conformance.NewDevice(t) // whose jti may be the same
	r = s.exchange(s.code())
	r.Proof, r.URL = s.prove(other, map[string]any{"jti": "one"}), endpoint
	if _, err := s.Token(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestABadProofCostsNoCode(t *testing.T) {
	s, d := newServer(t), conformance.NewDevice(t)
	r := s.exchange(s.code())
	r.URL = endpoint
	for _, v := range []struct{ proof, slug string }{
		{s.prove(d, map[string]any{"nonce": nil}), "use-dpop-nonce"},
		{s.prove(d, map[string]any{"nonce": "x"}), "use-dpop-nonce"},
		{s.prove(d, map[string]any{"htm": "GET"}), "invalid-dpop-proof"},
		{s.prove(d, map[string]any{"htu": resource}), "invalid-dpop-proof"},
		{"x", "invalid-dpop-proof"},
	} {
		r.Proof = v.proof
		_, err := s.Token(t.Context(), r)
		named(t, err, v.slug)
		if fault.KindOf(err) != fault.Invalid || sessions.ErrorCode(err) != map[string]string{
			"use-dpop-nonce": "use_dpop_nonce", "invalid-dpop-proof": "invalid_dpop_proof",
		}[v.slug] {
			t.Errorf("the client is told %s", sessions.ErrorCode(err))
		}
	}
	r.Proof = s.prove(d, nil)
	if _, err := s.Token(t.Context(), r); err != nil {
		t.Errorf("the code is gone: %v", err)
	}
}

func TestABoundRefreshTokenNeedsItsKey(t *testing.T) {
	s, d, thief := newServer(t), conformance.NewDevice(t), conformance.NewDevice(t)
	first := s.signedInOn(d)
	_, err := s.refresh(first.Refresh)
	named(t, err, "invalid-dpop-proof")
	_, err = s.boundTo(thief, s.renewal(first.Refresh))
	named(t, err, "invalid-grant")
	second, err := s.boundTo(d, s.renewal(first.Refresh))
	if err != nil {
		t.Fatal(err)
	}
	third, err := s.boundTo(d, s.renewal(second.Refresh))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.boundTo(thief, s.renewal(first.Refresh)) // an old token ends a session, but not for a thief
	named(t, err, "invalid-grant")
	if err := s.verified(s.shown(d, third.Access, nil)); err != nil {
		t.Errorf("whoever lacks the key ends the session: %v", err)
	}
}

func TestAClientThatProvesWhoItIsMayChangeItsKey(t *testing.T) {
	s, d, next := newServer(t), conformance.NewDevice(t), conformance.NewDevice(t)
	r := s.renewal(s.signedInOn(d).Refresh)
	r.ClientSecret = s.secret
	tokens, err := s.boundTo(next, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.verified(s.shown(next, tokens.Access, nil)); err != nil {
		t.Error(err)
	}
	_, err = s.boundTo(d, s.renewal(tokens.Refresh))
	named(t, err, "invalid-grant")
	_, err = s.refresh(tokens.Refresh)
	named(t, err, "invalid-dpop-proof")
}

// A thief cannot bind the session of others to his key and so shut them out.
func TestASessionThatIsNotBoundStaysSo(t *testing.T) {
	s, thief := newServer(t), conformance.NewDevice(t)
	stolen := s.signedIn().Refresh
	first, err := s.boundTo(thief, s.renewal(stolen))
	if err != nil || !first.Bound {
		t.Fatalf("the access token is not bound: %v", err)
	}
	second, err := s.boundTo(thief, s.renewal(first.Refresh))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.refresh(stolen) // its owner, who has only the old one
	named(t, err, "invalid-grant")
	_, err = s.boundTo(thief, s.renewal(second.Refresh))
	named(t, err, "invalid-grant")
	if err := s.verified(s.shown(thief, second.Access, nil)); err == nil {
		t.Error("the session goes on for the thief")
	}
}

func TestAKeyForSomeGrantsDoesNotProveTheClient(t *testing.T) {
	s, d, next := newServer(t), conformance.NewDevice(t), conformance.NewDevice(t)
	_, narrow, err := s.apps.IssueKey(t.Context(), apikey.Key{
		App: s.app.ID, Kind: apikey.Secret, Grants: []oauth.GrantID{"grant_other"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := s.renewal(s.signedInOn(d).Refresh)
	r.ClientSecret = narrow
	_, err = s.boundTo(next, r)
	named(t, err, "invalid-grant")
}

func TestWhatPerchNeverGaveIsRefusedBeforeAProofIsSpent(t *testing.T) {
	s, d := newServer(t), conformance.NewDevice(t)
	proof := s.prove(d, nil)
	call := func(r sessions.TokenRequest) error {
		r.Proof, r.URL = proof, endpoint
		_, err := s.Token(t.Context(), r)
		return err
	}
	good := s.exchange(s.code())
	other := "A"
	if strings.HasPrefix(good.Code, other) {
		other = "B"
	}
	for _, junk := range []string{"x", "x.y", good.Code + "0", other + good.Code[1:], good.Code[:26]} {
		r := good
		r.Code = junk
		named(t, call(r), "invalid-grant")
	}
	named(t, call(s.renewal(secret.New("rt_ses_x.y.z"))), "invalid-grant")
	if err := call(good); err != nil {
		t.Errorf("the same proof with what is good: %v", err)
	}
}

func TestAccessTokensEndWhereAnApplicationTurnsToCookies(t *testing.T) {
	s := newServer(t)
	tokens := s.signedIn()
	_, err := s.apps.Change(t.Context(), s.app.ID, func(a client.App) client.App { a.Cookies = true; return a })
	if err != nil {
		t.Fatal(err)
	}
	named(t, s.verified(session.Presented{Token: tokens.Access}), "invalid-token")
}

func TestACodeIsBoundByItsThumbprint(t *testing.T) {
	s, d, other := newServer(t), conformance.NewDevice(t), conformance.NewDevice(t)
	code := func() sessions.TokenRequest {
		r := s.request()
		r.JKT = d.JKT()
		if _, err := s.Authorize(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return s.exchange(s.codeAtCallback())
	}
	if _, err := s.boundTo(d, code()); err != nil {
		t.Error(err)
	}
	_, err := s.boundTo(other, code())
	named(t, err, "invalid-grant")
	_, err = s.Token(t.Context(), code())
	named(t, err, "invalid-grant")

	r := s.request()
	r.JKT = "x"
	if _, err := s.Authorize(t.Context(), r); sessions.ErrorCode(err) != "invalid_request" {
		t.Errorf("a thumbprint that is none: %v", err)
	}
}

func TestAnApplicationMayWantBoundTokensOnly(t *testing.T) {
	s, d := newServer(t), conformance.NewDevice(t)
	before := s.signedIn()
	_, err := s.apps.Change(t.Context(), s.app.ID, func(a client.App) client.App {
		a.DPoP = true
		return a
	})
	if err != nil {
		t.Fatal(err)
	}
	named(t, s.verified(session.Presented{Token: before.Access}), "invalid-token")
	_, err = s.refresh(before.Refresh)
	named(t, err, "invalid-dpop-proof")
	r := s.exchange(s.code())
	_, err = s.Token(t.Context(), r)
	named(t, err, "invalid-dpop-proof")
	tokens, err := s.boundTo(d, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.verified(s.shown(d, tokens.Access, nil)); err != nil {
		t.Error(err)
	}
	if again, err := s.boundTo(d, s.renewal(before.Refresh)); err != nil || !again.Bound {
		t.Errorf("an older session gets no bound access token: %v", err)
	}
}

func TestNoncesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newServer(t), conformance.NewDevice(t)
		tokens := s.signedInOn(d)
		old := s.fresh()["nonce"]
		if s.fresh()["nonce"] != old {
			t.Error("a nonce changes at once")
		}
		time.Sleep(session.NonceWindow)
		next := s.fresh()["nonce"]
		if next == old {
			t.Error("a nonce stays")
		}
		for _, nonce := range []any{old, next} {
			if err := s.verified(s.shown(d, tokens.Access, map[string]any{"nonce": nonce})); err != nil {
				t.Errorf("in the next window: %v", err)
			}
		}
		time.Sleep(session.NonceWindow)
		named(t, s.verified(s.shown(d, tokens.Access, map[string]any{"nonce": old})), "use-dpop-nonce")
	})
}

// What a proof is remembered for must outlast it: at no time between its making
// and its end does it work a second time, neither here nor at the token endpoint.
func TestAProofIsRememberedForAsLongAsItIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newServer(t), conformance.NewDevice(t)
		token := s.signedInOn(d)
		p := s.shown(d, token.Access, nil)
		r := s.renewal(token.Refresh)
		r.Proof, r.URL = s.prove(d, nil), endpoint
		if _, err := s.Token(t.Context(), r); err != nil || s.verified(p) != nil {
			t.Fatal("a good proof is refused")
		}
		for range 40 {
			time.Sleep(15 * time.Second)
			if s.verified(p) == nil {
				t.Fatal("it lets a second request in")
			}
			if _, err := s.Token(t.Context(), r); err == nil {
				t.Fatal("it buys tokens again")
			}
			s.shownAgain(d)
		}
	})
}

// shownAgain makes sure that others are let in meanwhile.
func (s *server) shownAgain(d conformance.Device) {
	s.t.Helper()
	if err := s.verified(s.shown(d, s.signedInOn(d).Access, nil)); err != nil {
		s.t.Fatal(err)
	}
}
