package warm_test

import (
	"context"
	"testing"

	"perch/adapters/memory"
	"perch/adapters/warm"
	"perch/ports"
	"perch/ports/conformance"
)

// A replica is what one process has before the stores.
type replica struct {
	watch    *warm.Watch
	vault    *warm.Vault
	registry *warm.Registry
	sessions *warm.Sessions
}

// stores are what replicas share.
type stores interface {
	Vault() ports.TokenVault
	Registry() ports.Registry
	Sessions() ports.Sessions
}

// before returns a replica that looks after itself until the test ends.
func before(t *testing.T, s stores, c ports.Changes) *replica {
	t.Helper()
	w := warm.New(c)
	r := &replica{w, w.Vault(s.Vault()), w.Registry(s.Registry()), w.Sessions(s.Sessions())}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

// fresh returns a replica before an empty store in memory.
func fresh(t *testing.T) *replica {
	t.Helper()
	s := memory.Open()
	t.Cleanup(func() { _ = s.Close() })
	return before(t, s, s.Changes())
}

// Whoever writes and reads at one replica sees no difference.
func TestConformance(t *testing.T) {
	t.Run("TokenVault", func(t *testing.T) {
		conformance.TokenVault(t, func(t *testing.T) ports.TokenVault { return fresh(t).vault })
	})
	t.Run("TokenVault, warm", func(t *testing.T) {
		conformance.TokenVault(t, func(t *testing.T) ports.TokenVault { return fresh(t).vault.Warm() })
	})
	t.Run("Applications, warm", func(t *testing.T) {
		conformance.Applications(t, func(t *testing.T) ports.Applications { return fresh(t).registry.Warm().Apps() })
	})
	t.Run("APIKeys, warm", func(t *testing.T) {
		conformance.APIKeys(t, func(t *testing.T) ports.APIKeys { return fresh(t).registry.Warm().Keys() })
	})
	t.Run("XApps, warm", func(t *testing.T) {
		conformance.XApps(t, func(t *testing.T) ports.XApps { return fresh(t).registry.Warm().XApps() })
	})
	t.Run("Sessions, warm", func(t *testing.T) {
		conformance.Sessions(t, func(t *testing.T) ports.Sessions { return fresh(t).sessions.Warm() })
	})
}
