package jws

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/session"
)

func TestWhatIsSignedIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		token := sign(t, h.signer())
		got, err := h.signer().Verify(t.Context(), token)
		if d := cmp.Diff(said(time.Now()), got); err != nil || d != "" {
			t.Errorf("error %v (-want +got):\n%s", err, d)
		}
		time.Sleep(session.AccessTTL)
		_, err = h.signer().Verify(t.Context(), token)
		if !errors.Is(err, fault.Unauthenticated) || fault.SlugOf(err) != "token-expired" {
			t.Errorf("an expired token: %v", err)
		}
	})
}

func TestATokenIsOfRFC9068(t *testing.T) {
	h := newHouse()
	token := sign(t, h.signer())
	head := header(t, token)
	if head["typ"] != "at+jwt" || head["alg"] != "ES256" || head["kid"] != h.shelf.keys[0].ID || len(head) != 3 {
		t.Errorf("the header is %v", head)
	}
	var members map[string]any
	part(t, token, 1, &members)
	want := map[string]any{
		"iss": issuer, "aud": []any{issuer}, "sub": "42", "client_id": "app", "jti": "jti-1",
		"scope": "tweet.read users.read", "grant": "grant", "sid": "session", "iat": members["iat"], "exp": members["exp"],
	}
	if d := cmp.Diff(want, members); d != "" {
		t.Errorf("claims (-want +got):\n%s", d)
	}
	if members["exp"].(float64)-members["iat"].(float64) != session.AccessTTL.Seconds() {
		t.Error("iat and exp do not fit")
	}
}

func TestJWKSVerifiesWhatIsSigned(t *testing.T) {
	h := newHouse()
	s := h.signer()
	keys := published(t, s) // makes the first key
	token := sign(t, s)
	if len(keys) != 1 || keys[0]["kid"] != header(t, token)["kid"] || keys[0]["kty"] != "EC" ||
		keys[0]["crv"] != "P-256" || keys[0]["alg"] != "ES256" || keys[0]["use"] != "sig" || len(keys[0]) != 7 {
		t.Fatalf("the set is %v", keys)
	}
	point := append([]byte{4}, append(raw(t, keys[0]["x"]), raw(t, keys[0]["y"])...)...)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Parse(token.Reveal(), func(*jwt.Token) (any, error) { return public, nil }); err != nil {
		t.Errorf("the published key does not verify: %v", err)
	}
}

// A forger knows the public key and a good token, or even holds the private key
// for a token that says something we never say.
type forger struct {
	private *ecdsa.PrivateKey
	kid     string
	token   string
}

func (f forger) signed(head, body string) string {
	text := b64(head) + "." + b64(body)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, f.private, sum[:])
	if err != nil {
		panic(err)
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + b64(string(sig[:]))
}

