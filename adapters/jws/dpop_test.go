package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/session"
	"perch/ports/conformance"
)

// The proof and the thumbprint of RFC 9449 sections 4.1 and 6.1.
const (
	rfcProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa" +
		"0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In" +
		"19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia" +
		"WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcThumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

func TestTheProofOfRFC9449IsRead(t *testing.T) {
	got, err := NewProofs().Read(rfcProof)
	want := session.Proof{
		JKT: rfcThumbprint, ID: "-BwC3ESc6acc2lTc", Method: "POST", URL: "https://server.example.com/token",
		Issued: time.Unix(1562262616, 0).UTC(),
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("error %v (-want +got):\n%s", err, d)
	}
}

// The thumbprint of RFC 7638 section 3.1, which is that of an RSA key.
func TestTheThumbprintOfRFC7638(t *testing.T) {
	k, err := parseKey(map[string]any{
		"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
		"n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj" +
			"hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6q" +
			"MQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awap" +
			"JzKnqDKgw",
	}, "RS256")
	if err != nil || k.thumbprint != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("%q: %v", k.thumbprint, err)
	}
}

// A device holds a key and makes proofs with it.
type device struct {
	method jwt.SigningMethod
	key    any
	jwk    map[string]any
}

func devices(t *testing.T) map[string]device {
	t.Helper()
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	public, private, err2 := ed25519.GenerateKey(rand.Reader)
	r, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	ofRSA := map[string]any{"kty": "RSA", "n": text(r.N.Bytes()), "e": "AQAB"}
	return map[string]device{
		"ES256": {jwt.SigningMethodES256, ec, ecMembers(t, ec)},
		"EdDSA": {jwt.SigningMethodEdDSA, private, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": text(public)}},
		"RS256": {jwt.SigningMethodRS256, r, ofRSA},
		"PS256": {jwt.SigningMethodPS256, r, ofRSA},
	}
}

func ecMembers(t *testing.T, k *ecdsa.PrivateKey) map[string]any {
	t.Helper()
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	half := len(point) / 2
	return map[string]any{"kty": "EC", "crv": k.Params().Name, "x": text(point[1 : 1+half]), "y": text(point[1+half:])}
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// prove signs a proof in which some members are different; nil is none.
func (d device) prove(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	said := jwt.MapClaims{"jti": "j", "htm": "GET", "htu": "https://perch.example/2/users/me", "iat": time.Now().Unix()}
	token := jwt.NewWithClaims(d.method, said)
	token.Header["typ"], token.Header["jwk"] = "dpop+jwt", d.jwk
	for _, change := range []struct{ of, by map[string]any }{{token.Header, header}, {said, claims}} {
		for name, v := range change.by {
			change.of[name] = v
			if v == nil {
				delete(change.of, name)
			}
		}
	}
	signed, err := token.SignedString(d.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestProofsOfEveryAlgorithmAreRead(t *testing.T) {
	seen := map[string]bool{}
	for name, d := range devices(t) {
		proof := d.prove(t, map[string]any{"kid": "mine"}, map[string]any{"ath": "a", "nonce": "n", "iat": 1.5, "more": 1})
		got, err := NewProofs().Read(proof)
		if err != nil || len(got.JKT) != 43 || got.Token != "a" || got.Nonce != "n" || got.Issued.Unix() != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		again, err := NewProofs().Read(d.prove(t, map[string]any{"jwk": with(d.jwk, "use", "sig")}, nil))
		if err != nil || again.JKT != got.JKT {
			t.Errorf("%s: the key's name depends on members that do not make it: %v", name, err)
		}
		seen[name] = true
	}
	for _, name := range NewProofs().Algorithms() {
		if !seen[name] {
			t.Errorf("%s is announced and not tried", name)
		}
	}
}

func with(members map[string]any, name string, v any) map[string]any {
	changed := map[string]any{name: v}
	for other, v := range members {
		if other != name {
			changed[other] = v
		}
	}
	return changed
}

func TestForgedProofsAreRefused(t *testing.T) {
	all := devices(t)
	d := all["ES256"]
	good := d.prove(t, nil, nil)
	if _, err := NewProofs().Read(good); err != nil {
		t.Fatal(err)
	}
	forged := d.spoiled(t, all, good)
	for name, proof := range forged {
		got, err := NewProofs().Read(proof)
		if fault.KindOf(err) != fault.Invalid || fault.SlugOf(err) != "invalid-dpop-proof" || got != (session.Proof{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if len(proof) > 60 && err != nil && strings.Contains(err.Error(), proof[:60]) {
			t.Errorf("%s: the error quotes the proof", name)
		}
	}
}

func (d device) spoiled(t *testing.T, all map[string]device, good string) map[string]string {
	parts := strings.Split(good, ".")
	stranger := device{d.method, devices(t)["ES256"].key, d.jwk}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(d.key.(*ecdsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	hs := func(key []byte) string {
		return device{jwt.SigningMethodHS256, key, d.jwk}.prove(t, nil, nil)
	}
	octet := device{jwt.SigningMethodHS256, []byte("secret"), map[string]any{"kty": "oct", "k": text([]byte("secret"))}}
	none := device{jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, d.jwk}
	forged := map[string]string{
		"nothing": "", "words": "proof", "dots": "..", "two parts": parts[0] + "." + parts[1], "four parts": good + ".",
		"two proofs": good + ", " + good, "line end": good + "\n", "padding": good + "=", "space": " " + good,
		"alg none":                   none.prove(t, nil, nil),
		"alg none, good signature":   d.prove(t, map[string]any{"alg": "none"}, nil),
		"no alg":                     d.prove(t, map[string]any{"alg": nil}, nil),
		"HS256 with the public key":  hs(der),
		"HS256 with an empty key":    hs([]byte{}),
		"HS256 with an oct key":      octet.prove(t, nil, nil),
		"ES384":                      device{jwt.SigningMethodES384, p384, ecMembers(t, p384)}.prove(t, nil, nil),
		"RS512":                      device{jwt.SigningMethodRS512, all["RS256"].key, all["RS256"].jwk}.prove(t, nil, nil),
		"PS384":                      device{jwt.SigningMethodPS384, all["RS256"].key, all["RS256"].jwk}.prove(t, nil, nil),
		"another's key":              stranger.prove(t, nil, nil),
		"no signature":               parts[0] + "." + parts[1] + ".",
		"signature of zeros":         parts[0] + "." + parts[1] + "." + text(make([]byte, 64)),
		"signature as DER":           parts[0] + "." + parts[1] + "." + text(der),
		"signature cut":              good[:len(good)-2],
		"another last letter":        good[:len(good)-1] + string(good[len(good)-1]+1),
		"typ JWT":                    d.prove(t, map[string]any{"typ": "JWT"}, nil),
		"typ of an access token":     d.prove(t, map[string]any{"typ": "at+jwt"}, nil),
		"typ as media type":          d.prove(t, map[string]any{"typ": "application/dpop+jwt"}, nil),
		"no typ":                     d.prove(t, map[string]any{"typ": nil}, nil),
		"no jwk":                     d.prove(t, map[string]any{"jwk": nil}, nil),
		"jwk a text":                 d.prove(t, map[string]any{"jwk": "key"}, nil),
		"kid alone":                  d.prove(t, map[string]any{"jwk": nil, "kid": "k"}, nil),
		"jku":                        d.prove(t, map[string]any{"jku": "https://evil.example"}, nil),
		"x5u":                        d.prove(t, map[string]any{"x5u": "https://evil.example"}, nil),
		"x5c":                        d.prove(t, map[string]any{"x5c": []string{"a"}}, nil),
		"crit":                       d.prove(t, map[string]any{"crit": []string{"exp"}}, nil),
		"b64":                        d.prove(t, map[string]any{"b64": false}, nil),
		"a key of another algorithm": d.prove(t, map[string]any{"jwk": all["EdDSA"].jwk}, nil),
		"too long":                   d.prove(t, map[string]any{"kid": strings.Repeat("k", maxProof)}, nil),
		"no JSON":                    text([]byte("x")) + "." + parts[1] + "." + parts[2],
		"claims no object":           parts[0] + "." + text([]byte("[]")) + "." + parts[2],
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		forged["private member "+name] = d.prove(t, map[string]any{"jwk": with(d.jwk, name, "AQAB")}, nil)
	}
	for name, jwk := range d.badKeys(all) {
		forged["key: "+name] = d.prove(t, map[string]any{"jwk": jwk}, nil)
	}
	for _, claim := range []string{"jti", "htm", "htu", "iat"} {
		for what, v := range map[string]any{"no": nil, "empty": "", "a list as": []string{"a"}, "true as": true} {
			forged[what+" "+claim] = d.prove(t, nil, map[string]any{claim: v})
		}
	}
	for claim, v := range map[string]any{
		"jti": strings.Repeat("j", maxMember+1), "iat": 1e300, "ath": 1, "nonce": strings.Repeat("n", maxMember+1),
	} {
		forged["odd "+claim] = d.prove(t, nil, map[string]any{claim: v})
	}
	return forged
}

func (d device) badKeys(all map[string]device) map[string]map[string]any {
	x, y := d.jwk["x"].(string), d.jwk["y"].(string)
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // to be refused
	if err != nil {
		short = &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023)}}
	}
	return map[string]map[string]any{
		"no kty": with(d.jwk, "kty", nil), "lower case": with(d.jwk, "kty", "ec"), "P-384": with(d.jwk, "crv", "P-384"),
		"secp256k1": with(d.jwk, "crv", "secp256k1"), "no x": with(d.jwk, "x", nil), "x a number": with(d.jwk, "x", 1),
		"x longer": with(d.jwk, "x", "AA"+x), "x padded": with(d.jwk, "x", x+"="), "x in two lines": with(d.jwk, "x", x[:20]+"\n"+x[20:]),
		"not on the curve": with(d.jwk, "y", x), "zero": with(with(d.jwk, "x", text(make([]byte, 32))), "y", text(make([]byte, 32))),
		"swapped": with(with(d.jwk, "x", y), "y", x), "RSA of 1024 bits": {"kty": "RSA", "n": text(short.N.Bytes()), "e": "AQAB"},
		"X25519":     with(all["EdDSA"].jwk, "crv", "X25519"),
		"exponent 3": with(all["RS256"].jwk, "e", "Aw"), "a leading zero": with(all["RS256"].jwk, "n", "AA"+all["RS256"].jwk["n"].(string)),
	}
}

// A key of the wrong kind never reaches the signature, whatever alg says.
func TestAKeyIsTriedWithItsOwnAlgorithmOnly(t *testing.T) {
	for name, d := range devices(t) {
		for _, alg := range append(NewProofs().Algorithms(), "none", "HS256", "ES384", "RS512", "") {
			_, err := parseKey(d.jwk, alg)
			same := alg == name || name == "RS256" && alg == "PS256" || name == "PS256" && alg == "RS256"
			if same != (err == nil) {
				t.Errorf("a key for %s with %q: %v", name, alg, err)
			}
		}
	}
}

func TestAnRSAKeyThatIsTooWeakOrTooLargeIsRefused(t *testing.T) {
	for _, v := range []struct {
		n    []byte
		good bool
	}{
		{append([]byte{0x80}, make([]byte, 255)...), true}, {append([]byte{0x7f}, make([]byte, 255)...), false},
		{append([]byte{0x80}, make([]byte, 511)...), true}, {append([]byte{0x80}, make([]byte, 512)...), false},
	} {
		_, err := parseKey(map[string]any{"kty": "RSA", "n": text(v.n), "e": "AQAB"}, "RS256")
		if v.good != (err == nil) {
			t.Errorf("%d bytes, the first %#x: %v", len(v.n), v.n[0], err)
		}
	}
}

// The members of RFC 7638, written here by hand.
func TestThumbprintsAreThoseOfTheRFC(t *testing.T) {
	for name, d := range devices(t) {
		k, err := parseKey(d.jwk, name)
		if err != nil {
			t.Fatal(err)
		}
		var canonical string
		switch d.jwk["kty"] {
		case "EC":
			canonical = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, d.jwk["crv"], d.jwk["x"], d.jwk["y"])
		case "OKP":
			canonical = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, d.jwk["crv"], d.jwk["x"])
		default:
			canonical = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, d.jwk["e"], d.jwk["n"])
		}
		h := crypto.SHA256.New()
		h.Write([]byte(canonical))
		if want := text(h.Sum(nil)); k.thumbprint != want || !json.Valid([]byte(canonical)) {
			t.Errorf("%s: %s, want %s", name, k.thumbprint, want)
		}
	}
}

func TestDPoP(t *testing.T) { conformance.DPoP(t, NewProofs()) }
