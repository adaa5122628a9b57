// Package moving takes what one store keeps to another: client applications,
// their API keys and X Apps, and grants with their tokens. Between the two it is
// records, which hold secrets in the clear and must travel sealed.
package moving

import (
	"context"
	"slices"

	"perch/domain/secret"
	"perch/ports"
)

// Service moves things out of its stores and into them.
type Service struct {
	vault ports.TokenVault
	apps  ports.Applications
	keys  ports.APIKeys
	xapps ports.XApps
	ring  ports.Keyring
}

// New returns the service.
func New(vault ports.TokenVault, registry ports.Registry, ring ports.Keyring) *Service {
	return &Service{vault, registry.Apps(), registry.Keys(), registry.XApps(), ring}
}

// pepperLabel keeps the names of peppers apart from all other digests.
const pepperLabel = "moving.pepper"

// peppers names the peppers of the ring: what each makes of the same word.
func (s *Service) peppers(ctx context.Context) ([]string, error) {
	return s.ring.Digests(ctx, secret.New("pepper"), pepperLabel)
}

// within reports whether all of some are in all.
func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}
