package jws

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
)

// A keyError says what is wrong with a key that a client sent. It quotes nothing.
type keyError string

func (e keyError) Error() string { return string(e) }

// A publicKey is a key of a client's and its thumbprint.
type publicKey struct {
	public     any
	thumbprint string
}

// private are members that only private and symmetric keys have (RFC 7518
// section 6).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// parseKey reads a public JSON Web Key that signs with alg (RFC 7517).
func parseKey(members map[string]any, alg string) (publicKey, error) {
	for _, name := range private {
		if _, ok := members[name]; ok {
			return publicKey{}, keyError("the jwk in the DPoP proof holds a private key; throw that key away, " +
				"and send its public members alone")
		}
	}
	kty, _ := members["kty"].(string)
	if !supports(kty, alg) {
		return publicKey{}, keyError("the jwk in the DPoP proof is not a key for its alg; " +
			"there are ES256, EdDSA, RS256 and PS256")
	}
	switch kty {
	case "EC":
		return ecKey(members)
	case "OKP":
		return edKey(members)
	}
	return rsaKey(members)
}

const badKey = keyError("the jwk in the DPoP proof is not a P-256, Ed25519 or RSA key of 2048 to 4096 bits")

func ecKey(members map[string]any) (publicKey, error) {
	x, ok1 := octets(members["x"], 32, 32)
	y, ok2 := octets(members["y"], 32, 32)
	if !ok1 || !ok2 || members["crv"] != "P-256" {
		return publicKey{}, badKey
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return publicKey{}, badKey
	}
	return publicKey{public, thumbprint(members, "crv", "kty", "x", "y")}, nil
}

func edKey(members map[string]any) (publicKey, error) {
	x, ok := octets(members["x"], ed25519.PublicKeySize, ed25519.PublicKeySize)
	if !ok || members["crv"] != "Ed25519" {
		return publicKey{}, badKey
	}
	return publicKey{ed25519.PublicKey(x), thumbprint(members, "crv", "kty", "x")}, nil
}

// rsaKey takes the exponent that everybody uses alone: others cost more to
// check, and small ones are no good.
func rsaKey(members map[string]any) (publicKey, error) {
	n, ok := octets(members["n"], 256, 512)
	if !ok || n[0] == 0 || members["e"] != "AQAB" {
		return publicKey{}, badKey
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
	if public.N.BitLen() < 2048 {
		return publicKey{}, badKey
	}
	return publicKey{public, thumbprint(members, "e", "kty", "n")}, nil
}

// octets decodes a member that is from least to most bytes long and spelled in
// the only way there is.
func octets(v any, least, most int) ([]byte, bool) {
	s, _ := v.(string)
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && !strings.ContainsAny(s, "\r\n") && len(b) >= least && len(b) <= most
}

// thumbprint is the key's name (RFC 7638): the digest of its members, which have
// been found to be texts in their only spelling. JSON sorts the members of a map.
func thumbprint(members map[string]any, names ...string) string {
	needed := map[string]any{}
	for _, name := range names {
		needed[name] = members[name]
	}
	text, err := json.Marshal(needed)
	if err != nil {
		return "" // texts alone
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
