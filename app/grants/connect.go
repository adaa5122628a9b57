package grants

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"time"

	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapi"
	"perch/ports"
)

// keepFor bounds the work that must not be lost once X has answered.
const keepFor = 30 * time.Second

// Begin starts a sign-in at X for the request of a client application. It
// returns where to send the browser and the cookie that binds it. The request's
// ID, verifier, browser and expiry are set here; of a request that extends a
// grant, the X App too.
func (s *Service) Begin(ctx context.Context, a oauth.Authorization) (url string, cookie secret.Text, err error) {
	ask := a.Scopes
	if a.Mode == oauth.ModeExtend {
		if a.XApp, ask, err = s.extending(ctx, a); err != nil {
			return "", secret.Text{}, err
		}
	}
	x, err := s.xapps.Get(ctx, a.XApp)
	if err != nil {
		return "", secret.Text{}, err
	}
	state, browser, verifier := rand.Text(), rand.Text(), rand.Text()+rand.Text()
	a.ID, a.Browser = oauth.Digest(state), oauth.Digest(browser)
	a.Expires = s.clock.Now().Add(oauth.AuthorizationTTL)
	if a.Verifier, err = s.ring.Seal(ctx, secret.New(verifier), a.Label()); err != nil {
		return "", secret.Text{}, err
	}
	if err := s.pending.Put(ctx, a); err != nil {
		return "", secret.Text{}, err
	}
	return s.x.AuthorizeURL(x, ports.AuthorizeRequest{
		Redirect: s.callback, Scopes: ask, State: state, Challenge: oauth.Challenge(verifier),
	}), secret.New(browser), nil
}

// Complete ends a sign-in: it exchanges the code, learns whose tokens they are
// and keeps the grant. A state is good once. The authorization is returned with
// most errors too, so that the client application can be told.
func (s *Service) Complete(ctx context.Context, c oauth.Callback) (a oauth.Authorization, g oauth.Grant, err error) {
	a, err = s.pending.Take(ctx, oauth.Digest(c.State), s.clock.Now())
	if errors.Is(err, fault.NotFound) {
		return a, g, fault.New(fault.Invalid, "this sign-in is unknown, finished or older than ten minutes; "+
			"go back to the application and connect again").Named("unknown-state")
	}
	if err != nil {
		return oauth.Authorization{}, g, err
	}
	if oauth.Digest(c.Cookie.Reveal()) != a.Browser {
		return oauth.Authorization{}, g, fault.New(fault.Forbidden, "this sign-in was started in another browser; "+
			"go back to the application and connect again from here").Named("other-browser")
	}
	began, verb := time.Now(), "grant.connect"
	if a.Mode == oauth.ModeExtend {
		verb = "grant.extend"
	}
	g, err = s.complete(ctx, a, c)
	s.observe(ctx, verb, a.App, g, began, err)
	return a, g, err
}

func (s *Service) complete(ctx context.Context, a oauth.Authorization, c oauth.Callback) (kept oauth.Grant, err error) {
	if c.Error != "" {
		return oauth.Grant{}, denied(c.Error)
	}
	x, err := s.xapps.Get(ctx, a.XApp)
	if err != nil {
		return oauth.Grant{}, err
	}
	verifier, err := s.ring.Open(ctx, a.Verifier, a.Label())
	if err != nil {
		return oauth.Grant{}, err
	}
	// The code works once: from here on the browser may leave, the tokens must not be lost.
	ctx = context.WithoutCancel(ctx)
	tokens, err := s.x.Exchange(ctx, x, c.Code, verifier, s.callback)
	if err != nil {
		return oauth.Grant{}, err
	}
	if tokens.Scopes == "" && a.Mode != oauth.ModeExtend {
		tokens.Scopes = a.Scopes // RFC 6749 section 5.1: omitted means as requested
	}
	g := oauth.Grant{App: a.App, XApp: a.XApp}
	who, paid, err := s.whoIs(ctx, a.App, x, tokens.Access)
	defer func() { paid(kept.ID) }()
	if g.User = who; err != nil {
		return oauth.Grant{}, errors.Join(err, s.giveBack(ctx, g, tokens))
	}
	if a.Mode == oauth.ModeExtend {
		return s.extend(ctx, a, g, tokens)
	}
	if wider, ok := s.wider(ctx, x, g, tokens.Scopes); ok {
		return wider, nil
	}
	return s.keepOrGiveBack(ctx, &keeping{g: g, tokens: tokens})
}

