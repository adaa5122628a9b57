// Package idempotency says what is known of a call that is to be performed once,
// and what follows from it.
package idempotency

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

// Window is how long a key is kept after its call, in hours.
const Window = 24

// mostKey is how long a key may be, in characters.
const mostKey = 255

// A Key is what a client calls a call by, so that it is performed once: 1 to 255
// printable ASCII characters.
type Key string

// ParseKey reads the value of an Idempotency-Key header: a string of structured
// fields (RFC 9651 section 3.3.3), as draft-ietf-httpapi-idempotency-key-header
// has it, or the bare key, as many clients send it. Both forms of a key are the
// same key. Anything else is fault.Invalid.
func ParseKey(header string) (Key, error) {
	text := strings.Trim(header, " \t")
	if strings.HasPrefix(text, `"`) {
		return quoted(text)
	}
	if strings.ContainsAny(text, " \t,\"") {
		return "", malformed(`put a key with spaces, commas or quotes in double quotes`)
	}
	return checked(text)
}

// quoted reads a string of structured fields.
func quoted(text string) (Key, error) {
	var key strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' && i == len(text)-1:
			return checked(key.String())
		case c == '"':
			return "", malformed("nothing may follow the closing quote")
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			key.WriteByte(text[i])
		case c == '\\':
			return "", malformed("a backslash stands only before a quote or another backslash")
		default:
			key.WriteByte(c)
		}
	}
	return "", malformed("the closing quote is missing")
}

func checked(text string) (Key, error) {
	if text == "" || len(text) > mostKey {
		return "", malformed("it must have 1 to 255 characters")
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return "", malformed("it may hold printable ASCII characters alone")
		}
	}
	return Key(text), nil
}

func malformed(why string) error {
	return fault.New(fault.Invalid, "the Idempotency-Key is not well-formed: %s", why).
		Named("idempotency-key-malformed")
}

// coded marks a segment whose key is in base64url, because a path cannot hold it.
const coded = "b64."

// Segment is the key as a segment of a URL's path.
func (k Key) Segment() string {
	if strings.HasPrefix(string(k), coded) || strings.ContainsAny(string(k), `/\;%`) || k == "." || k == ".." {
		return coded + base64.RawURLEncoding.EncodeToString([]byte(k))
	}
	return url.PathEscape(string(k))
}

// OfSegment reads a segment of a path, of which the escapes are decoded.
func OfSegment(segment string) (Key, error) {
	if code, ok := strings.CutPrefix(segment, coded); ok {
		text, err := base64.RawURLEncoding.DecodeString(code)
		if err != nil {
			return "", malformed("what follows b64. must be base64url without padding")
		}
		return checked(string(text))
	}
	return checked(segment)
}

// Scope names the key among those of everybody: keys of other client
// applications, or of other grants of the same one, are other keys. It does not
// tell the key.
func (k Key) Scope(app client.AppID, grant oauth.GrantID) string {
	return digest("idempotency", string(app), string(grant), string(k))
}

// A Subject is what a call is known by when it comes again.
type Subject struct {
	Method, Path, Query string
	Body                []byte // nil where it streams
	Type                string // of a body that streams
	Length              int64  // of a body that streams; -1 if not known
}

// Fingerprint is the same for the same call under the same key. Of a body that
// streams it knows no more than the type and the length.
func (k Key) Fingerprint(s Subject) string {
	body := sha256.Sum256(s.Body)
	return digest("call", string(k), s.Method, s.Path, s.Query, hex.EncodeToString(body[:]), s.Type,
		strconv.FormatInt(s.Length, 10))
}

func digest(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(secret.Label(kind, parts...)))
	return hex.EncodeToString(sum[:])
}
