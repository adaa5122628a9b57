// Package user names the users of X.
package user

// ID is X's number for a user, kept as text because it exceeds what JSON
// numbers hold exactly.
type ID string

// A User is a person or organisation on X.
type User struct {
	ID       ID
	Username string // handle without @
	Name     string // as displayed
}
