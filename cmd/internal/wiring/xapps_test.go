package wiring_test

import (
	"net/http"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
)

// second is another developer app of X. Perch has its API key, not its bearer.
func second() xsim.App {
	return xsim.App{
		ID: "27000002", Name: "Second App", ClientID: "second-client", ClientSecret: "second-client-secret",
		APIKey: "second-api-key", APISecret: "second-api-secret", Bearer: "second-bearer-of-x",
	}
}

// own adds the second developer app as an X App.
func own(t *testing.T, h *house) string {
	t.Helper()
	x := second()
	a := h.operator(t, http.StatusCreated, "POST", "/admin/v1/xapps", object{
		"id": "second", "name": x.Name, "client_id": x.ClientID, "client_secret": x.ClientSecret,
		"api_key": x.APIKey, "api_secret": x.APISecret,
	})
	for _, secret := range []string{x.ClientSecret, x.APISecret} {
		if strings.Contains(a.body, secret) {
			t.Error("the operators are shown the X App's secrets")
		}
	}
	return a.text("id")
}

// A customer is a tenant with the user ada connected. Its calls can be told by
// what they ask for.
type customer struct {
	tenant
	xApp  string // client ID at X
	asks  string // ID in the path of each call
	grant string
	page  *visitor
	held  session
}

func TestTwoXAppsNeverMix(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{Apps: []xsim.App{xsim.DefaultApp(), second()}})
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		customers := []*customer{
			{tenant: h.register(t, pageA, ""), xApp: xsim.DefaultApp().ClientID, asks: ada},
			{tenant: h.register(t, pageB, own(t, h)), xApp: second().ClientID, asks: grace},
		}
		for _, c := range customers {
			c.page = h.visit(t, c.tenant)
			c.held = c.page.signIn(t, ada)
			c.grant = c.held.grant
		}
		before, calls := len(x.Ledger()), e.many(80)
		want(t, http.StatusOK, together(calls, func(i int) answer {
			return patient(func() answer { return customers[i%2].call(t, h, i/2) })
		})...)
		mixed(t, x.Ledger()[before:], customers, calls/4)
		if n := len(happened(x, "app_token.issued")); n != 1 {
			t.Errorf("X was asked for the second app's bearer %d times", n)
		}

		a, b := customers[0], customers[1]
		want(t, http.StatusNotFound, h.act(t, a.sk, b.grant, "GET", "/2/users/me", ""))
		want(t, http.StatusForbidden, a.page.page(t, pageA, b.held.access, "GET", "/2/users/me", ""))
		want(t, http.StatusNoContent, h.act(t, a.sk, "", "DELETE", "/v1/grants/"+a.grant, ""))
		for _, e := range happened(x, "token.revoked", "family.killed") {
			if e.App != a.xApp {
				t.Errorf("revoking one user's grant ended %s of the other X App", e.Type)
			}
		}
		want(t, http.StatusForbidden, a.call(t, h, 0))
		want(t, http.StatusUnauthorized, a.call(t, h, 1))
		for kind := range 4 {
			want(t, http.StatusOK, b.call(t, h, kind))
		}
		want(t, http.StatusOK, a.call(t, h, 2)) // the X App itself goes on
	})
}

// call is one of four kinds: by the user for a server, by the user for a page,
// and twice by the app itself.
func (c *customer) call(t *testing.T, h *house, kind int) answer {
	switch kind % 4 {
	case 0:
		return h.act(t, c.sk, c.grant, "GET", "/2/users/"+c.asks, "")
	case 1:
		return send(t, h.client, "GET", h.public+"/2/users/"+c.asks, "",
			"Authorization: Bearer "+c.held.access, "Origin: "+c.origin)
	case 2:
		return h.act(t, c.sk, "", "GET", "/2/compliance/jobs/"+c.asks, "")
	}
	return h.act(t, c.sk, c.grant, "GET", "/2/compliance/jobs/"+c.asks, "")
}

// mixed fails for every call that reached X with a credential of another X App
// than that of the customer who made it.
func mixed(t *testing.T, ledger []xsim.Entry, customers []*customer, each int) {
	t.Helper()
	seen := map[string]int{}
	for _, e := range ledger {
		if e.Type != "call" || !strings.HasPrefix(e.Details["path"], "/2/") {
			continue
		}
		for _, c := range customers {
			if !strings.HasSuffix(e.Details["path"], "/"+c.asks) {
				continue
			}
			kind, user := "user", ada
			if strings.HasPrefix(e.Details["path"], "/2/compliance/") {
				kind, user = "app", ""
			}
			if e.App != c.xApp || e.User != user || e.Details["credential"] != kind {
				t.Errorf("%s was asked through %q by %q as %s; want %q, %q, %s",
					e.Details["path"], e.App, e.User, e.Details["credential"], c.xApp, user, kind)
			}
			seen[c.xApp+" "+kind]++
		}
	}
	for _, c := range customers {
		if seen[c.xApp+" user"] != each || seen[c.xApp+" app"] != each {
			t.Errorf("calls seen by X: %v, want %d of each", seen, each)
		}
	}
}