func (f forger) head(alg, typ, more string) string {
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q%s}`, alg, f.kid, typ, more)
}

func (f forger) body(change map[string]any) string {
	now := time.Now().Unix()
	members := map[string]any{
		"iss": issuer, "aud": issuer, "sub": "42", "client_id": "app", "jti": "j", "scope": "tweet.read",
		"grant": "g", "sid": "s", "iat": now, "exp": now + 60,
	}
	for name, v := range change {
		members[name] = v
		if v == nil {
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (f forger) hmac(head, body string, key []byte) string {
	text := b64(head) + "." + b64(body)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return text + "." + b64(string(m.Sum(nil)))
}

func TestForgedTokensAreRefused(t *testing.T) {
	h := newHouse()
	s := h.signer()
	token := sign(t, s)
	k := s.chain.Load().keys[0]
	f := forger{private: k.private, kid: k.id, token: token.Reveal()}
	good(t, s, secret.New(f.signed(f.head("ES256", "at+jwt", ""), f.body(nil)))) // the forger can sign at all

	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&k.private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, forged := range f.forgeries(stranger, der, point) {
		_, err := s.Verify(t.Context(), secret.New(forged))
		if !errors.Is(err, fault.Unauthenticated) || fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(forged) > 40 && strings.Contains(err.Error(), forged[:40]) {
			t.Errorf("%s: the error quotes the token", name)
		}
	}
}

func (f forger) forgeries(stranger *ecdsa.PrivateKey, der, point []byte) map[string]string {
	at, body, parts := f.head("ES256", "at+jwt", ""), f.body(nil), strings.Split(f.token, ".")
	other := forger{private: stranger, kid: f.kid}
	forged := map[string]string{
		"nothing": "", "dots": "..", "two parts": parts[0] + "." + parts[1], "four parts": f.token + ".", "words": "sk_abc",
		"no signature":              parts[0] + "." + parts[1] + ".",
		"alg none":                  b64(f.head("none", "at+jwt", "")) + "." + b64(body) + ".",
		"alg None":                  b64(f.head("None", "at+jwt", "")) + "." + b64(body) + ".",
		"alg empty":                 f.signed(f.head("", "at+jwt", ""), body),
		"alg none, good signature":  f.signed(f.head("none", "at+jwt", ""), body),
		"HS256, public key as DER":  f.hmac(f.head("HS256", "at+jwt", ""), body, der),
		"HS256, public point":       f.hmac(f.head("HS256", "at+jwt", ""), body, point),
		"HS256, empty key":          f.hmac(f.head("HS256", "at+jwt", ""), body, nil),
		"ES384":                     f.signed(f.head("ES384", "at+jwt", ""), body),
		"RS256":                     f.signed(f.head("RS256", "at+jwt", ""), body),
		"typ JWT":                   f.signed(f.head("ES256", "JWT", ""), body),
		"typ as media type":         f.signed(f.head("ES256", "application/at+jwt", ""), body),
		"typ in capitals":           f.signed(f.head("ES256", "AT+JWT", ""), body),
		"no typ":                    f.signed(fmt.Sprintf(`{"alg":"ES256","kid":%q}`, f.kid), body),
		"no kid":                    f.signed(`{"alg":"ES256","typ":"at+jwt"}`, body),
		"kid a number":              f.signed(`{"alg":"ES256","typ":"at+jwt","kid":1}`, body),
		"kid a path":                f.signed(`{"alg":"ES256","typ":"at+jwt","kid":"../../dev/null"}`, body),
		"a jwk in the header":       f.signed(f.head("ES256", "at+jwt", `,"jwk":{"kty":"EC"}`), body),
		"a jku in the header":       f.signed(f.head("ES256", "at+jwt", `,"jku":"https://evil.example"`), body),
		"crit":                      f.signed(f.head("ES256", "at+jwt", `,"crit":["exp"]`), body),
		"alg twice, none first":     b64(`{"alg":"none",`+at[1:]) + "." + b64(body) + ".",
		"alg twice, none last":      f.signed(f.head("ES256", "at+jwt", `,"alg":"none"`), body),
		"typ twice, JWT last":       f.signed(f.head("ES256", "at+jwt", `,"typ":"JWT"`), body),
		"kid twice, other last":     f.signed(f.head("ES256", "at+jwt", `,"kid":"other"`), body),
		"another's key":             other.signed(at, body),
		"signature of zeros":        b64(at) + "." + b64(body) + "." + b64(string(make([]byte, 64))),
		"signature as DER":          b64(at) + "." + b64(body) + "." + b64(string(der)),
		"signature cut":             f.token[:len(f.token)-2],
		"signature longer":          f.token + "AA",
		"another last letter":       f.token[:len(f.token)-1] + string(f.token[len(f.token)-1]+1), // same bytes
		"padding":                   f.token + "=",
		"line end":                  f.token + "\n",
		"space":                     " " + f.token,
		"another body":              parts[0] + "." + b64(body) + "." + parts[2],
		"another header":            b64(f.head("ES256", "at+jwt", " ")) + "." + parts[1] + "." + parts[2],
		"too long":                  f.signed(at, f.body(map[string]any{"scope": strings.Repeat("a", maxToken)})),
		"header no object":          f.signed(`[]`, body),
		"body no object":            f.signed(at, `[]`),
		"body null":                 f.signed(at, `null`),
		"another issuer":            f.signed(at, f.body(map[string]any{"iss": issuer + "/"})),
		"another audience":          f.signed(at, f.body(map[string]any{"aud": "https://api.x.com"})),
		"another audience too":      f.signed(at, f.body(map[string]any{"aud": []string{issuer, "https://api.x.com"}})),
		"no audience in a list":     f.signed(at, f.body(map[string]any{"aud": []string{}})),
		"bound to nothing":          f.signed(at, f.body(map[string]any{"cnf": map[string]any{}})),
		"bound to an empty key":     f.signed(at, f.body(map[string]any{"cnf": map[string]any{"jkt": ""}})),
		"bound by other means":      f.signed(at, f.body(map[string]any{"cnf": map[string]any{"x5t#S256": "a"}})),
		"cnf a text":                f.signed(at, f.body(map[string]any{"cnf": "a"})),
		"expired":                   f.signed(at, f.body(map[string]any{"exp": time.Now().Unix() - 1})),
		"not before tomorrow":       f.signed(at, f.body(map[string]any{"nbf": time.Now().Unix() + 86400})),
		"exp beyond all bounds":     f.signed(at, strings.Replace(body, `"exp":`, `"exp":1e400,"x":`, 1)),
		"signed with ES256 as JSON": `{"payload":"` + parts[1] + `"}`,
	}
	for _, claim := range []string{"iss", "aud", "exp", "iat", "sub", "client_id", "jti", "grant", "sid"} {
		forged["no "+claim] = f.signed(at, f.body(map[string]any{claim: nil}))
	}
	for i := range len(f.token) {
		if i%17 == 0 && f.token[i] != 'A' {
			forged[fmt.Sprintf("byte %d changed", i)] = f.token[:i] + "A" + f.token[i+1:]
		}
	}
	return forged
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func raw(t *testing.T, v any) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(v.(string))
	if err != nil || len(b) != 32 {
		t.Fatalf("a coordinate has %d bytes: %v", len(b), err)
	}
	return b
}

func part(t *testing.T, token secret.Text, i int, to any) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Reveal(), ".")[i])
	if err := errors.Join(err, json.Unmarshal(b, to)); err != nil {
		t.Fatal(err)
	}
}

func header(t *testing.T, token secret.Text) map[string]any {
	t.Helper()
	var head map[string]any
	part(t, token, 0, &head)
	return head
}

func published(t *testing.T, s *Signer) []map[string]any {
	t.Helper()
	text, err := s.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"d"`) {
		t.Error("a private key is published")
	}
	return set.Keys
}
