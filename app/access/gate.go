// Package access decides who a caller is and what it may reach.
package access

import (
	"context"
	"net/netip"
	"slices"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/xapi"
)

// clients knows client applications by their keys.
type clients interface {
	Authenticate(ctx context.Context, key secret.Text, from netip.Addr) (client.App, apikey.Key, error)
}

// sessions knows browsers by their access tokens.
type sessions interface {
	Verify(ctx context.Context, p session.Presented) (session.Claims, client.App, error)
	Holder(ctx context.Context, app client.AppID, cookie secret.Text) (session.Session, client.App, error)
}

// Gate lets callers in.
type Gate struct {
	clients  clients
	sessions sessions
}

// New returns a gate.
func New(c clients, s sessions) *Gate { return &Gate{c, s} }

// Credentials are what a request brings to be let in.
type Credentials struct {
	Bearer  secret.Text   // of the Authorization header
	Bound   bool          // its scheme is DPoP, not Bearer
	Proof   string        // the DPoP header, "" for none
	Method  string        // of the request
	URL     string        // public, of the request, without its query
	Grant   oauth.GrantID // the Perch-Grant header
	Origin  string        // the Origin header
	Browser bool          // there is an Origin or Sec-Fetch-* header
	Address netip.Addr    // where the request comes from
	Held    Held
}

// A Caller is somebody who has been let in.
type Caller struct {
	App     client.App
	Grant   oauth.GrantID   // empty where a server named none
	Scopes  oauth.Scopes    // narrower than the grant's; empty for a server: no narrowing
	AppOnly bool            // may perform actions with the X App's own bearer
	Batch   bool            // nobody waits for its calls
	Grants  []oauth.GrantID // those it may act for; empty: any of the application's
	Actions []string        // narrower than the application's; empty: no narrowing
	Session session.ID      // empty for a server
	Cookie  bool            // the session is held by a cookie
	Actor   string          // for the log
}

// ActsFor reports whether the caller may act for the grant, if its application
// has it.
func (c Caller) ActsFor(id oauth.GrantID) bool {
	return (c.Grant == "" || c.Grant == id) && (len(c.Grants) == 0 || slices.Contains(c.Grants, id))
}

// SeesApp reports whether the caller may see what the whole application spends: a
// session, and a key that is bound to grants, may not.
func (c Caller) SeesApp() bool { return c.Session == "" && len(c.Grants) == 0 }

// MayRevoke refuses a caller whose key is for some actions only: to end what a
// user has allowed is none of them.
func (c Caller) MayRevoke() error {
	if len(c.Actions) > 0 && !slices.Contains(c.Actions, xapi.Everything) {
		return fault.New(fault.Forbidden, "this key is for some actions only, and may not end grants; "+
			"use a key that is for everything").Named("key-action-not-allowed")
	}
	return nil
}

// Enter returns the caller, or says why there is none.
func (g *Gate) Enter(ctx context.Context, c Credentials) (Caller, error) {
	if c.Bearer.Empty() && len(c.Held.Cookies) > 0 {
		return g.holder(ctx, c)
	}
	if c.Bearer.Empty() {
		return Caller{}, fault.New(fault.Unauthenticated, "send Authorization: Bearer with a secret key (sk_…), "+
			"or with the access token that signing in gave").Named("no-credential")
	}
	var caller Caller
	var err error
	switch kind, isKey := apikey.KindOf(c.Bearer.Reveal()); {
	case isKey && kind == apikey.Publishable:
		return Caller{}, fault.New(fault.Unauthenticated, "a publishable key only starts sign-ins; "+
			"send the access token that signing in gave, or a secret key from a server").Named("publishable-key")
	case isKey && c.Browser:
		return Caller{}, fault.New(fault.Forbidden, "a secret key arrived from a browser, where anybody can read it; "+
			"revoke it, and let browsers sign in with the publishable key").Named("secret-key-in-browser")
	case isKey && c.Bound:
		return Caller{}, fault.New(fault.Unauthenticated, "the scheme DPoP is for access tokens; "+
			"send a secret key with Authorization: Bearer").Named("key-with-dpop")
	case isKey:
		caller, err = g.server(ctx, c)
	default:
		caller, err = g.browser(ctx, c)
	}
	if err != nil {
		return Caller{}, err
	}
	if c.Origin != "" && !caller.App.From(client.Origin(c.Origin)) {
		return Caller{}, fault.New(fault.Forbidden, "this client application does not allow calls from this origin; "+
			"an operator can add it").Named("origin-not-allowed")
	}
	return caller, nil
}

func (g *Gate) server(ctx context.Context, c Credentials) (Caller, error) {
	app, key, err := g.clients.Authenticate(ctx, c.Bearer, c.Address)
	if err != nil {
		return Caller{}, err
	}
	grant := c.Grant
	if grant == "" && len(key.Grants) == 1 {
		grant = key.Grants[0]
	}
	if grant != "" && !key.ActsFor(grant) {
		return Caller{}, fault.New(fault.Forbidden, "this key is bound to other grants than the one Perch-Grant names; "+
			"GET /v1/grants without the header lists those it is for").Named("bound-key")
	}
	return Caller{
		App: app, Grant: grant, Grants: key.Grants, Actions: key.Actions, AppOnly: key.AppOnly, Batch: key.Batch,
		Actor: string(key.ID),
	}, nil
}

func (g *Gate) browser(ctx context.Context, c Credentials) (Caller, error) {
	claims, app, err := g.sessions.Verify(ctx, session.Presented{
		Token: c.Bearer, Bound: c.Bound, Proof: c.Proof, Method: c.Method, URL: c.URL,
	})
	if err != nil {
		return Caller{}, err
	}
	if c.Grant != "" && c.Grant != claims.Grant {
		return Caller{}, fault.New(fault.Forbidden, "a session acts for its own grant only; leave Perch-Grant out").
			Named("bound-session")
	}
	return Caller{
		App: app, Grant: claims.Grant, Scopes: claims.Scopes, Session: claims.Session, Actor: string(claims.Session),
	}, nil
}
