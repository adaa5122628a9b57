package xsim

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lifetimes X documents.
const (
	codeLife   = 30 * time.Second
	accessLife = 2 * time.Hour
)

// The kinds of credential a call can carry.
const (
	nobody = ""
	byUser = "user"
	byApp  = "app"
	oauth1 = "oauth1"
)

// A Token is what the token endpoint answers with.
type Token struct {
	Access    string
	Refresh   string // empty without offline.access
	ExpiresIn int    // seconds
	Scope     string // separated by spaces
}

// A credential is what the Authorization header turned out to be.
type credential struct {
	kind   string
	app    string // client ID
	user   string
	access string // fingerprint
	scopes []string
}

// A family is one consent and every token that came of it.
type family struct {
	id, app, user string
	scopes        []string
	dead          bool
}

// An accessToken belongs to a family and dies with it.
type accessToken struct {
	family  *family
	expires time.Time
	revoked bool
}

// A refreshToken works once.
type refreshToken struct {
	family *family
	spent  bool
}

// An authCode is an authorization code: one use, thirty seconds.
type authCode struct {
	app, user, redirect, challenge, method string
	scopes                                 []string
	expires                                time.Time
	used                                   bool
}

// An authority issues and checks every credential.
type authority struct {
	apps    map[string]*App // by client ID
	codes   map[string]*authCode
	access  map[string]*accessToken
	refresh map[string]*refreshToken
	n       int // families so far
}

func newAuthority() authority {
	return authority{
		apps: map[string]*App{}, codes: map[string]*authCode{},
		access: map[string]*accessToken{}, refresh: map[string]*refreshToken{},
	}
}

// mint makes a token whose first word says what it is, so that a leak is easy to see.
func mint(kind string) string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return "sim_" + kind + "_" + base64.RawURLEncoding.EncodeToString(b)
}

// identify finds out whose token an Authorization header carries.
func (o *authority) identify(header string, now time.Time) credential {
	scheme, token, _ := strings.Cut(header, " ")
	if strings.EqualFold(scheme, "OAuth") {
		return credential{kind: oauth1}
	}
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return credential{}
	}
	if t, ok := o.access[token]; ok {
		if t.revoked || t.family.dead || !now.Before(t.expires) {
			return credential{access: Fingerprint(token)}
		}
		return credential{
			kind: byUser, app: t.family.app, user: t.family.user, access: Fingerprint(token), scopes: t.family.scopes,
		}
	}
	for _, a := range o.apps {
		if a.Bearer == token {
			return credential{kind: byApp, app: a.ClientID, access: Fingerprint(token)}
		}
	}
	return credential{access: Fingerprint(token)}
}

// issue gives a family its next tokens.
func (s *Sim) issue(f *family) Token {
	t := Token{Access: mint("access"), ExpiresIn: int(accessLife / time.Second), Scope: strings.Join(f.scopes, " ")}
	s.oauth.access[t.Access] = &accessToken{family: f, expires: s.now().Add(accessLife)}
	if slices.Contains(f.scopes, "offline.access") {
		t.Refresh = mint("refresh")
		s.oauth.refresh[t.Refresh] = &refreshToken{family: f}
	}
	return t
}

// found starts the family of a new consent.
func (s *Sim) found(app, user string, scopes []string) *family {
	s.oauth.n++
	return &family{id: fmt.Sprintf("family-%d", s.oauth.n), app: app, user: user, scopes: scopes}
}

// kill ends a family: none of its tokens works any more.
func (s *Sim) kill(f *family, why string) {
	if f.dead {
		return
	}
	f.dead = true
	s.note("family.killed", f.app, f.user, f.id, details{"reason": why})
}

func traces(t Token, f *family) details {
	d := details{"access_fp": Fingerprint(t.Access), "scope": t.Scope, "family": f.id}
	if t.Refresh != "" {
		d["refresh_fp"] = Fingerprint(t.Refresh)
	}
	return d
}

// Issue returns a pair of tokens as if the user had just approved the app in a
// browser. It fails for an unknown app, user or scope.
func (s *Sim) Issue(clientID, userID string, scopes []string) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.oauth.apps[clientID]; !ok {
		return Token{}, fmt.Errorf("xsim: there is no app with client ID %q", clientID)
	}
	if _, ok := s.people.byID[userID]; !ok {
		return Token{}, fmt.Errorf("xsim: there is no user with ID %q", userID)
	}
	for _, scope := range scopes {
		if scopeWords(scope) == "" {
			return Token{}, fmt.Errorf("xsim: X has no scope %q", scope)
		}
	}
	f := s.found(clientID, userID, slices.Clone(scopes))
	t := s.issue(f)
	s.note("consent.approved", clientID, userID, f.id, details{"scope": t.Scope, "by": "Issue"})
	s.note("token.issued", clientID, userID, f.id, traces(t, f))
	return t, nil
}
