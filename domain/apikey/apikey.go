// Package apikey describes API keys, by which client applications are known.
package apikey

import (
	"net/netip"
	"slices"
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
	ID        ID
	App       client.AppID
	Kind      Kind
	Name      string          // for people; may be empty
	Hint      string          // first and last characters, for people
	Digest    string          // peppered HMAC of the key
	Grants    []oauth.GrantID // those it acts for; empty: any of the application's
	Actions   []string        // what it may do, in the words of xapi.Covers; empty: all that the application may
	Addresses []netip.Prefix  // where it may be used from; empty: anywhere
	AppOnly   bool            // may perform actions with the X App's own bearer
	Batch     bool            // nobody waits for its calls: those of other keys go first
	Created   time.Time
	Expires   time.Time // zero: never
	Revoked   time.Time // zero: not
	Version   int64     // set by the store
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

// Written is how addresses are kept: in CIDR notation.
func Written(addresses []netip.Prefix) []string {
	var list []string
	for _, a := range addresses {
		list = append(list, a.String())
	}
	return list
}

// Read is the other way. What is not in CIDR notation becomes a prefix that
// holds no address, so that a key is never good in more places than was said.
func Read(list []string) []netip.Prefix {
	var addresses []netip.Prefix
	for _, text := range list {
		a, _ := netip.ParsePrefix(text)
		addresses = append(addresses, a)
	}
	return addresses
}

// ActsFor reports whether the key may act for the grant.
func (k Key) ActsFor(g oauth.GrantID) bool { return len(k.Grants) == 0 || slices.Contains(k.Grants, g) }

// From reports whether the key may be used from the address. One that is not
// known is in no range.
func (k Key) From(a netip.Addr) bool {
	return len(k.Addresses) == 0 ||
		slices.ContainsFunc(k.Addresses, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}

// Until returns the key as it ends at the time, or sooner if it did so anyway.
func (k Key) Until(at time.Time) Key {
	if k.Expires.IsZero() || at.Before(k.Expires) {
		k.Expires = at
	}
	return k
}

// Next returns what follows the key: it may do the same, from the same places,
// and lives as long as the key was meant to, counted from now.
func (k Key) Next(now time.Time) Key {
	next := Key{
		App: k.App, Kind: k.Kind, Name: k.Name, Grants: slices.Clone(k.Grants), Actions: slices.Clone(k.Actions),
		Addresses: slices.Clone(k.Addresses), AppOnly: k.AppOnly, Batch: k.Batch,
	}
	if !k.Expires.IsZero() {
		next.Expires = now.Add(k.Expires.Sub(k.Created))
	}
	return next
}

// Good reports whether the key may be used at now.
func (k Key) Good(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}
