package memory

import (
	"context"

	"perch/ports"
)

// Changes is a ports.Changes.
type Changes struct{ store *Store }

var _ ports.Changes = (*Changes)(nil)

func (c *Changes) Count(ctx context.Context) (ports.Counts, error) {
	if err := ended(ctx); err != nil {
		return ports.Counts{}, err
	}
	r := c.store.registry
	return ports.Counts{
		Grants: c.store.vault.grants.changes.Load(), Applications: r.apps.apps.changes.Load(),
		Keys: r.keys.keys.changes.Load(), XApps: r.xapps.xapps.changes.Load(),
		Sessions: c.store.sessions.sessions.changes.Load(),
	}, nil
}

// Wait has nobody to tell: there are no replicas.
func (c *Changes) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ended(ctx)
}