// keepOrGiveBack stores the grant, or has X forget tokens that are certain not
// to be stored.
func (s *Service) keepOrGiveBack(ctx context.Context, k *keeping) (oauth.Grant, error) {
	g := k.g
	within, cancel := context.WithTimeout(ctx, keepFor)
	defer cancel()
	kept, err := s.keep(within, k)
	if err == nil {
		return kept, nil
	}
	after, cancel := context.WithTimeout(ctx, keepFor)
	defer cancel()
	stored, findErr := s.vault.Find(after, g.App, g.XApp, g.User.ID)
	switch {
	case findErr == nil && k.in(stored):
		return stored, nil
	case findErr == nil, errors.Is(findErr, fault.NotFound):
		return oauth.Grant{}, errors.Join(err, s.giveBack(ctx, g, k.tokens))
	}
	return oauth.Grant{}, err
}

// widerFor bounds how long a sign-in waits to learn about an older grant.
const widerFor = 10 * time.Second

// wider returns the user's grant if the new tokens have only some of its scopes
// and X does not say that it is over. A sign-in that asks for less must not take
// away what the user allowed before.
func (s *Service) wider(ctx context.Context, x ports.XApp, g oauth.Grant, scopes oauth.Scopes) (oauth.Grant, bool) {
	ctx, cancel := context.WithTimeout(ctx, widerFor)
	defer cancel()
	old, err := s.vault.Find(ctx, g.App, g.XApp, g.User.ID)
	if err != nil || old.State != oauth.Active || old.Refresh.Empty() || old.Unsettled() ||
		len(scopes.Missing(old.Scopes.List())) == 0 || len(old.Scopes.Missing(scopes.List())) > 0 {
		return oauth.Grant{}, false
	}
	token, err := s.Access(ctx, old)
	if err != nil || s.refused(ctx, old, x, token) {
		return oauth.Grant{}, false
	}
	old, err = s.vault.Get(ctx, old.ID)
	return old, err == nil && old.State == oauth.Active
}

// refused reports whether X says that the grant's access token is no good.
func (s *Service) refused(ctx context.Context, g oauth.Grant, x ports.XApp, access secret.Text) bool {
	reply, paid, err := s.askMe(ctx, g.App, x, access)
	paid(g.ID)
	if err != nil {
		return false
	}
	_ = reply.Body.Close()
	return reply.Status == 401 || reply.Status == 403
}

// denied is what an error of X's means (RFC 6749 section 4.1.2.1). What X sent is
// not repeated: anybody can write it into the address of a browser.
func denied(reason string) error {
	switch reason {
	case "temporarily_unavailable":
		return fault.New(fault.Unavailable, "X cannot sign anybody in at the moment; try again in a minute").
			Named("x-unavailable")
	case "access_denied":
		return fault.New(fault.Forbidden, "the user did not allow access at X; "+
			"nothing was stored, and connecting again asks anew").Named("access-denied")
	}
	return fault.New(fault.Upstream, "X ended the sign-in with an error; connect again, "+
		"and check the X App's settings if this repeats").Named("x-authorization-failed")
}

// whoIs asks X whose access token it is. paid is to be told of which grant that
// was, once that is known; empty is of none.
func (s *Service) whoIs(
	ctx context.Context, app client.AppID, x ports.XApp, access secret.Text,
) (_ user.User, paid func(oauth.GrantID), _ error) {
	ctx, cancel := context.WithTimeout(ctx, keepFor)
	defer cancel()
	reply, paid, err := s.askMe(ctx, app, x, access)
	if err != nil {
		return user.User{}, paid, err
	}
	defer func() { _ = reply.Body.Close() }()
	var me struct {
		Data struct{ ID, Username, Name string }
	}
	err = json.NewDecoder(io.LimitReader(reply.Body, 1<<20)).Decode(&me)
	if err != nil || reply.Status != 200 || me.Data.ID == "" {
		return user.User{}, paid, fault.New(fault.Upstream, "X gave a token but did not say whose it is (status %d); "+
			"connect again", reply.Status).Named("x-unknown-user").Because(err)
	}
	return user.User{ID: user.ID(me.Data.ID), Username: me.Data.Username, Name: me.Data.Name}, paid, nil
}

func outcome(err error) audit.Outcome {
	switch {
	case err == nil:
		return audit.Done
	case errors.Is(err, fault.Forbidden), errors.Is(err, fault.Invalid), fault.SlugOf(err) == grantExists:
		return audit.Refused
	}
	return audit.Failed
}

// askMe asks X who the user is, which costs what any such call does.
func (s *Service) askMe(
	ctx context.Context, app client.AppID, x ports.XApp, access secret.Text,
) (reply ports.Reply, paid func(oauth.GrantID), err error) {
	act, _ := xapi.ByID("getUsersMe")
	call := ports.Call{Action: act, XApp: x.ID, Token: access}
	ended := s.costs.Own(app, call)
	reply, err = s.x.Do(ctx, call)
	return reply, func(g oauth.GrantID) { ended(g, reply, err) }, err
}
