package oauth

// Alters reports whether whoever has read old must not go by it any more, now
// that g is stored: it was revoked or has come back, it allows something else,
// or the user has connected again. A refresh alters nothing.
func (g Grant) Alters(old Grant) bool {
	return (g.State == Revoked) != (old.State == Revoked) || g.Scopes != old.Scopes ||
		!g.Created.Equal(old.Created) || g.Generation != old.Generation && !old.Unsettled()
}
