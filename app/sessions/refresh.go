package sessions

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

// A refresh token of Perch reads rt_SESSION.NONCE.PROOF. The proof is a keyed
// digest of what stands before it: only tokens we made can be told to be old
// ones, so guessing cannot end anybody's session. The nonce of the first token
// is random, that of each later one a keyed digest of the token before: the same
// token always has the same successor, so a lost reply can be asked for again
// and two tabs that refresh at once get the same answer.
const (
	refreshPrefix = "rt_"
	proofLabel    = "refresh.proof"
	nextLabel     = "refresh.next"
	maxRefresh    = 250
)

// mint makes the refresh token of the session with the nonce, and its digest.
func (s *Service) mint(ctx context.Context, id session.ID, nonce string) (secret.Text, string, error) {
	body := refreshPrefix + string(id) + "." + nonce
	proofs, err := s.ring.Digests(ctx, secret.New(body), proofLabel)
	if err != nil {
		return secret.Text{}, "", err
	}
	text := body + "." + proofs[0]
	return secret.New(text), oauth.Digest(text), nil
}

// successor makes the refresh token that follows the one presented.
func (s *Service) successor(ctx context.Context, id session.ID, presented secret.Text) (secret.Text, string, error) {
	nonces, err := s.ring.Digests(ctx, presented, nextLabel)
	if err != nil {
		return secret.Text{}, "", err
	}
	return s.mint(ctx, id, nonces[0])
}

// read returns the session a refresh token names, if it is one of ours.
func (s *Service) read(ctx context.Context, token secret.Text) (session.ID, error) {
	text := token.Reveal()
	at := strings.LastIndexByte(text, '.')
	if !strings.HasPrefix(text, refreshPrefix) || len(text) > maxRefresh || at < 0 {
		return "", badGrant("this is not a refresh token of Perch")
	}
	proofs, err := s.ring.Digests(ctx, secret.New(text[:at]), proofLabel)
	if err != nil {
		return "", err
	}
	for _, proof := range proofs {
		if secret.New(proof).Equal(secret.New(text[at+1:])) {
			id, _, _ := strings.Cut(strings.TrimPrefix(text[:at], refreshPrefix), ".")
			return session.ID(id), nil
		}
	}
	return "", badGrant("this is not a refresh token of Perch")
}

func (s *Service) fromRefresh(ctx context.Context, app client.App, r TokenRequest, jkt string) (Tokens, error) {
	id, err := s.read(ctx, r.Refresh)
	if err != nil {
		return Tokens{}, err
	}
	for {
		tokens, err := s.rotate(ctx, app, id, r, jkt)
		if !errors.Is(err, fault.Conflict) {
			return tokens, err
		}
	}
}

// rotate exchanges the refresh token of the session; fault.Conflict means that
// another exchange came between.
func (s *Service) rotate(
	ctx context.Context, app client.App, id session.ID, r TokenRequest, jkt string,
) (Tokens, error) {
	ses, err := s.good(ctx, id)
	if err != nil {
		return Tokens{}, err
	}
	if ses.App != app.ID {
		return Tokens{}, badGrant("the refresh token was issued to another client application")
	}
	if err := mayRotate(ses, jkt, r.proved); err != nil {
		return Tokens{}, err
	}
	next, digest, err := s.successor(ctx, id, r.Refresh)
	if err != nil {
		return Tokens{}, err
	}
	rotated, err := ses.Rotate(oauth.Digest(r.Refresh.Reveal()), digest, s.clock())
	if err != nil { // an old token: somebody else has it too (RFC 9700 section 4.14.2)
		if err := s.end(ctx, id); err != nil {
			return Tokens{}, err
		}
		return Tokens{}, badGrant("the refresh token was used before, so its session has ended").Because(ErrReused)
	}
	if ses.JKT != "" {
		rotated.JKT = jkt
	}
	if rotated, err = s.sessions.Swap(ctx, ses, rotated); err != nil {
		return Tokens{}, err
	}
	return s.issue(ctx, app, rotated, next, jkt)
}

