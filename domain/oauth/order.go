package oauth

// Supersedes reports whether g, which another store kept, knows more than old,
// which this one keeps of the same grant: newer tokens, or that the permission
// has ended. An older generation never does, for its refresh token is used up;
// and what has ended comes back only if the user gave it anew.
func (g Grant) Supersedes(old Grant) bool {
	switch {
	case g.Generation < old.Generation:
		return false
	case old.State == Revoked:
		return g.Created.After(old.Created)
	case g.State == Revoked:
		return true
	}
	return g.Generation > old.Generation
}
