// Package xapi is the catalogue of X API v2: what each operation is called,
// what it needs, how it moves its bytes and what it costs. It knows nothing of
// HTTP clients or servers.
package xapi

import (
	"net/url"
	"strings"
	"time"
)

// An Action is one operation of X API v2.
type Action struct {
	ID         string // X's operationId
	Method     string
	Path       string // template, as in /2/tweets/{id}
	Tag        string // X's own grouping
	Auth       Auth   // kinds of credential X accepts, none for a public action
	Scopes     string // scopes a user's token needs, separated by spaces
	Body       Body
	Success    int     // status of success; zero means 200
	Stream     bool    // the reply does not end by itself
	Binary     bool    // the reply is a file, not JSON
	Idempotent bool    // repeating the call does no harm
	Self       string  // path parameter that must be the caller's own ID, if any
	Limits     []Limit // as published; X's headers have the last word
	Price      Category
	OwnedRead  bool // cheaper when the user owns the developer app
	Flags      []Flag
}

// Auth is a set of credential kinds.
type Auth uint8

// The kinds of credential X knows, by the names of its OpenAPI description:
// BearerToken, OAuth2UserToken and UserToken.
const (
	AppOnly Auth = 1 << iota
	User
	OAuth1
)

// Body is the form of a request body.
type Body uint8

// The forms of a request body. An Upload is multipart or JSON, as the client likes.
const (
	NoBody Body = iota
	JSON
	Upload
)

// A Limit is a published rate limit: at most N calls in each Window.
type Limit struct {
	Per    Per
	N      int
	Window time.Duration
}

// Per says who is counted.
type Per uint8

// PerUser counts each user's calls through an app. PerApp counts the calls made
// with the app's own token and, for writes, those of all its users together.
const (
	PerUser Per = iota
	PerApp
)

// A Flag is a restriction of the self-serve tiers, or a deprecation.
type Flag string

// Flags, after X's changelog of 2025-08-22 to 2026-04-16.
const (
	Deprecated               Flag = "deprecated"
	SelfServeRemoved         Flag = "self-serve-removed"
	SelfServeNoQuotes        Flag = "self-serve-no-quotes"
	SelfServeReplyIfSummoned Flag = "self-serve-reply-if-summoned"
	SelfServeOneCashtag      Flag = "self-serve-one-cashtag"
)

// ByUser reports whether a user's grant can perform the action.
func (a Action) ByUser() bool { return a.Auth&User != 0 }

// ByApp reports whether the developer app's own bearer can perform the action.
func (a Action) ByApp() bool { return a.Auth&AppOnly != 0 }

// Public reports whether X asks for no credential.
func (a Action) Public() bool { return a.Auth == 0 }

// Private reports whether the action is about private messages.
func (a Action) Private() bool { return a.Tag == "Direct Messages" || a.Tag == "Chat" }

// Status is the status of success, 200 or 201.
func (a Action) Status() int {
	if a.Success == 0 {
		return 200
	}
	return a.Success
}

// Needs lists the scopes a user's token must have.
func (a Action) Needs() []string { return strings.Fields(a.Scopes) }

// Fill returns the action's path with its parameters filled in and escaped.
// It reports false when a parameter is missing, empty or made of dots only.
func (a Action) Fill(params map[string]string) (string, bool) {
	parts := strings.Split(a.Path, "/")
	for i, part := range parts {
		name, ok := parameter(part)
		if !ok {
			continue
		}
		v := params[name]
		if strings.Trim(v, ".") == "" {
			return "", false
		}
		parts[i] = url.PathEscape(v)
	}
	return strings.Join(parts, "/"), true
}

func parameter(segment string) (string, bool) {
	name, ok := strings.CutPrefix(segment, "{")
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(name, "}"), true
}
