package xsim_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
)

func TestRotation(t *testing.T) {
	b := open(t, xsim.Options{})
	first := b.issue(ada, "tweet.read", "users.read", "offline.access")
	a := b.token(renewal(first.Refresh))
	if a.status != http.StatusOK || a.text("refresh_token") == first.Refresh || a.text("access_token") == first.Access {
		t.Fatalf("refresh: %d %s", a.status, a.raw)
	}
	if e := b.last("token.refreshed"); e.Details["old_refresh_fp"] != xsim.Fingerprint(first.Refresh) {
		t.Errorf("ledger: %+v", e)
	}
	for _, access := range []string{first.Access, a.text("access_token")} {
		b.want(http.StatusOK, http.MethodGet, "/2/users/me", access, "")
	}
}

func TestReplayKillsTheFamily(t *testing.T) {
	b := open(t, xsim.Options{})
	first := b.issue(ada, "tweet.read", "users.read", "offline.access")
	second := b.token(renewal(first.Refresh))
	if a := b.token(renewal(first.Refresh)); a.status != http.StatusBadRequest || a.text("error") != "invalid_request" {
		t.Fatalf("replay: %d %s", a.status, a.raw)
	}
	if a := b.token(renewal(second.text("refresh_token"))); a.status != http.StatusBadRequest {
		t.Errorf("the newest refresh token lives on: %s", a.raw)
	}
	b.want(http.StatusUnauthorized, http.MethodGet, "/2/users/me", second.text("access_token"), "")
	if b.seen("token.replayed") != 1 || b.seen("family.killed") != 1 {
		t.Error("the ledger does not tell")
	}
	other := b.issue(ada, "tweet.read", "users.read")
	b.want(http.StatusOK, http.MethodGet, "/2/users/me", other.Access, "")
}

func TestNoRefreshTokenWithoutTheScope(t *testing.T) {
	b := open(t, xsim.Options{})
	code := b.consent(func(q url.Values) { q.Set("scope", "tweet.read") })
	if a := b.token(exchange(code)); a.status != http.StatusOK || a.field("refresh_token") != nil {
		t.Errorf("got %d %s", a.status, a.raw)
	}
}

func TestRevoke(t *testing.T) {
	b := open(t, xsim.Options{})
	tokens := b.issue(ada, "tweet.read", "users.read", "offline.access")
	revoke := func(token string) {
		t.Helper()
		a := b.form("/2/oauth2/revoke", "sim-client", "sim-secret", url.Values{"token": {token}})
		if a.status != http.StatusOK || a.field("revoked") != true {
			t.Fatalf("revoke: %d %s", a.status, a.raw)
		}
	}
	revoke(tokens.Access)
	b.want(http.StatusUnauthorized, http.MethodGet, "/2/users/me", tokens.Access, "")
	next := b.token(renewal(tokens.Refresh))
	b.want(http.StatusOK, http.MethodGet, "/2/users/me", next.text("access_token"), "")
	revoke(next.text("refresh_token"))
	b.want(http.StatusUnauthorized, http.MethodGet, "/2/users/me", next.text("access_token"), "")
	revoke("a token nobody knows")
}

func TestClientAuthentication(t *testing.T) {
	public := xsim.App{ClientID: "phone", Name: "Phone"}
	b := open(t, xsim.Options{Apps: []xsim.App{xsim.DefaultApp(), public}})
	for name, test := range map[string]struct {
		id, secret string
		fields     url.Values
	}{
		"secret in the body": {"", "", url.Values{"client_id": {"sim-client"}, "client_secret": {"sim-secret"}}},
		"wrong secret":       {"sim-client", "wrong", url.Values{}},
		"unknown client":     {"nobody", "sim-secret", url.Values{}},
		"nothing":            {"", "", url.Values{}},
	} {
		t.Run(name, func(t *testing.T) {
			test.fields.Set("grant_type", "refresh_token")
			a := b.form("/2/oauth2/token", test.id, test.secret, test.fields)
			if a.status != http.StatusUnauthorized || a.text("error") != "unauthorized_client" ||
				a.text("error_description") != "Missing valid authorization header" {
				t.Errorf("got %d %s", a.status, a.raw)
			}
		})
	}
	code := b.consent(func(q url.Values) { q.Set("client_id", "phone") })
	fields := exchange(code)
	fields.Set("client_id", "phone")
	if a := b.form("/2/oauth2/token", "", "", fields); a.status != http.StatusOK {
		t.Errorf("public client: %d %s", a.status, a.raw)
	}
}

func TestAppToken(t *testing.T) {
	b := open(t, xsim.Options{})
	grant := url.Values{"grant_type": {"client_credentials"}}
	token := func() string {
		t.Helper()
		a := b.form("/oauth2/token", "sim-api-key", "sim-api-secret", grant)
		if a.status != http.StatusOK || a.text("token_type") != "bearer" {
			t.Fatalf("app token: %d %s", a.status, a.raw)
		}
		return a.text("access_token")
	}
	first := token()
	if token() != first {
		t.Error("the app token is not the same each time")
	}
	b.want(http.StatusOK, http.MethodGet, "/2/users/"+ada, first, "")
	a := b.form("/oauth2/token", "sim-api-key", "wrong", grant)
	if a.status != http.StatusForbidden || !strings.Contains(string(a.raw), `"code":99`) {
		t.Errorf("wrong secret: %d %s", a.status, a.raw)
	}
	b.form("/oauth2/invalidate_token", "sim-api-key", "sim-api-secret", url.Values{"access_token": {first}})
	b.want(http.StatusUnauthorized, http.MethodGet, "/2/users/"+ada, first, "")
	if token() == first {
		t.Error("an invalidated token came back")
	}
}

func TestLedgerHasNoTokens(t *testing.T) {
	b := open(t, xsim.Options{})
	tokens := b.issue(ada, strings.Fields(allScopes)...)
	next := b.token(renewal(tokens.Refresh))
	b.want(http.StatusOK, http.MethodGet, "/2/users/me", next.text("access_token"), "")
	ledger := string(b.want(http.StatusOK, http.MethodGet, "/_sim/ledger", "", "").raw)
	for _, secret := range []string{
		tokens.Access, tokens.Refresh, next.text("access_token"), next.text("refresh_token"), "sim-secret",
	} {
		if strings.Contains(ledger, secret) {
			t.Error("the ledger has a secret")
		}
	}
	if !strings.Contains(ledger, xsim.Fingerprint(next.text("access_token"))) {
		t.Error("the ledger does not name the access token")
	}
}
