package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/user"
)

// A TokenRequest is a call of the token endpoint (RFC 6749 sections 4.1.3, 6).
type TokenRequest struct {
	GrantType    string
	ClientID     string
	ClientSecret secret.Text // a secret key of the same application; optional
	Code         string
	Redirect     string
	Verifier     string
	Refresh      secret.Text
	Proof        string     // the DPoP header, "" for none (RFC 9449)
	URL          string     // public, of the endpoint that was called
	From         netip.Addr // where it comes from

	proved bool // the client application has proved who it is
}

// Tokens is what a client application gets.
type Tokens struct {
	Access  secret.Text
	Refresh secret.Text
	TTL     time.Duration // of the access token
	Scopes  oauth.Scopes
	Grant   oauth.GrantID
	User    user.ID
	Bound   bool // to a key: they go with the scheme DPoP
}

// Token answers the token endpoint. Its faults are named by OAuth's error codes.
func (s *Service) Token(ctx context.Context, r TokenRequest) (Tokens, error) {
	app, proved, err := s.authenticate(ctx, r.ClientID, r.ClientSecret, r.From)
	if err != nil {
		return Tokens{}, err
	}
	r.proved = proved
	if app.Cookies {
		return Tokens{}, fault.New(fault.Invalid, "this client application holds its sessions in cookies and gets no tokens").
			Named("unauthorized-client")
	}
	exchange := s.fromCode
	switch r.GrantType {
	case "authorization_code":
		err = s.isCode(ctx, r)
	case "refresh_token":
		_, err = s.read(ctx, r.Refresh)
		exchange = s.fromRefresh
	default:
		err = fault.New(fault.Invalid, "grant_type must be authorization_code or refresh_token").
			Named("unsupported-grant-type")
	}
	if err != nil { // nothing is stored for what Perch never gave
		return Tokens{}, err
	}
	// Before anything that works once is touched: a proof without nonce is made again.
	jkt, err := s.key(ctx, app, r)
	if err != nil {
		return Tokens{}, err
	}
	return exchange(ctx, app, r, jkt)
}

// authenticate returns the client application, and whether it has proved who it
// is. A key that is for some grants or actions alone speaks for no more than those.
func (s *Service) authenticate(
	ctx context.Context, id string, key secret.Text, from netip.Addr,
) (app client.App, proved bool, err error) {
	app, err = s.known(ctx, id, from)
	if fault.KindOf(err) == fault.Invalid {
		say := "no client application has this client_id; use its publishable key, which begins with pk_"
		if id == "" {
			say = "send client_id, the publishable key of the client application, which begins with pk_"
		}
		return app, false, fault.New(fault.Unauthenticated, "%s", say).Named("invalid-client").Because(err)
	}
	if err != nil || key.Empty() {
		return app, false, err
	}
	owner, k, err := s.clients.Authenticate(ctx, key, from)
	if fault.KindOf(err) == fault.Unauthenticated || (err == nil && (owner.ID != app.ID || k.Kind != apikey.Secret)) {
		return app, false, fault.New(fault.Unauthenticated,
			"the client secret is not a secret key of this client application").Named("invalid-client").Because(err)
	}
	return app, len(k.Grants) == 0 && len(k.Actions) == 0, err
}

// ErrReused is the cause where a code or refresh token that works once comes
// again: somebody else has it too, or had.
var ErrReused = errors.New("presented again")

func badGrant(say string) *fault.Error {
	return fault.New(fault.Invalid, "%s; start the sign-in again", say).Named("invalid-grant")
}

// A code of Perch reads CODE.PROOF, where the proof is a keyed digest of the code.
const codeLabel = "code.proof"

func (s *Service) newCode(ctx context.Context) (string, error) {
	code := rand.Text()
	proofs, err := s.ring.Digests(ctx, secret.New(code), codeLabel)
	if err != nil {
		return "", err
	}
	return code + "." + proofs[0], nil
}

// isCode refuses what is no code of Perch, without asking a store.
func (s *Service) isCode(ctx context.Context, r TokenRequest) error {
	if r.Code == "" || r.Redirect == "" || r.Verifier == "" {
		return fault.New(fault.Invalid, "code, redirect_uri and code_verifier are all needed").
			Named("invalid-request")
	}
	code, proof, _ := strings.Cut(r.Code, ".")
	proofs, err := s.ring.Digests(ctx, secret.New(code), codeLabel)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(proofs, func(p string) bool { return secret.New(p).Equal(secret.New(proof)) }) {
		return badGrant("the code is unknown or older than a minute")
	}
	return nil
}

