package xsim

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Entry is one thing that really happened in the box.
type Entry struct {
	At      time.Time         `json:"at"`
	Type    string            `json:"type"`
	App     string            `json:"app,omitempty"`  // client ID
	User    string            `json:"user,omitempty"` // user ID
	Object  string            `json:"object,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

type details = map[string]string

// Fingerprint names a token without giving it away: the first 12 hex digits of
// its SHA-256. The ledger knows tokens by this name only.
func Fingerprint(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}

// Ledger returns everything that happened so far, oldest first. It only grows.
func (s *Sim) Ledger() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := slices.Clone(s.ledger)
	for i := range entries {
		entries[i].Details = maps.Clone(entries[i].Details)
	}
	return entries
}

// note writes into the ledger. Callers hold the lock.
func (s *Sim) note(kind, app, user, object string, more details) {
	s.ledger = append(s.ledger, Entry{
		At: s.now(), Type: kind, App: app, User: user, Object: object, Details: more,
	})
}

// noteBy is note for what a call does.
func (s *Sim) noteBy(c *call, kind, object string, more details) {
	s.note(kind, c.cred.app, c.user(), object, more)
}

// record writes the call itself into the ledger, before its reply goes out.
func (s *Sim) record(c *call, a reply, rule *rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := c.cred.kind
	if kind == nobody || kind == oauth1 {
		kind = "none"
	}
	more := details{
		"action": c.name, "method": c.r.Method, "path": c.r.URL.Path, "status": strconv.Itoa(a.status),
		"credential": kind, "headers": headerNames(c), "executed": strconv.FormatBool(c.executed),
	}
	if c.cred.access != "" {
		more["access_fp"] = c.cred.access
	}
	if rule != nil {
		more["mischief"] = rule.Kind
		s.note("mischief.done", c.cred.app, c.user(), rule.ID, details{"kind": rule.Kind, "action": c.name})
	}
	s.note("call", c.cred.app, c.user(), c.name, more)
	s.log.Debug("call", "action", c.name, "status", a.status, "credential", kind, "user", c.user())
}

// headerNames lists the names of the request's headers, never their values.
func headerNames(c *call) string {
	names := make([]string, 0, len(c.r.Header))
	for name := range c.r.Header {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}
