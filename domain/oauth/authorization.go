package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/secret"
	"perch/domain/xapp"
)

// AuthorizationTTL is how long a user may take at X.
const AuthorizationTTL = 10 * time.Minute

// An Authorization is a sign-in that is under way between the redirect to X and
// X's callback. It remembers both sides: what Perch asked of X, and what the
// client application asked of Perch.
type Authorization struct {
	ID       string     // digest of the state sent to X
	Verifier secret.Box // of Perch's own challenge to X
	Browser  string     // digest of the cookie that binds the browser
	XApp     xapp.ID
	Expires  time.Time

	App       client.AppID
	Redirect  string // the client's redirect URI, already matched
	State     string // the client's state, given back untouched
	Challenge string // the client's S256 code challenge
	Scopes    Scopes
	JKT       string // thumbprint of the key that the client wants its code bound to (RFC 9449 section 10)

	Mode    Mode
	Extends GrantID // the grant that is to get more scopes
	Session string  // the session that asked for it, if one did
}

// A Mode says how a sign-in ends.
type Mode string

// A sign-in ends with a code for the client application, with a cookie for the
// browser, or with more scopes for a grant that is there.
const (
	ModeCode   Mode = ""
	ModeCookie Mode = "cookie"
	ModeExtend Mode = "extend"
)

// A Callback is what the browser brings back from X.
type Callback struct {
	State  string
	Code   secret.Text
	Error  string      // as X names it, "" if the user approved
	Cookie secret.Text // that bound the browser

	Held map[client.AppID]secret.Text // session cookies that came along, by client application
}

// VerifierLabel is the kind of box an authorization holds.
const VerifierLabel = "authorization.verifier"

// Label is what the verifier is sealed under.
func (a Authorization) Label() string { return secret.Label(VerifierLabel, a.ID, string(a.App)) }

// Digest names a random value without keeping it.
func Digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// Challenge is the S256 code challenge of a verifier (RFC 7636 section 4.2).
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// IsChallenge reports whether s can be an S256 code challenge.
func IsChallenge(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// IsVerifier reports whether s is a code verifier (RFC 7636 section 4.1).
func IsVerifier(s string) bool {
	if len(s) < 43 || len(s) > 128 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
			!strings.ContainsRune("-._~", r)
	}) < 0
}
