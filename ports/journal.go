package ports

import (
	"context"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
)

// A Renewal is a pair that X gave in exchange for a grant's refresh token. It is
// all there is of the grant's permission until the vault has it.
type Renewal struct {
	Attempt    string // the holder of the lease under which X was asked
	Grant      oauth.GrantID
	App        client.AppID
	XApp       xapp.ID
	User       user.ID
	Generation int64 // of the grant when its refresh token was presented
	Pair       oauth.Pair
	At         time.Time // when X answered
}

// Journal keeps renewals until the vault has them, close to the process and, as
// far as it can, beyond its end. Attempts do not share an entry.
type Journal interface {
	// Reserve makes room for the renewal of an attempt that is about to be made,
	// so that Keep cannot fail for want of it. No room is fault.Unavailable.
	Reserve(ctx context.Context, attempt string) error

	// Keep stores the renewal of an attempt, in place of what was kept or
	// reserved for it before. When it returns nil the renewal is there.
	Keep(ctx context.Context, r Renewal) error

	// Drop forgets what was kept or reserved for an attempt. It is no error if
	// there is nothing.
	Drop(ctx context.Context, attempt string) error

	// Pending returns the renewals that were kept and not dropped, the oldest
	// first. Entries that cannot be read are left out, and stay.
	Pending(ctx context.Context) ([]Renewal, error)
}
