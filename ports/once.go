package ports

import (
	"context"
	"time"

	"perch/domain/oauth"
	"perch/domain/session"
)

// Authorizations keeps sign-ins that are under way. Each is taken once.
type Authorizations interface {
	// Put stores an authorization, or returns fault.Conflict if the ID is taken.
	Put(ctx context.Context, a oauth.Authorization) error

	// Take returns the authorization and removes it, in one step: of many
	// takers one gets it and the others get fault.NotFound. One that has
	// expired at now is not found.
	Take(ctx context.Context, id string, now time.Time) (oauth.Authorization, error)

	// Sweep removes what has expired at now and returns how many.
	Sweep(ctx context.Context, now time.Time) (int, error)
}

// Codes keeps authorization codes of Perch. Each is taken once.
type Codes interface {
	// Put stores a code, or returns fault.Conflict if the digest is taken.
	Put(ctx context.Context, c session.Code) error

	// Take returns the code and marks it as used, in one step: of many takers
	// one gets it with a nil error. Later ones get it with fault.Conflict,
	// until it is swept, so that what the first one was given can be revoked.
	// An unknown code is fault.NotFound. Expiry is the caller's to judge.
	Take(ctx context.Context, digest string) (session.Code, error)

	// Sweep removes what expired before the given time and returns how many.
	Sweep(ctx context.Context, before time.Time) (int, error)
}

// Sessions keeps the sessions of browsers.
type Sessions interface {
	// Create stores a new session with its first version, or returns
	// fault.Conflict if the ID is taken.
	Create(ctx context.Context, s session.Session) (session.Session, error)

	// Get returns the session, or fault.NotFound.
	Get(ctx context.Context, id session.ID) (session.Session, error)

	// Swap replaces old by next; fault.Conflict if another writer came first,
	// fault.NotFound if there is no such session.
	Swap(ctx context.Context, old, next session.Session) (session.Session, error)

	// EndAll marks every session of the grant as revoked at now, in one step,
	// and returns how many it ended. Those that have ended stay as they are.
	EndAll(ctx context.Context, grant oauth.GrantID, now time.Time) (int, error)

	// Sweep removes sessions that expired before the given time and returns how many.
	Sweep(ctx context.Context, before time.Time) (int, error)
}
