package wiring

import (
	"context"
	"sync"

	"perch/adapters/warm"
	"perch/ports"
)

// Warm is how the hot path reads: from what this replica has read before, as
// long as nothing was taken away since.
type Warm struct {
	Vault    ports.TokenVault
	Registry ports.Registry
	Sessions ports.Sessions
}

// A backend that counts its changes; of one that does not, nothing is kept.
type counting interface{ Changes() ports.Changes }

// keepWarm puts what is kept warm before the stores of the backends main, vault
// and registry, and looks after it until the clean-up. The last two may be nil, as
// where Workers KV is: heads are not counted, so they are read each time. Memory is treated as any other:
// it gains nothing, but the way is the same for all, and so are the tests of it.
func keepWarm(ctx context.Context, s Stores, main, vault, registry backend) (Stores, func()) {
	s.Warm = Warm{s.Vault, s.Registry, s.Sessions}
	watches := map[backend]*warm.Watch{}
	for _, b := range []backend{main, vault, registry} {
		if c, ok := b.(counting); ok && watches[b] == nil {
			watches[b] = warm.New(c.Changes())
		}
	}
	if w := watches[main]; w != nil {
		sessions := w.Sessions(s.Sessions)
		s.Sessions, s.Warm.Sessions = sessions, sessions.Warm()
	}
	if w := watches[registry]; w != nil {
		kept := w.Registry(s.Registry)
		s.Registry, s.Warm.Registry = kept, kept.Warm()
	}
	if w := watches[vault]; w != nil {
		grants := w.Vault(s.Vault)
		s.Vault, s.Warm.Vault = grants, grants.Warm()
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, w := range watches {
		running.Go(func() { w.Run(ctx) })
	}
	return s, func() { cancel(); running.Wait() }
}
