package ports

import (
	"context"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
)

// TokenVault keeps grants. It sees sealed tokens only.
type TokenVault interface {
	// Create stores a new grant and returns it with its first version. If the
	// ID is taken, or the user already has a grant for the same client
	// application and X App, it returns fault.Conflict.
	Create(ctx context.Context, g oauth.Grant) (oauth.Grant, error)

	// Get returns the grant, or fault.NotFound.
	Get(ctx context.Context, id oauth.GrantID) (oauth.Grant, error)

	// Find returns the user's grant for the application and X App, or
	// fault.NotFound. Revoked grants are found too.
	Find(ctx context.Context, app client.AppID, x xapp.ID, u user.ID) (oauth.Grant, error)

	// Swap replaces old by next if old is still what is stored, and returns
	// next with its new version. If another writer came first it returns
	// fault.Conflict and stores nothing; if there is no such grant,
	// fault.NotFound. The user, application and X App of a grant never change.
	Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error)

	// List returns up to n grants with IDs greater than after, in order; those
	// of one application, or of all where app is empty.
	List(ctx context.Context, app client.AppID, after oauth.GrantID, n int) ([]oauth.Grant, error)
}
