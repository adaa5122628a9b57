package sessions

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

// ticketLabel is what the proofs of tickets are digests under.
const ticketLabel = "extend.ticket"

// StepUp returns a link that asks the user's consent at X to exactly the scopes
// that are missing, whatever browser it is opened in. It is "" where the client
// application may not ask for them. Nothing is stored; the link works for
// oauth.ExtensionTTL.
func (s *Service) StepUp(ctx context.Context, app client.App, e oauth.Extension) (string, error) {
	if len(within(app).Missing(e.Scopes.List())) > 0 {
		return "", nil
	}
	e.App, e.Expires = app.ID, s.clock().Add(oauth.ExtensionTTL)
	proofs, err := s.ring.Digests(ctx, secret.New(e.Words()), ticketLabel)
	if err != nil {
		return "", err
	}
	return s.issuer + "/oauth/extend?" + url.Values{"ticket": {e.Ticket(proofs[0])}}.Encode(), nil
}

// within is what the application may ask of users, and what Perch needs itself.
func within(app client.App) oauth.Scopes {
	return oauth.ScopesOf(append(strings.Fields(needed), app.Scopes...))
}

// An ExtendRequest is a link of StepUp that was opened. With a redirect URI of
// the client application the browser ends there, otherwise on a page of Perch.
type ExtendRequest struct {
	Ticket   string
	Redirect string // "" for none
	State    string
	From     netip.Addr // where it comes from
}

// Extend sends the browser to X, to consent to what a ticket names. Errors that
// the client may be told by redirection are a *Refusal.
func (s *Service) Extend(ctx context.Context, r ExtendRequest) (Redirect, error) {
	e, err := s.opened(ctx, r.Ticket)
	if err != nil {
		return Redirect{}, err
	}
	app, err := s.mayEndAt(ctx, e.App, r.Redirect)
	if err != nil {
		return Redirect{}, err
	}
	a := oauth.Authorization{
		App: app.ID, Redirect: r.Redirect, State: r.State, Scopes: e.Scopes,
		Mode: oauth.ModeExtend, Extends: e.Grant, Session: e.Session,
	}
	to, cookie, err := s.extend(ctx, app, a, r.From)
	if err != nil {
		a.State = clip(a.State)
		return Redirect{}, s.refused(a, err)
	}
	return Redirect{URL: to, Cookie: cookie}, nil
}

func (s *Service) extend(
	ctx context.Context, app client.App, a oauth.Authorization, from netip.Addr,
) (to string, cookie secret.Text, err error) {
	if len(a.State) > maxState {
		return "", cookie, fault.New(fault.Invalid, "state is longer than %d characters", maxState).Named("invalid-request")
	}
	if over := within(app).Missing(a.Scopes.List()); len(over) > 0 {
		return "", cookie, mayNotAsk(over)
	}
	if a.Session != "" {
		if _, err := s.asked(ctx, a); err != nil {
			return "", cookie, err
		}
	}
	if err := s.admit(ctx, app, from); err != nil {
		return "", cookie, err
	}
	return s.grants.Begin(ctx, a)
}

func mayNotAsk(over []string) error {
	return fault.New(fault.Invalid, "this client application may not ask for %s; "+
		"an operator can allow it", strings.Join(over, " ")).Named("invalid-scope")
}

// opened reads a ticket that is ours and still good.
func (s *Service) opened(ctx context.Context, ticket string) (oauth.Extension, error) {
	bad := fault.New(fault.Invalid, "this link is not one that Perch has made; "+
		"go back to the application and try again").Named("bad-ticket")
	e, proof, ok := oauth.ReadTicket(ticket)
	if !ok {
		return oauth.Extension{}, bad
	}
	proofs, err := s.ring.Digests(ctx, secret.New(e.Words()), ticketLabel)
	if err != nil {
		return oauth.Extension{}, err
	}
	good := false
	for _, p := range proofs {
		good = secret.New(p).Equal(secret.New(proof)) || good
	}
	switch {
	case !good:
		return oauth.Extension{}, bad
	case !s.clock().Before(e.Expires):
		return oauth.Extension{}, fault.New(fault.Invalid, "this link is older than ten minutes; "+
			"go back to the application and try again").Named("ticket-expired")
	}
	return e, nil
}

// asked returns the session that asked for the extension, if it goes on.
func (s *Service) asked(ctx context.Context, a oauth.Authorization) (session.Session, error) {
	ses, err := s.sessions.Get(ctx, session.ID(a.Session))
	if errors.Is(err, fault.NotFound) ||
		err == nil && (!ses.Good(s.clock()) || ses.App != a.App || ses.Grant != a.Extends) {
		return session.Session{}, fault.New(fault.Forbidden, "the session that asked for this has ended; "+
			"go back to the application and sign in again").Named("session-ended").Because(err)
	}
	return ses, err
}

// extended ends an extension: the grant reaches further already, now the session
// that asked does too, as far as the grant and the application do. The access
// token that its next refresh gives says so.
func (s *Service) extended(ctx context.Context, a oauth.Authorization, g oauth.Grant) (Redirect, error) {
	if err := s.widen(ctx, a, g); err != nil {
		return Redirect{}, s.refused(a, err)
	}
	if a.Redirect == "" {
		return Redirect{}, nil
	}
	return Redirect{URL: back(a.Redirect, url.Values{}, a.State, s.issuer)}, nil
}

func (s *Service) widen(ctx context.Context, a oauth.Authorization, g oauth.Grant) error {
	if a.Session == "" {
		return nil
	}
	app, err := s.apps.Get(ctx, a.App)
	if err != nil {
		return err
	}
	for {
		ses, err := s.asked(ctx, a)
		if err != nil {
			return err
		}
		wider := ses
		wider.Scopes = ses.Scopes.And(a.Scopes.Both(g.Scopes).Both(within(app)))
		if wider.Scopes == ses.Scopes {
			return nil
		}
		_, err = s.sessions.Swap(ctx, ses, wider)
		if !errors.Is(err, fault.Conflict) {
			return err
		}
	}
}

// refused tells the client application by redirection where it said where to,
// and whoever looks at the browser otherwise.
func (s *Service) refused(a oauth.Authorization, err error) error {
	if a.Redirect == "" {
		return err
	}
	return s.refusal(a.Redirect, a.State, err)
}
