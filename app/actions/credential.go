package actions

import (
	"context"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// A credential is what an action is performed with.
type credential struct {
	grant    oauth.Grant // zero where no user is involved
	token    func(ctx context.Context) (secret.Text, error)
	distrust func(ctx context.Context) (secret.Text, error) // another token after X refused; nil: there is none
}

// credential chooses between the user's grant, the X App's own bearer and
// nothing, as the action and the caller allow.
func (s *Service) credential(ctx context.Context, r Request) (credential, error) {
	act := r.Call.Action
	switch {
	case act.Public():
		return credential{token: func(context.Context) (secret.Text, error) { return secret.Text{}, nil }}, nil
	case act.ByUser() && r.Grant != "":
		return s.byUser(ctx, r)
	case act.ByApp() && r.AppOnly:
		return s.byApp(r), nil
	case act.ByUser():
		return credential{}, fault.New(fault.Invalid, "say for whom: send Perch-Grant with the ID of a grant; "+
			"GET /v1/grants lists those of this client application").Named("no-grant")
	}
	return credential{}, fault.New(fault.Forbidden, "X performs %s only for the app itself, and this caller may not "+
		"act for the app; use a secret key with app-only permission", act.ID).Named("app-only")
}

func (s *Service) byUser(ctx context.Context, r Request) (credential, error) {
	g, err := s.Grants.Warm(ctx, r.App.ID, r.Grant)
	if err != nil {
		return credential{}, err
	}
	if g.State == oauth.Revoked {
		return credential{}, oauth.ErrRevoked()
	}
	have := g.Scopes
	if r.Session != "" || r.Scopes != "" { // a session without scopes may do nothing
		have = have.Both(r.Scopes)
	}
	if missing := have.Missing(r.Call.Action.Needs()); len(missing) > 0 {
		return credential{}, s.insufficient(ctx, r, oauth.ScopesOf(missing))
	}
	return credential{
		grant: g,
		token: func(ctx context.Context) (secret.Text, error) { return s.Grants.Access(ctx, g) },
		distrust: func(ctx context.Context) (secret.Text, error) {
			doubted, err := s.Grants.Distrust(ctx, g)
			if err != nil {
				return secret.Text{}, err
			}
			return s.Grants.Access(ctx, doubted)
		},
	}, nil
}

// insufficient says which scopes are missing, and how to ask the user for exactly
// those (RFC 6750 section 3.1).
func (s *Service) insufficient(ctx context.Context, r Request, missing oauth.Scopes) error {
	url, err := s.Consents.StepUp(ctx, r.App, oauth.Extension{
		Grant: r.Grant, Session: string(r.Session), Scopes: missing,
	})
	if err != nil {
		return err
	}
	if url == "" {
		return fault.New(fault.Forbidden, "%s needs %s, which this client application may not ask for; "+
			"the operator of this Perch can allow it", r.Call.Action.ID, missing).
			Named("insufficient-scope").With("missing_scope", string(missing))
	}
	return fault.New(fault.Forbidden, "%s needs %s, which the user has not allowed; send the user to step_up_url, "+
		"which asks for exactly that", r.Call.Action.ID, missing).
		Named("insufficient-scope").With("missing_scope", string(missing)).With("step_up_url", url)
}

func (s *Service) byApp(r Request) credential {
	token := func(ctx context.Context) (secret.Text, error) {
		x, err := s.XApps.Get(ctx, r.App.XApp)
		if err != nil {
			return secret.Text{}, err
		}
		return s.X.AppToken(ctx, x)
	}
	return credential{token: token}
}
