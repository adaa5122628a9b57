package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/session"
)

// maxState bounds the client's state, which is kept and given back.
const maxState = 1000

// needed is what Perch itself asks of X: to know who the user is, and to keep
// the grant alive.
const needed = "offline.access tweet.read users.read"

// An AuthorizeRequest is what a client application asks (RFC 6749 section
// 4.1.1, RFC 7636 section 4.3).
type AuthorizeRequest struct {
	ResponseType    string
	ClientID        string
	Redirect        string
	Scope           string
	State           string
	Challenge       string
	ChallengeMethod string
	JKT             string     // dpop_jkt (RFC 9449 section 10), "" for none
	From            netip.Addr // where it comes from
}

// A Redirect is where a browser goes next.
type Redirect struct {
	URL    string      // empty: nowhere, all is done
	Cookie secret.Text // to bind the browser with; empty for none
	Held   *Held       // the session that the browser is to hold; nil for none
}

// A Refusal is a request that failed after its redirect URI was found good, so
// that the client application can be told by redirecting to URL. Where there is
// something to be read first, the redirect is a link on a page.
type Refusal struct {
	URL   string
	Page  bool
	Fault error
}

func (r *Refusal) Error() string { return r.Fault.Error() }

// Unwrap returns the fault.
func (r *Refusal) Unwrap() error { return r.Fault }

// Authorize begins a sign-in and sends the browser to X. Errors that the client
// may be told by redirection are a *Refusal; a bad client or redirect URI never
// redirects (RFC 9700 section 4.11).
func (s *Service) Authorize(ctx context.Context, r AuthorizeRequest) (Redirect, error) {
	app, redirect, err := s.asking(ctx, r.ClientID, r.Redirect, r.From)
	if err != nil {
		return Redirect{}, err
	}
	r.Redirect = redirect
	scopes, err := check(app, r)
	if err != nil {
		return Redirect{}, s.refusal(r.Redirect, clip(r.State), err)
	}
	if err := s.admit(ctx, app, r.From); err != nil {
		return Redirect{}, s.refusal(r.Redirect, r.State, err)
	}
	to, cookie, err := s.grants.Begin(ctx, oauth.Authorization{
		XApp: app.XApp, App: app.ID, Redirect: r.Redirect, State: r.State, Challenge: r.Challenge, Scopes: scopes,
		JKT: r.JKT,
	})
	if err != nil {
		return Redirect{}, s.refusal(r.Redirect, r.State, err)
	}
	return Redirect{URL: to, Cookie: cookie}, nil
}

func badRedirect() error {
	return fault.New(fault.Invalid, "the redirect_uri is not registered for this client application; "+
		"it must match one of its redirect URIs byte for byte").Named("invalid-redirect-uri")
}

// admit bounds how many sign-ins may begin: each is kept for some minutes, and
// whoever reads the page has the publishable key. One address alone cannot use up
// what there is for an application; this machine's own may be that of a proxy.
func (s *Service) admit(ctx context.Context, app client.App, from netip.Addr) error {
	if from.IsValid() && !from.IsLoopback() {
		if err := s.count(ctx, quota.Charge{
			Key: "sign-in-from:" + client.Household(from).String(), Max: 120, Crowd: client.Neighbours(from),
		}); err != nil {
			return err
		}
	}
	return s.count(ctx, quota.Charge{Key: "sign-in:" + string(app.ID), Max: 1200})
}

// count makes the charge, of a minute.
func (s *Service) count(ctx context.Context, c quota.Charge) error {
	c.Window = time.Minute
	v, err := s.quotas.Spend(ctx, s.now(), []quota.Charge{c})
	if err != nil || v.Allowed {
		return err
	}
	return fault.New(fault.Limited, "too many sign-ins have begun here; try again in a minute").
		Named("too-many-sign-ins").After(time.Until(v.Grips[0].Reset))
}

// asking returns the application, and its redirect URI, which it may leave out if
// it has one alone.
func (s *Service) asking(
	ctx context.Context, clientID, redirect string, from netip.Addr,
) (client.App, string, error) {
	app, err := s.known(ctx, clientID, from)
	if err != nil {
		return client.App{}, "", err
	}
	if redirect == "" && len(app.RedirectURIs) == 1 {
		redirect = app.RedirectURIs[0]
	}
	if !app.Redirects(redirect) {
		return client.App{}, "", badRedirect()
	}
	return app, redirect, nil
}

// known returns the application whose publishable key is the client ID.
func (s *Service) known(ctx context.Context, clientID string, from netip.Addr) (client.App, error) {
	if kind, _ := apikey.KindOf(clientID); kind != apikey.Publishable {
		return client.App{}, fault.New(fault.Invalid, "the client_id must be a publishable key, which begins with pk_").
			Named("invalid-client")
	}
	app, _, err := s.clients.Authenticate(ctx, secret.New(clientID), from)
	if k := fault.KindOf(err); err != nil && k == fault.Unauthenticated {
		return client.App{}, fault.New(fault.Invalid, "no client application has this client_id; "+
			"use its publishable key").Named("invalid-client").Because(err)
	}
	return app, err
}