// mayRotate refuses who does not prove the key that the session is bound to. A
// client that has proved who it is may bind it to another key (RFC 9449 section
// 5). A session that is not bound stays so, or a thief could bind it to his own
// key and shut its owner out; only the access token is bound then.
func mayRotate(ses session.Session, jkt string, proved bool) error {
	switch {
	case ses.JKT == "" || ses.JKT == jkt:
		return nil
	case jkt == "":
		return session.ErrProof("the refresh token is bound to a key (RFC 9449); send a proof of it in the header DPoP")
	case proved:
		return nil
	}
	return badGrant("the refresh token is bound to another key than the DPoP proof's")
}

// good returns the session if it has not ended.
func (s *Service) good(ctx context.Context, id session.ID) (session.Session, error) {
	ses, err := s.sessions.Get(ctx, id)
	if errors.Is(err, fault.NotFound) || (err == nil && !ses.Good(s.clock())) {
		return session.Session{}, badGrant("the session has ended").Because(err)
	}
	return ses, err
}

// end revokes the session, if there is one.
func (s *Service) end(ctx context.Context, id session.ID) error {
	for {
		ses, err := s.sessions.Get(ctx, id)
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil || !ses.Revoked.IsZero() {
			return err
		}
		_, err = s.sessions.Swap(ctx, ses, ses.End(s.clock()))
		if !errors.Is(err, fault.Conflict) {
			return err
		}
	}
}

// Revoke ends the session of an access or refresh token of the client
// application (RFC 7009). A token we do not know is no error.
func (s *Service) Revoke(
	ctx context.Context, clientID string, key, token secret.Text, from netip.Addr,
) error {
	app, _, err := s.authenticate(ctx, clientID, key, from)
	if err != nil {
		return err
	}
	id, err := s.read(ctx, token)
	if err != nil {
		claims, err := s.signer.Verify(ctx, token)
		if fault.KindOf(err) == fault.Unauthenticated {
			return nil
		}
		if err != nil {
			return err
		}
		id = claims.Session
	}
	ses, err := s.sessions.Get(ctx, id)
	if errors.Is(err, fault.NotFound) || (err == nil && ses.App != app.ID) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.end(ctx, id)
}

// Verify returns the claims of an access token whose session goes on, and the
// application it belongs to. The scopes are within what the application may have
// now. Where the token is bound to a key, the request must prove it. Anything else
// is fault.Unauthenticated.
func (s *Service) Verify(ctx context.Context, p session.Presented) (session.Claims, client.App, error) {
	claims, err := s.signer.Verify(ctx, p.Token)
	if err != nil {
		return session.Claims{}, client.App{}, err
	}
	if err := s.holds(ctx, claims, p); err != nil {
		return session.Claims{}, client.App{}, err
	}
	ses, err := s.warm.Get(ctx, claims.Session)
	if errors.Is(err, fault.NotFound) || (err == nil && !ses.Good(s.clock())) {
		return session.Claims{}, client.App{}, fault.New(fault.Unauthenticated, "the session has ended; sign in again").
			Named("invalid-token").Because(err)
	}
	if err != nil {
		return session.Claims{}, client.App{}, err
	}
	app, err := s.apps.Get(ctx, claims.App)
	if errors.Is(err, fault.NotFound) || (err == nil && app.Status != client.Active) {
		return session.Claims{}, client.App{}, fault.New(fault.Forbidden,
			"this client application is suspended; ask the operator of this Perch").Named("app-suspended")
	}
	if err == nil && app.Cookies {
		return session.Claims{}, client.App{}, invalidToken("this client application holds its sessions in cookies now; " +
			"sign in again")
	}
	if err == nil && app.DPoP && claims.JKT == "" {
		return session.Claims{}, client.App{}, invalidToken("this client application's tokens must be bound to a key " +
			"(RFC 9449); refresh the token with a DPoP proof")
	}
	claims.Scopes = claims.Scopes.Both(within(app))
	return claims, app, err
}
