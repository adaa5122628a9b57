package wiring_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

// rejected fails the test unless the answer is the OAuth error, without tokens.
func rejected(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.text("error") != code || a.text("access_token") != "" {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}

func hostileHouse(t *testing.T) (*house, *xsim.Sim) {
	t.Helper()
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	return open(t, settings(t, environments()[0], at)), x
}

// What is presented twice has been stolen, so what it gave ends with it; but only
// the application it was issued to can end it.
func TestWhatIsPresentedTwiceEndsTheSession(t *testing.T) {
	h, _ := hostileHouse(t)

	t.Run("a code", func(t *testing.T) {
		he := newHeist(t, h)
		opened := sessionOf(t, he.post(t, "/oauth/token", he.exchange()))
		form := he.exchange()
		form.Set("client_id", he.thief.pk)
		rejected(t, he.post(t, "/oauth/token", form), badRequest, "invalid_grant")
		if !h.works(t, opened.access) {
			t.Error("another application has ended the session")
		}
		form = he.exchange()
		form.Set("code_verifier", strings.Repeat("a", 43)) // whoever has the code alone
		rejected(t, he.post(t, "/oauth/token", form), badRequest, "invalid_grant")
		if h.works(t, opened.access) {
			t.Error("the session goes on")
		}
		form = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {opened.refresh}, "client_id": {he.victim.pk}}
		rejected(t, he.post(t, "/oauth/token", form), badRequest, "invalid_grant")
		if !h.works(t, he.held.access) {
			t.Error("another session of the same user has ended too")
		}
	})

	t.Run("a code after a wrong verifier", func(t *testing.T) {
		he := newHeist(t, h)
		form := he.exchange()
		form.Set("code_verifier", strings.Repeat("a", 43))
		rejected(t, he.post(t, "/oauth/token", form), badRequest, "invalid_grant")
		rejected(t, he.post(t, "/oauth/token", he.exchange()), badRequest, "invalid_grant")
	})

	t.Run("a refresh token", func(t *testing.T) {
		he := newHeist(t, h)
		first := sessionOf(t, he.post(t, "/oauth/token", he.refresh()))
		again := sessionOf(t, he.post(t, "/oauth/token", he.refresh())) // the reply may have been lost
		if first.refresh != again.refresh {
			t.Error("the same token has two successors")
		}
		form := he.refresh()
		form.Set("refresh_token", first.refresh)
		second := sessionOf(t, he.post(t, "/oauth/token", form))
		form = he.refresh()
		form.Set("client_id", he.thief.pk)
		rejected(t, he.post(t, "/oauth/token", form), badRequest, "invalid_grant")
		if !h.works(t, second.access) {
			t.Error("another application has ended the session")
		}
		rejected(t, he.post(t, "/oauth/token", he.refresh()), badRequest, "invalid_grant")
		if h.works(t, second.access) || h.works(t, first.access) || h.works(t, he.held.access) {
			t.Error("the session goes on")
		}
	})
}

// A refresh cannot ask for more than the session has.
func TestARefreshDoesNotWiden(t *testing.T) {
	h, _ := hostileHouse(t)
	he := newHeist(t, h)
	form := he.refresh()
	form.Set("scope", string(oauth.Everything)+" dm.read")
	a := he.post(t, "/oauth/token", form)
	if scope := a.text("scope"); strings.Contains(scope, "dm.") || a.status == http.StatusOK && scope == "" {
		t.Errorf("a refresh for more scopes: %d %s", a.status, a.body)
	}
}

