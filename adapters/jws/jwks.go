package jws

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"perch/domain/fault"
)

// A jwk is the public half of a signing key (RFC 7517, RFC 7518 section 6.2).
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// JWKS lists the keys that verify tokens now, and the next one before it signs.
// The first key is made here if need be, so that nobody keeps an empty set.
func (s *Signer) JWKS(ctx context.Context) ([]byte, error) {
	if _, err := s.signing(ctx); err != nil {
		return nil, err
	}
	known, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	now := s.now()
	for _, k := range known.keys {
		if !k.verifies(now) {
			continue
		}
		point, err := k.private.PublicKey.Bytes() // 4, then x and y
		if err != nil || len(point) != 65 {
			return nil, fault.New(fault.Internal, "").Because(err)
		}
		set.Keys = append(set.Keys, jwk{
			Type: "EC", Curve: "P-256", ID: k.id, Use: "sig", Algorithm: "ES256",
			X: base64.RawURLEncoding.EncodeToString(point[1:33]),
			Y: base64.RawURLEncoding.EncodeToString(point[33:]),
		})
	}
	return json.Marshal(set)
}
