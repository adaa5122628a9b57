package oauth

import "perch/domain/secret"

// Reseal puts boxes in place that hold the same tokens under another key. To
// whoever refreshes or revokes the grant nothing has happened.
func (g Grant) Reseal(access, refresh secret.Box) Grant {
	g.Access, g.Refresh = access, refresh
	return g
}