func (s *Service) fromCode(ctx context.Context, app client.App, r TokenRequest, jkt string) (Tokens, error) {
	c, err := s.codes.Take(ctx, oauth.Digest(r.Code))
	switch {
	case errors.Is(err, fault.NotFound):
		return Tokens{}, badGrant("the code is unknown or older than a minute").Because(err)
	case errors.Is(err, fault.Conflict):
		return Tokens{}, s.reused(ctx, app, c)
	case err != nil:
		return Tokens{}, err
	case c.App != app.ID:
		return Tokens{}, badGrant("the code was issued to another client application")
	case !s.clock().Before(c.Expires):
		return Tokens{}, badGrant("the code is older than a minute")
	case c.Redirect != r.Redirect:
		return Tokens{}, badGrant("redirect_uri is not the one the code was issued for")
	case !app.Redirects(c.Redirect):
		return Tokens{}, badGrant("the redirect_uri is registered no more")
	case !oauth.IsVerifier(r.Verifier) || oauth.Challenge(r.Verifier) != c.Challenge:
		return Tokens{}, badGrant("code_verifier does not fit the code_challenge")
	}
	if c.JKT != "" && c.JKT != jkt {
		return Tokens{}, badGrant("the code is bound to a key by dpop_jkt, and no DPoP proof of that key came with it")
	}
	if err := s.stands(ctx, c); err != nil {
		return Tokens{}, err
	}
	c.JKT = jkt
	return s.open(ctx, app, c)
}

// stands refuses a code whose grant was revoked after the code was issued, also
// if the user has connected again since.
func (s *Service) stands(ctx context.Context, c session.Code) error {
	g, err := s.grants.Get(ctx, c.App, c.Grant)
	issued := c.Expires.Add(-session.CodeTTL)
	if errors.Is(err, fault.NotFound) || err == nil && (g.State == oauth.Revoked || issued.Before(g.Created)) {
		return badGrant("the user's permission was revoked after the code was issued").Because(err)
	}
	return err
}

// reused ends what a code has given when it is presented again (RFC 6749
// section 4.1.2), if by its own client. Where the first presentation has not
// opened the session yet, it is stored as ended, so that it cannot.
func (s *Service) reused(ctx context.Context, app client.App, c session.Code) error {
	if c.App == app.ID {
		_, err := s.sessions.Create(ctx, s.begun(c, "").End(s.clock()))
		if errors.Is(err, fault.Conflict) {
			err = s.end(ctx, c.Session)
		}
		if err != nil {
			return err
		}
	}
	return badGrant("the code was used before, so the session it opened has ended").Because(ErrReused)
}

func (s *Service) open(ctx context.Context, app client.App, c session.Code) (Tokens, error) {
	refresh, digest, err := s.mint(ctx, c.Session, rand.Text())
	if err != nil {
		return Tokens{}, err
	}
	ses, err := s.sessions.Create(ctx, s.begun(c, digest))
	if errors.Is(err, fault.Conflict) {
		return Tokens{}, badGrant("the code was used twice").Because(err)
	}
	if err != nil {
		return Tokens{}, err
	}
	return s.issue(ctx, app, ses, refresh, ses.JKT)
}

// begun is the session that a code opens.
func (s *Service) begun(c session.Code, digest string) session.Session {
	now := s.clock()
	return session.Session{
		ID: c.Session, App: c.App, Grant: c.Grant, User: c.User, Scopes: c.Scopes,
		JKT: c.JKT, Current: digest, Created: now, Expires: now.Add(session.SessionTTL),
	}
}

// issue signs an access token for the session, bound to the key if there is one,
// as far as the application may go now: an operator may have narrowed it.
func (s *Service) issue(
	ctx context.Context, app client.App, ses session.Session, refresh secret.Text, jkt string,
) (Tokens, error) {
	now, scopes := s.clock(), ses.Scopes.Both(within(app))
	access, err := s.signer.Sign(ctx, session.Claims{
		ID: rand.Text(), Issuer: s.issuer, App: ses.App, Grant: ses.Grant, Session: ses.ID,
		User: ses.User, Scopes: scopes, JKT: jkt, Issued: now, Expires: now.Add(session.AccessTTL),
	})
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{
		Access: access, Refresh: refresh, TTL: session.AccessTTL,
		Scopes: scopes, Grant: ses.Grant, User: ses.User, Bound: jkt != "",
	}, nil
}
