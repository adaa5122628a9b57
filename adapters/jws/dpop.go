package jws

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"perch/domain/session"
	"perch/ports"
)

const (
	proofType = "dpop+jwt"
	maxProof  = 4096 // bytes; one with an RSA key of 4096 bits has about 2000
	maxMember = 512  // bytes of a claim
)

// Proofs is a ports.DPoP.
type Proofs struct{ parser *jwt.Parser }

var _ ports.DPoP = (*Proofs)(nil)

// NewProofs returns a reader of proofs.
func NewProofs() *Proofs {
	return &Proofs{jwt.NewParser(
		jwt.WithValidMethods((&Proofs{}).Algorithms()), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation(),
	)}
}

func (*Proofs) Algorithms() []string { return []string{"ES256", "EdDSA", "RS256", "PS256"} }

func (p *Proofs) Read(proof string) (session.Proof, error) {
	// The decoder skips line ends, so one proof could be written in many ways.
	if len(proof) > maxProof || strings.ContainsAny(proof, "\r\n") {
		return session.Proof{}, session.ErrProof("the DPoP proof is longer than %d bytes, or in several lines", maxProof)
	}
	var thumbprint string
	said := jwt.MapClaims{}
	_, err := p.parser.ParseWithClaims(proof, said, func(t *jwt.Token) (any, error) {
		k, err := keyIn(t.Header)
		if err != nil {
			return nil, err
		}
		thumbprint = k.thumbprint
		return k.public, nil
	})
	if err != nil {
		return session.Proof{}, unproved(err)
	}
	return read(said, thumbprint)
}

// unproved says why in our own words: the library's may quote the proof.
func unproved(err error) error {
	var own keyError
	switch {
	case errors.As(err, &own):
		return session.ErrProof("%s", own)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return session.ErrProof("the signature of the DPoP proof does not fit its key, " +
			"or is not ES256, EdDSA, RS256 or PS256")
	}
	return session.ErrProof("the DPoP header is not one signed JWT")
}

// forbidden are header parameters that name another key, or that must not be
// ignored and are not understood here (RFC 7515 section 4.1).
var forbidden = []string{"crit", "jku", "x5u", "x5c", "b64"}

func keyIn(header map[string]any) (publicKey, error) {
	if header["typ"] != proofType {
		return publicKey{}, keyError("typ of the DPoP proof is not " + proofType)
	}
	for _, name := range forbidden {
		if _, ok := header[name]; ok {
			return publicKey{}, keyError("the DPoP proof's header holds " + name + ", which is not allowed in it")
		}
	}
	members, ok := header["jwk"].(map[string]any)
	if !ok {
		return publicKey{}, keyError("the DPoP proof's header has no jwk")
	}
	alg, _ := header["alg"].(string)
	return parseKey(members, alg)
}

func read(said jwt.MapClaims, thumbprint string) (session.Proof, error) {
	p := session.Proof{JKT: thumbprint}
	for _, claim := range []struct {
		name   string
		into   *string
		needed bool
	}{
		{"jti", &p.ID, true}, {"htm", &p.Method, true}, {"htu", &p.URL, true},
		{"ath", &p.Token, false}, {"nonce", &p.Nonce, false},
	} {
		v, there := said[claim.name]
		text, ok := v.(string)
		limit := maxMember
		if claim.name == "htu" {
			limit = maxProof
		}
		if there && (!ok || text == "" || len(text) > limit) || !there && claim.needed {
			return session.Proof{}, session.ErrProof("%s of the DPoP proof is missing, or not a text of at most %d bytes",
				claim.name, limit)
		}
		*claim.into = text
	}
	iat, ok := said["iat"].(float64)
	if !ok || math.Abs(iat) > 1e11 {
		return session.Proof{}, session.ErrProof("iat of the DPoP proof is missing, or not a time in seconds")
	}
	p.Issued = time.Unix(int64(math.Floor(iat)), 0).UTC()
	return p, nil
}

// supports reports whether keys of the type may sign with alg.
func supports(kty, alg string) bool {
	return slices.Contains(map[string][]string{
		"EC": {"ES256"}, "OKP": {"EdDSA"}, "RSA": {"RS256", "PS256"},
	}[kty], alg)
}
