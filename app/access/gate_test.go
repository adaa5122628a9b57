package access_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"perch/app/access"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

var app = client.App{ID: "app_1", Origins: []client.Origin{"https://app.example"}}

// registry knows two secret keys, one of them bound; book knows one session.
type registry struct{}

func (registry) Authenticate(_ context.Context, key secret.Text, _ netip.Addr) (client.App, apikey.Key, error) {
	switch key.Reveal() {
	case "sk_free":
		return app, apikey.Key{ID: "key_free", Kind: apikey.Secret, AppOnly: true}, nil
	case "sk_bound":
		return app, apikey.Key{ID: "key_bound", Kind: apikey.Secret, Grants: []oauth.GrantID{"g1"}}, nil
	case "sk_two":
		return app, apikey.Key{ID: "key_two", Kind: apikey.Secret, Grants: []oauth.GrantID{"g1", "g2"}, Actions: []string{"read"}}, nil
	case "sk_down":
		return client.App{}, apikey.Key{}, fault.New(fault.Unavailable, "the store is down")
	}
	return client.App{}, apikey.Key{}, fault.New(fault.Unauthenticated, "unknown").Named("bad-api-key")
}

type book struct{}

func (book) Verify(_ context.Context, p session.Presented) (session.Claims, client.App, error) {
	if p.Bound && (p.Proof != "proof" || p.Method != "GET" || p.URL != "https://perch.example/") {
		return session.Claims{}, client.App{}, fault.New(fault.Unauthenticated, "no proof")
	}
	if p.Token.Reveal() == "session" {
		return session.Claims{Grant: "g1", Session: "ses_1", Scopes: "tweet.read"}, app, nil
	}
	return session.Claims{}, client.App{}, fault.New(fault.Unauthenticated, "no session").Named("invalid-token")
}

func TestEnter(t *testing.T) {
	const home, away = "https://app.example", "https://other.example"
	for name, v := range map[string]struct {
		bearer  string
		grant   oauth.GrantID
		origin  string
		browser bool
		kind    fault.Kind // of the refusal
		slug    string
		as      oauth.GrantID // where let in
	}{
		"nothing":                          {kind: fault.Unauthenticated, slug: "no-credential"},
		"a publishable key":                {bearer: "pk_x", kind: fault.Unauthenticated, slug: "publishable-key"},
		"a secret key in a browser":        {bearer: "sk_free", browser: true, kind: fault.Forbidden, slug: "secret-key-in-browser"},
		"an unknown key":                   {bearer: "sk_x", kind: fault.Unauthenticated, slug: "bad-api-key"},
		"a store that is down":             {bearer: "sk_down", kind: fault.Unavailable},
		"a free key":                       {bearer: "sk_free"},
		"a free key names a grant":         {bearer: "sk_free", grant: "g2", as: "g2"},
		"a bound key":                      {bearer: "sk_bound", as: "g1"},
		"a bound key names its grant":      {bearer: "sk_bound", grant: "g1", as: "g1"},
		"a bound key names another":        {bearer: "sk_bound", grant: "g2", kind: fault.Forbidden, slug: "bound-key"},
		"a key of two grants":              {bearer: "sk_two"},
		"a key of two names one":           {bearer: "sk_two", grant: "g2", as: "g2"},
		"a key of two names a third":       {bearer: "sk_two", grant: "g3", kind: fault.Forbidden, slug: "bound-key"},
		"a session":                        {bearer: "session", as: "g1"},
		"a session from its page":          {bearer: "session", origin: home, browser: true, as: "g1"},
		"a session from another page":      {bearer: "session", origin: away, browser: true, kind: fault.Forbidden, slug: "origin-not-allowed"},
		"a session from a sandboxed frame": {bearer: "session", origin: "null", browser: true, kind: fault.Forbidden, slug: "origin-not-allowed"},
		"a session names another grant":    {bearer: "session", grant: "g2", kind: fault.Forbidden, slug: "bound-session"},
		"no token of ours":                 {bearer: "x", kind: fault.Unauthenticated, slug: "invalid-token"},
	} {
		c, err := access.New(registry{}, book{}).Enter(t.Context(), access.Credentials{
			Bearer: secret.New(v.bearer), Grant: v.grant, Origin: v.origin, Browser: v.browser,
		})
		if v.kind != fault.Internal {
			if fault.KindOf(err) != v.kind || fault.SlugOf(err) != v.slug || c.App.ID != "" {
				t.Errorf("%s: let in as %q: %v", name, c.App.ID, err)
			}
			continue
		}
		if err != nil || c.App.ID != app.ID || c.Grant != v.as || c.Actor == "" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if session := v.bearer == "session"; (c.Session != "") != session || (c.Scopes != "") != session || c.AppOnly != (v.bearer == "sk_free") {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestACallerActsForWhatItIsBoundTo(t *testing.T) {
	for name, c := range map[string]struct {
		caller access.Caller
		acts   string
	}{
		"a free key":                   {access.Caller{}, "g1 g2 g3"},
		"a free key that names one":    {access.Caller{Grant: "g2"}, "g2"},
		"a key of two":                 {access.Caller{Grants: []oauth.GrantID{"g1", "g2"}}, "g1 g2"},
		"a key of two that names one":  {access.Caller{Grants: []oauth.GrantID{"g1", "g2"}, Grant: "g1"}, "g1"},
		"a key of two, named to third": {access.Caller{Grants: []oauth.GrantID{"g1", "g2"}, Grant: "g3"}, ""},
	} {
		var acts []string
		for _, id := range []oauth.GrantID{"g1", "g2", "g3"} {
			if c.caller.ActsFor(id) {
				acts = append(acts, string(id))
			}
		}
		if got := strings.Join(acts, " "); got != c.acts {
			t.Errorf("%s acts for %q", name, got)
		}
	}
	for name, ok := range map[string]bool{"": true, "everything": true, "read": false, "tag:Posts": false} {
		var c access.Caller
		if name != "" {
			c.Actions = []string{name}
		}
		if err := c.MayRevoke(); (err == nil) != ok {
			t.Errorf("a key for %q ends grants: %v", name, err)
		}
	}
}

// What a request says of a key it is bound to reaches whoever judges it.
func TestTheSchemeOfACredentialCounts(t *testing.T) {
	enter := func(bearer string) error {
		_, err := access.New(registry{}, book{}).Enter(t.Context(), access.Credentials{
			Bearer: secret.New(bearer), Bound: true, Proof: "proof", Method: "GET", URL: "https://perch.example/",
		})
		return err
	}
	for bearer, slug := range map[string]string{"sk_free": "key-with-dpop", "pk_x": "publishable-key", "session": "", "x": "invalid-token"} {
		if err := enter(bearer); fault.SlugOf(err) != slug || (slug == "") != (err == nil) {
			t.Errorf("%s: %v", bearer, err)
		}
	}
}
