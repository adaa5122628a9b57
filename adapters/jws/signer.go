// Package jws writes and reads Perch's own access tokens: JSON Web Tokens of
// RFC 9068, signed with ES256. Tokens of X are never in it.
package jws

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/user"
	"perch/ports"
)

const (
	tokenType = "at+jwt"
	maxToken  = 4096 // bytes; ours have less than 1000
)

// Signer is a ports.TokenSigner.
type Signer struct {
	store  ports.SigningKeys
	ring   ports.Keyring
	issuer string
	now    func() time.Time
	parser *jwt.Parser
	turn   chan struct{}         // held while the store is asked
	chain  atomic.Pointer[chain] // what is known of the keys
}

var _ ports.TokenSigner = (*Signer)(nil)

// New returns a signer for the issuer, which is Perch's own public URL and also
// the tokens' audience. The first key is made when it is needed. now is the time
// that replicas agree on.
func New(keys ports.SigningKeys, ring ports.Keyring, issuer string, now func() time.Time) *Signer {
	return &Signer{
		store: keys, ring: ring, issuer: issuer, now: now, turn: make(chan struct{}, 1),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}),
			jwt.WithIssuer(issuer), jwt.WithAudience(issuer),
			jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now),
		),
	}
}

// claims are the members of a token.
type claims struct {
	jwt.RegisteredClaims
	Client  string   `json:"client_id"`
	Scope   string   `json:"scope"`
	Grant   string   `json:"grant"`
	Session string   `json:"sid"`
	Confirm *confirm `json:"cnf,omitempty"`
}

// confirm names the key a token is bound to (RFC 9449 section 6.1).
type confirm struct {
	JKT string `json:"jkt"`
}

func (s *Signer) Sign(ctx context.Context, c session.Claims) (secret.Text, error) {
	k, err := s.signing(ctx)
	if err != nil {
		return secret.Text{}, err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID: c.ID, Issuer: s.issuer, Subject: string(c.User), Audience: jwt.ClaimStrings{s.issuer},
			IssuedAt: jwt.NewNumericDate(c.Issued), ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		Client: string(c.App), Scope: string(c.Scopes), Grant: string(c.Grant), Session: string(c.Session),
		Confirm: bound(c.JKT),
	})
	t.Header["typ"], t.Header["kid"] = tokenType, k.id
	signed, err := t.SignedString(k.private)
	if err != nil {
		return secret.Text{}, fault.New(fault.Internal, "").Because(err)
	}
	return secret.New(signed), nil
}

func (s *Signer) Verify(ctx context.Context, token secret.Text) (session.Claims, error) {
	// The decoder skips line ends, so one token could be written in many ways.
	if text := token.Reveal(); len(text) > maxToken || strings.ContainsAny(text, "\r\n") {
		return session.Claims{}, refused(errors.New("it is too long or in several lines"))
	}
	var c claims
	var trouble error // of the store, which is not the token's fault
	_, err := s.parser.ParseWithClaims(token.Reveal(), &c, func(t *jwt.Token) (any, error) {
		id, err := keyID(t.Header)
		if err != nil {
			return nil, err
		}
		public, err := s.verifying(ctx, id)
		if err != nil && !errors.Is(err, errUnknownKey) {
			trouble = err
		}
		return public, err
	})
	switch {
	case trouble != nil:
		return session.Claims{}, trouble
	case errors.Is(err, jwt.ErrTokenExpired):
		return session.Claims{}, fault.New(fault.Unauthenticated, "the access token has expired; refresh it").
			Named("token-expired")
	case err != nil:
		return session.Claims{}, refused(err)
	}
	return c.session()
}

// keyID wants exactly the header that Sign writes.
func keyID(header map[string]any) (string, error) {
	id, ok := header["kid"].(string)
	if header["typ"] != tokenType || !ok || len(header) != 3 {
		return "", errors.New("the header is not that of an access token")
	}
	return id, nil
}

func bound(jkt string) *confirm {
	if jkt == "" {
		return nil
	}
	return &confirm{jkt}
}

func (c claims) session() (session.Claims, error) {
	if len(c.Audience) != 1 {
		return session.Claims{}, refused(errors.New("it is for others too"))
	}
	var jkt string
	if c.Confirm != nil {
		if jkt = c.Confirm.JKT; jkt == "" { // bound to what we do not know
			return session.Claims{}, refused(errors.New("cnf names no key"))
		}
	}
	if c.ID == "" || c.Subject == "" || c.Client == "" || c.Grant == "" || c.Session == "" || c.IssuedAt == nil {
		return session.Claims{}, refused(errors.New("a claim is missing"))
	}
	return session.Claims{
		ID: c.ID, Issuer: c.Issuer, App: client.AppID(c.Client), Grant: oauth.GrantID(c.Grant),
		Session: session.ID(c.Session), User: user.ID(c.Subject), Scopes: oauth.Scopes(c.Scope), JKT: jkt,
		Issued: c.IssuedAt.UTC(), Expires: c.ExpiresAt.UTC(),
	}, nil
}

// refused does not pass on the library's own words, which may quote the token.
func refused(err error) error {
	for _, why := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenUnverifiable, jwt.ErrTokenInvalidClaims,
	} {
		if errors.Is(err, why) {
			err = why
			break
		}
	}
	return fault.New(fault.Unauthenticated, "the access token is not valid; sign in again").
		Named("invalid-token").Because(err)
}

// verifying returns the public key with the ID. A key that another replica made
// a moment ago is looked up; who invents IDs does not make us ask without end.
func (s *Signer) verifying(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	known, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	k, ok := known.find(id, now)
	if !ok && (len(known.keys) == 0 || now.Sub(known.listed) >= pause) {
		if known, err = s.list(ctx, now); err != nil {
			return nil, err
		}
		k, ok = known.find(id, now)
	}
	if !ok {
		return nil, fmt.Errorf("%w", errUnknownKey)
	}
	return &k.private.PublicKey, nil
}
