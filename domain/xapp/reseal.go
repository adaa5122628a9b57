package xapp

import "perch/domain/secret"

// Reseal puts boxes in place that hold the same secrets under another key.
func (a App) Reseal(clientSecret, bearer, apiSecret secret.Box) App {
	a.ClientSecret, a.Bearer, a.APISecret = clientSecret, bearer, apiSecret
	return a
}
