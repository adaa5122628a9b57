package jws

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/session"
)

// FuzzVerify: nothing passes but the very text that was signed, with what was
// said when it was signed.
//
// In text, {token}, {head}, {body} and {sig} stand for a good token and its
// parts, {kid} for the key's ID, {b64:…} for what is written in base64url, and
// {stranger}, {hmac} and {none} for text so far with a signature by another key,
// one made from the public key, and none.
func FuzzVerify(f *testing.F) {
	h := newHouse()
	s := h.signer()
	said := said(time.Now())
	said.Expires = time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	signed, err := s.Sign(f.Context(), said)
	if err != nil {
		f.Fatal(err)
	}
	token := signed.Reveal()
	template := templateOf(f, s, token)
	f.Fuzz(func(t *testing.T, text string) {
		text = template(text)
		claims, err := s.Verify(t.Context(), secret.New(text))
		if text == token {
			if d := cmp.Diff(said, claims); err != nil || d != "" {
				t.Errorf("a good token: %v %s", err, d)
			}
			return
		}
		if err == nil || claims != (session.Claims{}) {
			t.Fatalf("%q passes, and is %+v", text, claims)
		}
		if !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("%q is refused with %v", text, err)
		}
		for part := range strings.SplitSeq(text, ".") {
			if len(part) > 30 && strings.Contains(err.Error(), part) {
				t.Errorf("the refusal of %q quotes it", text)
			}
		}
	})
}

// templateOf returns what fills the good token and forgeries into a text.
func templateOf(f *testing.F, s *Signer, token string) func(string) string {
	f.Helper()
	k := s.chain.Load().keys[0]
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&k.private.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(token, ".")
	fill := strings.NewReplacer("{token}", token, "{head}", parts[0], "{body}", parts[1], "{sig}", parts[2], "{kid}", k.id)
	other := forger{private: stranger, kid: k.id}
	return func(text string) string {
		text = fill.Replace(text)
		for {
			before, rest, found := strings.Cut(text, "{b64:")
			inner, after, closed := strings.Cut(rest, ":b64}")
			if !found || !closed {
				break
			}
			text = before + b64(inner) + after
		}
		for mark, sign := range map[string]func(head, body string) string{
			"{stranger}": other.signed, "{hmac}": func(head, body string) string { return other.hmac(head, body, der) },
			"{none}": func(head, body string) string { return b64(head) + "." + b64(body) + "." },
		} {
			if raw, ok := strings.CutPrefix(text, mark); ok {
				head, body, _ := strings.Cut(raw, "|")
				return sign(head, body)
			}
		}
		return text
	}
}
