// Package session describes what a browser holds after a sign-in: credentials
// of Perch, never of X.
package session

import (
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/user"
)

// How long the parts of a session last.
const (
	CodeTTL    = 60 * time.Second    // an authorization code
	AccessTTL  = 10 * time.Minute    // an access token
	SessionTTL = 30 * 24 * time.Hour // a session that is not used
	CookieTTL  = 90 * 24 * time.Hour // a session in a cookie, however much it is used
	KeyTTL     = 30 * 24 * time.Hour // a signing key signs
)

// ID names a session.
type ID string

// A Code is an authorization code of Perch, kept by its digest.
type Code struct {
	Digest    string
	App       client.AppID
	Redirect  string
	Challenge string
	Grant     oauth.GrantID
	User      user.ID
	Scopes    oauth.Scopes
	Session   ID     // the session it opens
	JKT       string // thumbprint of the key its tokens will be bound to; empty: not said
	Expires   time.Time
}

// A Session is one signed-in browser.
type Session struct {
	ID       ID
	App      client.AppID
	Grant    oauth.GrantID
	User     user.ID
	Scopes   oauth.Scopes
	Current  string // digest of the newest refresh token
	Previous string // digest of the one before, good until Current is used
	JKT      string // thumbprint of the key it is bound to (RFC 9449); empty: none
	Cookie   bool   // it is held by a cookie; there are no tokens
	Expires  time.Time
	Revoked  time.Time // zero: not
	Created  time.Time
	Version  int64 // set by the store
}

// Good reports whether the session may be used at now.
func (s Session) Good(now time.Time) bool { return s.Revoked.IsZero() && now.Before(s.Expires) }

// Rotate exchanges the refresh token with digest presented for one with digest
// next. The token before the newest stays good until the newest is used, so
// that a lost reply does not end the session. An older token returns
// fault.Conflict: somebody else has used it.
func (s Session) Rotate(presented, next string, now time.Time) (Session, error) {
	switch presented {
	case "":
		return Session{}, fault.New(fault.Invalid, "there is no refresh token").Named("invalid-grant")
	case s.Current:
		s.Previous = s.Current
	case s.Previous:
	default:
		return Session{}, fault.New(fault.Conflict, "the refresh token was used before").Named("invalid-grant")
	}
	s.Current, s.Expires = next, now.Add(SessionTTL)
	return s, nil
}

// extendEvery is how much later a session must end for that to be worth a write.
const extendEvery = 24 * time.Hour

// Extend returns a session in a cookie as it is when used at now: it lasts for
// another SessionTTL, but never longer than CookieTTL in all. worth is false
// where that is hardly later than before, so that a session in use is written
// once a day.
func (s Session) Extend(now time.Time) (next Session, worth bool) {
	until := now.Add(SessionTTL)
	if last := s.Created.Add(CookieTTL); until.After(last) {
		until = last
	}
	if !s.Cookie || !s.Good(now) || until.Sub(s.Expires) < extendEvery {
		return s, false
	}
	s.Expires = until
	return s, true
}

// End revokes the session.
func (s Session) End(now time.Time) Session {
	if s.Revoked.IsZero() {
		s.Revoked = now
	}
	return s
}

// Alters reports whether whoever has read old must not go by it any more, now
// that s is stored. New tokens and a later end alter nothing.
func (s Session) Alters(old Session) bool {
	return !s.Revoked.Equal(old.Revoked) || s.Scopes != old.Scopes
}

// Claims is what an access token of Perch says (RFC 9068).
type Claims struct {
	ID      string // jti
	Issuer  string
	App     client.AppID
	Grant   oauth.GrantID
	Session ID
	User    user.ID
	Scopes  oauth.Scopes
	JKT     string // thumbprint of the key the token is bound to (RFC 9449 section 6); empty: none
	Issued  time.Time
	Expires time.Time
}