func check(app client.App, r AuthorizeRequest) (oauth.Scopes, error) {
	switch {
	case app.Cookies:
		return "", fault.New(fault.Forbidden, "this client application holds its sessions in cookies and gets no tokens; "+
			"begin the sign-in at /v1/session/sign-in").Named("unauthorized-client")
	case r.ResponseType != "code":
		return "", fault.New(fault.Invalid, "response_type must be code").Named("unsupported-response-type")
	case (r.ChallengeMethod != "S256" && r.ChallengeMethod != "s256") || !oauth.IsChallenge(r.Challenge): // X takes both
		return "", fault.New(fault.Invalid, "PKCE is required: send code_challenge with code_challenge_method=S256").
			Named("invalid-request")
	case r.JKT != "" && !oauth.IsChallenge(r.JKT):
		return "", fault.New(fault.Invalid, "dpop_jkt is not the thumbprint of a key (RFC 7638, SHA-256)").
			Named("invalid-request")
	case len(r.State) > maxState:
		return "", fault.New(fault.Invalid, "state is longer than %d characters", maxState).Named("invalid-request")
	}
	return scopesFor(app, r.Scope)
}

// scopesFor returns what to ask of X: what the client asks, within what it may,
// and what Perch needs itself.
func scopesFor(app client.App, asked string) (oauth.Scopes, error) {
	allowed := within(app)
	if strings.TrimSpace(asked) == "" {
		return allowed, nil
	}
	scopes, err := oauth.ParseScopes(asked)
	if err != nil {
		return "", err
	}
	if unknown := oauth.Everything.Missing(scopes.List()); len(unknown) > 0 {
		return "", fault.New(fault.Invalid, "X has no scope %s; it has %s", strings.Join(unknown, " "), oauth.Everything).
			Named("invalid-scope")
	}
	if over := allowed.Missing(scopes.List()); len(over) > 0 {
		return "", mayNotAsk(over)
	}
	return scopes.And(needed), nil
}

// Callback ends the X side of a sign-in and sends the browser back to the client
// application with a code. What goes wrong is a *Refusal wherever it is certain
// which application began the sign-in, and in which browser.
func (s *Service) Callback(ctx context.Context, c oauth.Callback) (Redirect, error) {
	a, g, err := s.grants.Complete(ctx, c)
	if err != nil && a.ID == "" {
		return Redirect{}, err
	}
	if _, gone := s.mayEndAt(ctx, a.App, a.Redirect); gone != nil { // while the user was at X
		return Redirect{}, gone
	}
	switch {
	case err != nil:
		return Redirect{}, s.refused(a, err)
	case a.Mode == oauth.ModeExtend:
		return s.extended(ctx, a, g)
	case a.Mode == oauth.ModeCookie:
		return s.hold(ctx, a, g, c.Held[a.App])
	}
	return s.issueCode(ctx, a, g)
}

// mayEndAt returns the application, if browsers may be sent to the redirect URI
// for it. Without a redirect URI they stay here.
func (s *Service) mayEndAt(ctx context.Context, id client.AppID, redirect string) (client.App, error) {
	app, err := s.apps.Get(ctx, id)
	switch {
	case errors.Is(err, fault.NotFound) || err == nil && app.Status != client.Active:
		return client.App{}, fault.New(fault.Forbidden, "this client application is suspended").Named("app-suspended")
	case err == nil && redirect != "" && !app.Redirects(redirect):
		return client.App{}, badRedirect()
	}
	return app, err
}

// issueCode ends a sign-in with a code for the client application.
func (s *Service) issueCode(ctx context.Context, a oauth.Authorization, g oauth.Grant) (Redirect, error) {
	code, err := s.newCode(ctx)
	if err != nil {
		return Redirect{}, s.refusal(a.Redirect, a.State, err)
	}
	err = s.codes.Put(ctx, session.Code{
		Digest: oauth.Digest(code), App: a.App, Redirect: a.Redirect, Challenge: a.Challenge,
		Grant: g.ID, User: g.User.ID, Scopes: a.Scopes.Both(g.Scopes), JKT: a.JKT,
		Session: session.ID("ses_" + strings.ToLower(rand.Text())),
		Expires: s.clock().Add(session.CodeTTL),
	})
	if err != nil {
		return Redirect{}, s.refusal(a.Redirect, a.State, err)
	}
	return Redirect{URL: back(a.Redirect, url.Values{"code": {code}}, a.State, s.issuer)}, nil
}

func (s *Service) refusal(redirect, state string, err error) error {
	v := url.Values{"error": {ErrorCode(err)}, "error_description": {Description(err)}}
	page := fault.SlugOf(err) == oauth.OtherUser // says whose account it was, which is not the application's to know
	if page {
		v.Del("error_description")
	}
	return &Refusal{URL: back(redirect, v, state, s.issuer), Page: page, Fault: err}
}

// back adds parameters to a redirect URI, with the issuer (RFC 9207).
func back(redirect string, v url.Values, state, issuer string) string {
	if state != "" {
		v.Set("state", state)
	}
	v.Set("iss", issuer)
	sep := "?"
	if strings.Contains(redirect, "?") {
		sep = "&"
	}
	return redirect + sep + v.Encode()
}

func clip(s string) string { return s[:min(len(s), maxState)] }
