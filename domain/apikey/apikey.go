// Package apikey describes API keys, by which client applications are known.
package apikey

import (
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
)

// ID names a key without being it.
type ID string

// Kind says who may hold a key.
type Kind string

// A publishable key may stand in a page: it only starts a sign-in. A secret key
// belongs to a server and acts.
const (
	Publishable Kind = "publishable"
	Secret      Kind = "secret"
)

// A Key is what is kept of an API key; the key itself is shown once, when made.
type Key struct {
	ID      ID
	App     client.AppID
	Kind    Kind
	Hint    string        // first and last characters, for people
	Digest  string        // peppered HMAC of the key
	Grant   oauth.GrantID // the one grant it acts for, if it is bound
	AppOnly bool          // may perform actions with the X App's own bearer
	Created time.Time
	Expires time.Time // zero: never
	Revoked time.Time // zero: not
	Version int64     // set by the store
}

// Prefix is how keys of the kind begin.
func (k Kind) Prefix() string {
	if k == Publishable {
		return "pk_"
	}
	return "sk_"
}

// KindOf tells by its prefix which kind of key s claims to be.
func KindOf(s string) (Kind, bool) {
	switch {
	case strings.HasPrefix(s, Publishable.Prefix()):
		return Publishable, true
	case strings.HasPrefix(s, Secret.Prefix()):
		return Secret, true
	}
	return "", false
}

// Hint shortens a key for lists: enough to tell keys apart, too little to use.
func Hint(key string) string {
	if len(key) < 16 {
		return ""
	}
	return key[:6] + "…" + key[len(key)-4:]
}

// Good reports whether the key may be used at now.
func (k Key) Good(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}