// One line each: how to revoke what is not one's own, or to revoke badly.
func TestRevocationsOfThieves(t *testing.T) {
	h, x := hostileHouse(t)
	for name, line := range map[string]struct {
		spoil  demand
		status int
		code   string // "" for an answer that tells nothing (RFC 7009 section 2.2)
	}{
		"another application":                 {demand{spoil: func(he *heist, f url.Values) { f.Set("client_id", he.thief.pk) }}, 200, ""},
		"another application and its secret":  {demand{spoil: func(he *heist, f url.Values) { f.Set("client_id", he.thief.pk); f.Set("client_secret", he.thief.sk) }}, 200, ""},
		"another application, access token":   {demand{spoil: func(he *heist, f url.Values) { f.Set("client_id", he.thief.pk); f.Set("token", he.held.access) }}, 200, ""},
		"a token that is none":                {demand{spoil: setting("token", "rt_a.b.c")}, 200, ""},
		"a token with another's proof":        {demand{spoil: func(he *heist, f url.Values) { f.Set("token", he.held.refresh+"A") }}, 200, ""},
		"no token":                            {demand{spoil: setting("token", "")}, badRequest, "invalid_request"},
		"two tokens":                          {demand{spoil: func(he *heist, f url.Values) { f.Add("token", he.stolen.refresh) }}, badRequest, "invalid_request"},
		"no client_id":                        {demand{spoil: setting("client_id", "")}, unauthorized, "invalid_client"},
		"a secret key as client_id":           {demand{spoil: func(he *heist, f url.Values) { f.Set("client_id", he.victim.sk) }}, unauthorized, "invalid_client"},
		"the publishable key as secret":       {demand{spoil: func(he *heist, f url.Values) { f.Set("client_secret", he.victim.pk) }}, unauthorized, "invalid_client"},
		"another's secret":                    {demand{spoil: func(he *heist, f url.Values) { f.Set("client_secret", he.thief.sk) }}, unauthorized, "invalid_client"},
		"a secret from a page":                {demand{spoil: func(he *heist, f url.Values) { f.Set("client_secret", he.victim.sk) }, headers: adding(func(*heist) string { return "Origin: https://app.example" })}, unauthorized, "invalid_client"},
		"a page that nobody registered":       {demand{headers: adding(func(*heist) string { return "Origin: https://evil.example" })}, http.StatusForbidden, "access_denied"},
		"Bearer instead of the application's": {demand{headers: adding(func(he *heist) string { return "Authorization: Bearer " + he.held.access })}, unauthorized, "invalid_client"},
	} {
		for _, path := range []string{"/oauth/revoke", "/2/oauth2/revoke"} {
			t.Run(name+" at "+path, func(t *testing.T) {
				he := newHeist(t, h)
				form := url.Values{"token": {he.held.refresh}, "client_id": {he.victim.pk}}
				if line.spoil.spoil != nil {
					line.spoil.spoil(he, form)
				}
				var headers []string
				if line.spoil.headers != nil {
					headers = line.spoil.headers(he)
				}
				rejected(t, he.post(t, path, form, headers...), line.status, line.code)
				if !h.works(t, he.held.access) || !h.works(t, he.stolen.access) {
					t.Error("a session has ended")
				}
			})
		}
	}
	if n := len(happened(x, "token.revoked")); n != 0 {
		t.Errorf("X has revoked %d tokens", n)
	}
	he := newHeist(t, h)
	query := url.Values{"token": {he.held.refresh}, "client_id": {he.victim.pk}}.Encode()
	rejected(t, ask(t, h.client, "POST", h.public+"/oauth/revoke?"+query, ""), badRequest, "invalid_request")
	rejected(t, ask(t, h.client, "POST", h.public+"/oauth/token?"+he.refresh().Encode(), ""), badRequest, "invalid_request")
	for _, path := range []string{"/oauth/token", "/oauth/revoke"} {
		want(t, http.StatusMethodNotAllowed, ask(t, h.client, "GET", h.public+path, ""), ask(t, h.client, "PUT", h.public+path, ""))
	}
	if !h.works(t, he.held.access) {
		t.Error("the session has ended")
	}
}

// What an operator takes away is gone from every endpoint.
func TestApplicationsAndKeysThatAreNoMore(t *testing.T) {
	h, _ := hostileHouse(t)
	all := func(t *testing.T, he *heist, pk string, status int, code string) {
		t.Helper()
		for _, form := range []url.Values{he.exchange(), he.refresh()} {
			form.Set("client_id", pk)
			rejected(t, he.post(t, "/oauth/token", form), status, code)
		}
		rejected(t, he.post(t, "/oauth/revoke", url.Values{"token": {he.held.refresh}, "client_id": {pk}}), status, code)
	}
	keysOf := func(app tenant) string { return "/admin/v1/apps/" + app.id + "/keys" }

	t.Run("a suspended application", func(t *testing.T) {
		he := newHeist(t, h)
		h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+he.victim.id, object{"status": "suspended"})
		all(t, he, he.victim.pk, http.StatusForbidden, "access_denied")
		if h.works(t, he.held.access) {
			t.Error("its session goes on")
		}
	})
	t.Run("a revoked publishable key", func(t *testing.T) {
		he := newHeist(t, h)
		key := h.operator(t, http.StatusCreated, "POST", keysOf(he.victim), object{"kind": "publishable"})
		h.operator(t, http.StatusNoContent, "DELETE", "/admin/v1/keys/"+key.text("id"), nil)
		all(t, he, key.text("key"), unauthorized, "invalid_client")
		sessionOf(t, he.post(t, "/oauth/token", he.refresh())) // with the other key
	})
	t.Run("an expired publishable key", func(t *testing.T) {
		he := newHeist(t, h)
		pk := h.ending(t, keysOf(he.victim))
		eventually(t, "the key expires", func() bool {
			return he.post(t, "/oauth/revoke", url.Values{"token": {"none"}, "client_id": {pk}}).status != http.StatusOK
		})
		all(t, he, pk, unauthorized, "invalid_client")
	})
	t.Run("a revoked secret key", func(t *testing.T) {
		he := newHeist(t, h)
		key := h.operator(t, http.StatusCreated, "POST", keysOf(he.victim), object{"kind": "secret"})
		h.operator(t, http.StatusNoContent, "DELETE", "/admin/v1/keys/"+key.text("id"), nil)
		form := he.refresh()
		form.Set("client_secret", key.text("key"))
		rejected(t, he.post(t, "/oauth/token", form), unauthorized, "invalid_client")
	})
	t.Run("a revoked grant", func(t *testing.T) {
		he := newHeist(t, h)
		h.operator(t, http.StatusNoContent, "DELETE", "/admin/v1/grants/"+he.held.grant, nil)
		rejected(t, he.post(t, "/oauth/token", he.exchange()), badRequest, "invalid_grant")
	})
}

