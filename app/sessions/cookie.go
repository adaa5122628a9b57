package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

// A session cookie reads SESSION.PROOF. The proof is a keyed digest of the
// client application and the session, so a cookie that we did not make costs no
// look at the store, and a cookie of one application is none of another. Neither
// the cookie nor the proof is stored.
const (
	cookieLabel = "session.cookie"
	maxCookie   = 200
)

// Held is a session as a browser is to hold it.
type Held struct {
	App   client.AppID
	Value secret.Text   // of the cookie
	TTL   time.Duration // the longest that the session may last
}

// A SignInRequest is what a page of a client application in cookie mode asks.
// There is no code and no challenge in it: nothing is given to the page.
type SignInRequest struct {
	ClientID string
	Redirect string
	Scope    string
	State    string
	From     netip.Addr                   // where it comes from
	Held     map[client.AppID]secret.Text // session cookies that came along, by client application
}

// SignIn begins a sign-in that ends with a session cookie. Its errors are those
// of Authorize.
func (s *Service) SignIn(ctx context.Context, r SignInRequest) (Redirect, error) {
	app, redirect, err := s.asking(ctx, r.ClientID, r.Redirect, r.From)
	if err != nil {
		return Redirect{}, err
	}
	r.Redirect = redirect
	scopes, err := mayHold(app, r)
	if err != nil {
		return Redirect{}, s.refusal(r.Redirect, clip(r.State), err)
	}
	if err := s.admit(ctx, app, r.From); err != nil {
		return Redirect{}, s.refusal(r.Redirect, r.State, err)
	}
	a := oauth.Authorization{
		XApp: app.XApp, App: app.ID, Redirect: r.Redirect, State: r.State, Scopes: scopes, Mode: oauth.ModeCookie,
	}
	if id, err := s.heldBy(ctx, app.ID, r.Held[app.ID]); err == nil {
		a.Session = string(id) // a cookie that is not good is as good as none
	}
	to, cookie, err := s.grants.Begin(ctx, a)
	if err != nil {
		return Redirect{}, s.refusal(r.Redirect, r.State, err)
	}
	return Redirect{URL: to, Cookie: cookie}, nil
}

func mayHold(app client.App, r SignInRequest) (oauth.Scopes, error) {
	switch {
	case !app.Cookies:
		return "", fault.New(fault.Forbidden, "this client application gets tokens, not cookies; begin the sign-in at "+
			"/oauth/authorize, or ask the operator for cookie mode").Named("unauthorized-client")
	case len(r.State) > maxState:
		return "", fault.New(fault.Invalid, "state is longer than %d characters", maxState).Named("invalid-request")
	}
	return scopesFor(app, r.Scope)
}

// hold ends a sign-in with a new session in a cookie. Sessions of the same
// application that the browser held when the sign-in began, or holds now, end:
// nobody can have a browser go on with an ID chosen before.
func (s *Service) hold(ctx context.Context, a oauth.Authorization, g oauth.Grant, old secret.Text) (Redirect, error) {
	held, err := s.replace(ctx, a, g, old)
	if err != nil {
		return Redirect{}, s.refusal(a.Redirect, a.State, err)
	}
	return Redirect{URL: back(a.Redirect, url.Values{}, a.State, s.issuer), Held: held}, nil
}

func (s *Service) replace(ctx context.Context, a oauth.Authorization, g oauth.Grant, old secret.Text) (*Held, error) {
	now := s.clock()
	ses, err := s.sessions.Create(ctx, session.Session{
		ID:  session.ID("ses_" + strings.ToLower(rand.Text())),
		App: a.App, Grant: g.ID, User: g.User.ID, Scopes: a.Scopes.Both(g.Scopes), Cookie: true,
		Created: now, Expires: now.Add(session.SessionTTL),
	})
	if err != nil {
		return nil, err
	}
	proofs, err := s.cookieProofs(ctx, ses.App, ses.ID)
	if err != nil {
		return nil, err
	}
	ended := []session.ID{session.ID(a.Session)}
	if id, err := s.heldBy(ctx, a.App, old); err == nil {
		ended = append(ended, id)
	}
	for _, id := range ended {
		if id == "" {
			continue
		}
		if err := s.end(ctx, id); err != nil {
			return nil, err
		}
	}
	return &Held{ses.App, secret.New(string(ses.ID) + "." + proofs[0]), session.CookieTTL}, nil
}

// cookieProofs are the proofs that the session's cookie may bear, the newest first.
func (s *Service) cookieProofs(ctx context.Context, app client.AppID, id session.ID) ([]string, error) {
	return s.ring.Digests(ctx, secret.New(secret.Label(cookieLabel, string(app), string(id))), cookieLabel)
}

var errNotHeld = fault.New(fault.Unauthenticated, "the session has ended; sign in again").Named("no-session")

// heldBy returns the session that a cookie of the application names, if we made
// the cookie.
func (s *Service) heldBy(ctx context.Context, app client.AppID, cookie secret.Text) (session.ID, error) {
	text := cookie.Reveal()
	id, proof, ok := strings.Cut(text, ".")
	if !ok || len(text) > maxCookie {
		return "", errNotHeld
	}
	proofs, err := s.cookieProofs(ctx, app, session.ID(id))
	if err != nil {
		return "", err
	}
	for _, p := range proofs {
		if secret.New(p).Equal(secret.New(proof)) {
			return session.ID(id), nil
		}
	}
	return "", errNotHeld
}

// Holder returns the session that the application's cookie stands for, and the
// application, with the refusal of one that is suspended too. What is not, or no
// longer, good is fault.Unauthenticated. A session in use is extended, about once a
// day; its scopes are within what the application may have now.
func (s *Service) Holder(
	ctx context.Context, id client.AppID, cookie secret.Text,
) (session.Session, client.App, error) {
	sid, err := s.heldBy(ctx, id, cookie)
	if err != nil {
		return session.Session{}, client.App{}, err
	}
	ses, err := s.warm.Get(ctx, sid)
	if errors.Is(err, fault.NotFound) || err == nil && (!ses.Good(s.clock()) || !ses.Cookie || ses.App != id) {
		return session.Session{}, client.App{}, errNotHeld.Because(err)
	}
	if err != nil {
		return session.Session{}, client.App{}, err
	}
	app, err := s.apps.Get(ctx, id)
	switch {
	case errors.Is(err, fault.NotFound), err == nil && app.Status != client.Active:
		return session.Session{}, app, fault.New(fault.Forbidden,
			"this client application is suspended; ask the operator of this Perch").Named("app-suspended")
	case err != nil:
		return session.Session{}, client.App{}, err
	case !app.Cookies:
		return session.Session{}, client.App{}, errNotHeld
	}
	if next, worth := ses.Extend(s.clock()); worth {
		if next, err = s.sessions.Swap(ctx, ses, next); err == nil {
			ses = next
		} // else it is good still, and the next request tries again
	}
	ses.Scopes = ses.Scopes.Both(within(app))
	return ses, app, nil
}

// Session returns the session, or fault.Unauthenticated if it has ended.
func (s *Service) Session(ctx context.Context, id session.ID) (session.Session, error) {
	ses, err := s.warm.Get(ctx, id)
	if errors.Is(err, fault.NotFound) || err == nil && !ses.Good(s.clock()) {
		return session.Session{}, errNotHeld.Because(err)
	}
	return ses, err
}

// SignOut ends the session. One that has ended is no error.
func (s *Service) SignOut(ctx context.Context, id session.ID) error { return s.end(ctx, id) }
