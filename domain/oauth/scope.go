package oauth

import (
	"slices"
	"strings"

	"perch/domain/fault"
)

// Scopes is a set of scopes: sorted, without repeats, joined by single spaces,
// which is also how OAuth writes them (RFC 6749 section 3.3).
type Scopes string

// Offline is the scope for which X issues a refresh token.
const Offline = "offline.access"

// Everything lists the scopes X documents for API v2, ads aside.
const Everything Scopes = "block.read block.write bookmark.read bookmark.write broadcast.read broadcast.write " +
	"dm.read dm.write follows.read follows.write like.read like.write list.read list.write media.write " +
	"mute.read mute.write offline.access space.read timeline.read tweet.moderate.write tweet.read " +
	"tweet.write users.email users.read"

// ParseScopes reads scopes separated by spaces. It refuses characters that
// RFC 6749 does not allow in one.
func ParseScopes(s string) (Scopes, error) {
	if len(s) > 1000 {
		return "", fault.New(fault.Invalid, "scope is longer than 1000 characters").Named("invalid-scope")
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return "", fault.New(fault.Invalid, "scope holds a character that is not allowed in one").
				Named("invalid-scope")
		}
	}
	return ScopesOf(strings.Fields(s)), nil
}

// ScopesOf makes a set of the list.
func ScopesOf(list []string) Scopes {
	list = slices.Clone(list)
	slices.Sort(list)
	return Scopes(strings.Join(slices.Compact(list), " "))
}

// List returns the scopes one by one.
func (s Scopes) List() []string { return strings.Fields(string(s)) }

// Has reports whether the scope is in the set.
func (s Scopes) Has(scope string) bool { return slices.Contains(s.List(), scope) }

// Missing lists the needed scopes that are not in the set.
func (s Scopes) Missing(needed []string) []string {
	var missing []string
	have := s.List()
	for _, n := range needed {
		if !slices.Contains(have, n) {
			missing = append(missing, n)
		}
	}
	return missing
}

// Both returns the scopes that are in s and in t.
func (s Scopes) Both(t Scopes) Scopes {
	var both []string
	for _, x := range s.List() {
		if t.Has(x) {
			both = append(both, x)
		}
	}
	return ScopesOf(both)
}

// And returns the scopes that are in s or in t.
func (s Scopes) And(t Scopes) Scopes { return ScopesOf(append(s.List(), t.List()...)) }
