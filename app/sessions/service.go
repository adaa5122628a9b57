// Package sessions is Perch's own OAuth 2.0 authorization server: it signs
// browsers in with code and PKCE and gives them credentials of Perch, while the
// grant behind them is made at X.
package sessions

import (
	"context"
	"net/netip"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// clients knows client applications by their keys.
type clients interface {
	Authenticate(ctx context.Context, key secret.Text, from netip.Addr) (client.App, apikey.Key, error)
}

// apps finds client applications by their IDs.
type apps interface {
	Get(ctx context.Context, id client.AppID) (client.App, error)
}

// connector makes grants at X.
type connector interface {
	Begin(ctx context.Context, a oauth.Authorization) (url string, cookie secret.Text, err error)
	Complete(ctx context.Context, c oauth.Callback) (oauth.Authorization, oauth.Grant, error)
	Get(ctx context.Context, app client.AppID, id oauth.GrantID) (oauth.Grant, error)
}

// Service is the authorization server.
type Service struct {
	clients  clients
	apps     apps
	grants   connector
	codes    ports.Codes
	sessions ports.Sessions
	warm     ports.Sessions
	signer   ports.TokenSigner
	dpop     ports.DPoP
	proofs   *proofs
	ring     ports.Keyring
	quotas   ports.QuotaStore
	issuer   string
	now      func() time.Time
}

// Parts are what the service is made of.
type Parts struct {
	Clients  clients
	Apps     apps // may be behind as Warm may
	Grants   connector
	Codes    ports.Codes
	Sessions ports.Sessions
	Warm     ports.Sessions // the sessions for who only looks whether one goes on; nil: Sessions
	Signer   ports.TokenSigner
	DPoP     ports.DPoP
	Keyring  ports.Keyring
	Quotas   ports.QuotaStore
	Issuer   string           // the public URL, without a slash at the end
	Now      func() time.Time // the time that replicas agree on
}

// New returns the service.
func New(p Parts) *Service {
	if p.Warm == nil {
		p.Warm = p.Sessions
	}
	return &Service{
		p.Clients, p.Apps, p.Grants, p.Codes, p.Sessions, p.Warm, p.Signer,
		p.DPoP, newProofs(mostProofs), p.Keyring, p.Quotas, p.Issuer, p.Now,
	}
}

// Issuer is the issuer identifier (RFC 8414).
func (s *Service) Issuer() string { return s.issuer }

// JWKS returns the public signing keys as a JSON Web Key Set.
func (s *Service) JWKS(ctx context.Context) ([]byte, error) { return s.signer.JWKS(ctx) }

// clock is the time as sessions keep it.
func (s *Service) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }
