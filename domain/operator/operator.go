// Package operator describes the people and programs that run a Perch.
package operator

import "time"

// ID names an operator.
type ID string

// A Role says how far an operator may go. Each role may do what those before it
// may.
type Role string

// A viewer looks. An operator looks after client applications, keys and grants.
// An owner looks after X Apps and other operators too.
const (
	Viewer Role = "viewer"
	Keeper Role = "operator"
	Owner  Role = "owner"
)

// Roles lists the roles, the least powerful first.
func Roles() []Role { return []Role{Viewer, Keeper, Owner} }

// Covers reports whether the role may do what needed may. A role that there is
// not covers nothing.
func (r Role) Covers(needed Role) bool {
	return r.rank() > 0 && needed.rank() > 0 && r.rank() >= needed.rank()
}

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Keeper:
		return 2
	case Owner:
		return 3
	}
	return 0
}

// An Operator is what is kept of one: the token is shown once, when made.
type Operator struct {
	ID      ID
	Name    string
	Role    Role
	Hint    string // first and last characters of the token, for people
	Digest  string // peppered HMAC of the token
	Created time.Time
	Expires time.Time // zero: never
	Revoked time.Time // zero: not
	Version int64     // set by the store
}

// Good reports whether the operator may act at now.
func (o Operator) Good(now time.Time) bool {
	return o.Revoked.IsZero() && (o.Expires.IsZero() || now.Before(o.Expires))
}
