package warm

import (
	"context"
	"time"

	"perch/domain/oauth"
	"perch/ports"
)

// A Vault is a ports.TokenVault that reads the store it stands before. What is
// written through it is known at once to those who read through Warm.
type Vault struct {
	ports.TokenVault
	grants *shelf[oauth.GrantID, oauth.Grant]
}

var _ ports.TokenVault = (*Vault)(nil)

// Vault returns a vault before v.
func (w *Watch) Vault(v ports.TokenVault) *Vault {
	// A grant that has to be refreshed is read again: somebody may have done so.
	good := func(g oauth.Grant, now time.Time) bool { return g.State != oauth.Revoked && g.Fresh(now) }
	count := func(n ports.Counts) int64 { return n.Grants }
	return &Vault{v, newShelf[oauth.GrantID](w, count, good, nil)}
}

func (v *Vault) Create(ctx context.Context, g oauth.Grant) (oauth.Grant, error) {
	defer v.grants.drop(g.ID)
	return v.TokenVault.Create(ctx, g)
}

func (v *Vault) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	defer v.grants.drop(old.ID)
	return v.TokenVault.Swap(ctx, old, next)
}

// Warm returns the vault as the hot path reads it.
func (v *Vault) Warm() ports.TokenVault { return warmVault{v} }

type warmVault struct{ *Vault }

func (v warmVault) Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	return v.grants.get(ctx, id, func(ctx context.Context) (oauth.Grant, error) { return v.Vault.Get(ctx, id) })
}