// What one Perch has issued is nothing at another, and each says its own name
// whatever a request calls it (RFC 9207).
func TestMixedUpIssuers(t *testing.T) {
	here, _ := hostileHouse(t)
	there, _ := hostileHouse(t)
	he, other := newHeist(t, here), newHeist(t, there)

	if there.works(t, he.held.access) || here.works(t, other.held.access) {
		t.Error("an access token is good at another Perch")
	}
	form := he.exchange()
	form.Set("client_id", other.victim.pk)
	rejected(t, other.post(t, "/oauth/token", form), badRequest, "invalid_grant")
	form = he.refresh()
	form.Set("client_id", other.victim.pk)
	rejected(t, other.post(t, "/oauth/token", form), badRequest, "invalid_grant")
	rejected(t, other.post(t, "/oauth/token", he.exchange()), unauthorized, "invalid_client")
	want(t, http.StatusOK, other.post(t, "/oauth/revoke", url.Values{"token": {he.held.refresh}, "client_id": {other.victim.pk}}))
	if !here.works(t, he.held.access) {
		t.Error("the session has ended by what another Perch was asked")
	}
	sessionOf(t, he.post(t, "/oauth/token", he.exchange())) // the code has not suffered

	x := he.v.goes(t, asking(he.victim), "approve")
	want(t, badRequest, ask(t, there.client, "GET", there.public+"/oauth/callback?"+x.RawQuery, ""))
	if back := he.v.step(t, x.String()); back.Query().Get("iss") != here.public {
		t.Errorf("the browser comes back to %s", back)
	}

	for _, line := range []string{"Host: evil.example", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example;proto=https",
		"X-Forwarded-Proto: https", "X-Original-Host: evil.example", "X-Forwarded-Prefix: /evil"} {
		a := ask(t, here.client, "GET", here.public+"/.well-known/oauth-authorization-server", "", line)
		if a.status == http.StatusOK && a.text("issuer") != here.public || strings.Contains(a.body, "evil") {
			t.Errorf("%s: %s", line, a.body)
		}
		q := asking(he.victim)
		q.Set("response_type", "token")
		a = ask(t, here.client, "GET", here.public+"/oauth/authorize?"+q.Encode(), "", line)
		if _, added := landed(t, a); added.Get("iss") != here.public {
			t.Errorf("%s: %s", line, a.header.Get("Location"))
		}
	}
}

// Tokens that Perch has not issued, or not for this, open nothing.
func TestAccessTokensThatAreNone(t *testing.T) {
	h, x := hostileHouse(t)
	he := newHeist(t, h)
	calls := len(happened(x, "call"))
	parts := strings.Split(he.held.access, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	wider := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(claims), he.held.grant, he.stolen.grant, 1)))
	thiefs := strings.Split(he.stolen.access, ".")
	for name, token := range map[string]string{
		"the refresh token":           he.held.refresh,
		"the code":                    he.code,
		"the publishable key":         he.victim.pk,
		"no signature":                parts[0] + "." + parts[1] + ".",
		"no algorithm":                none + "." + parts[1] + ".",
		"no algorithm, but the rest":  none + "." + parts[1] + "." + parts[2],
		"another grant":               parts[0] + "." + wider + "." + parts[2],
		"another token's signature":   parts[0] + "." + parts[1] + "." + thiefs[2],
		"four parts":                  he.held.access + ".x",
		"the token twice":             he.held.access + he.held.access,
		"two tokens":                  he.held.access + " " + he.stolen.access,
		"the token in quotes":         `"` + he.held.access + `"`,
		"the token without its end":   he.held.access[:len(he.held.access)-2],
		"the token in standard codes": parts[0] + "." + parts[1] + "." + parts[2] + "==",
	} {
		for _, path := range []string{"/2/users/me", "/v1/grants"} {
			a := ask(t, h.client, "GET", h.public+path, "", "Authorization: Bearer "+token)
			if a.status != unauthorized && (name != "the publishable key" || a.status != http.StatusForbidden) {
				t.Errorf("%s at %s: %d %s", name, path, a.status, a.body)
			}
		}
	}
	for _, query := range []string{"access_token=", "token=", "bearer_token=", "api_key="} {
		want(t, unauthorized, ask(t, h.client, "GET", h.public+"/2/users/me?"+query+he.held.access, ""))
	}
	if n := len(happened(x, "call")); n != calls {
		t.Errorf("X was called %d times", n-calls)
	}
}
