package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/session"
	"perch/ports"
)

// A Device holds a key of its own and proves it (RFC 9449), as browsers and
// servers do, with ES256.
type Device struct {
	key  *ecdsa.PrivateKey
	x, y string
}

// NewDevice returns a device with a new key.
func NewDevice(t testing.TB) Device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4, then x and y
	if err != nil {
		t.Fatal(err)
	}
	return Device{key, encoded(point[1:33]), encoded(point[33:])}
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func digest(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// JKT is the thumbprint of the device's key (RFC 7638).
func (d Device) JKT() string {
	return encoded(digest(`{"crv":"P-256","kty":"EC","x":"` + d.x + `","y":"` + d.y + `"}`))
}

// Prove returns a proof for the method and the URL made just now. The changes
// add to its claims or take the place of some; nil takes one out.
func (d Device) Prove(t testing.TB, method, url string, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	head := map[string]any{
		"typ": "dpop+jwt", "alg": "ES256", "jwk": map[string]string{"kty": "EC", "crv": "P-256", "x": d.x, "y": d.y},
	}
	var parts []string
	for _, v := range []any{head, claims} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, encoded(text))
	}
	text := strings.Join(parts, ".")
	r, s, err := ecdsa.Sign(rand.Reader, d.key, digest(text))
	if err != nil {
		t.Fatal(err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encoded(signature[:])
}

// Hash is the claim ath for an access token.
func Hash(token string) string { return encoded(digest(token)) }

// DPoP checks that the reader keeps the contract of ports.DPoP.
func DPoP(t *testing.T, p ports.DPoP) {
	d := NewDevice(t)
	t.Run("what a proof says is read", func(t *testing.T) {
		proof := d.Prove(t, "POST", "https://perch.example/oauth/token",
			map[string]any{"jti": "one", "iat": 1700000000, "ath": Hash("token"), "nonce": "n"})
		got, err := p.Read(proof)
		want := session.Proof{
			JKT: d.JKT(), ID: "one", Method: "POST", URL: "https://perch.example/oauth/token", Token: Hash("token"),
			Nonce: "n", Issued: time.Unix(1700000000, 0).UTC(),
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("what does not fit its signature is refused", func(t *testing.T) {
		mine, other := d.Prove(t, "GET", "https://a.example/", nil), d.Prove(t, "GET", "https://b.example/", nil)
		a, b := strings.Split(mine, "."), strings.Split(other, ".")
		swapped, bare := a[0]+"."+b[1]+"."+a[2], a[0]+"."+a[1]+"."
		for _, proof := range []string{swapped, bare, "", "x", mine + ".", mine + "A"} {
			_, err := p.Read(proof)
			if fault.KindOf(err) != fault.Invalid || fault.SlugOf(err) != session.BadProof {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("algorithms are those of public keys", func(t *testing.T) {
		all := p.Algorithms()
		symmetric := func(a string) bool { return a == "none" || strings.HasPrefix(a, "HS") }
		if !slices.Contains(all, "ES256") || slices.ContainsFunc(all, symmetric) {
			t.Errorf("they are %v", all)
		}
	})
}
