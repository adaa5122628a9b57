package ports

import (
	"context"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/xapp"
)

// Registry keeps client applications, their API keys, and X Apps.
type Registry interface {
	Apps() Applications
	Keys() APIKeys
	XApps() XApps
}

// Applications keeps client applications.
type Applications interface {
	// Create stores a new application with its first version, or returns
	// fault.Conflict if the ID is taken.
	Create(ctx context.Context, a client.App) (client.App, error)

	// Get returns the application, or fault.NotFound.
	Get(ctx context.Context, id client.AppID) (client.App, error)

	// Swap replaces old by next; fault.Conflict if another writer came first,
	// fault.NotFound if there is no such application.
	Swap(ctx context.Context, old, next client.App) (client.App, error)

	// List returns up to n applications with IDs greater than after, in order.
	List(ctx context.Context, after client.AppID, n int) ([]client.App, error)
}

// APIKeys keeps what is known of API keys; never a key.
type APIKeys interface {
	// Create stores a new key with its first version, or returns
	// fault.Conflict if the ID or the digest is taken.
	Create(ctx context.Context, k apikey.Key) (apikey.Key, error)

	// Get returns the key, or fault.NotFound.
	Get(ctx context.Context, id apikey.ID) (apikey.Key, error)

	// ByDigest returns the key with one of the digests, or fault.NotFound.
	ByDigest(ctx context.Context, digests []string) (apikey.Key, error)

	// Swap replaces old by next; fault.Conflict if another writer came first,
	// fault.NotFound if there is no such key. The digest of a key never changes.
	Swap(ctx context.Context, old, next apikey.Key) (apikey.Key, error)

	// List returns up to n keys with IDs greater than after, in order; those
	// of one application, or of all where app is empty.
	List(ctx context.Context, app client.AppID, after apikey.ID, n int) ([]apikey.Key, error)
}

// XApps keeps developer apps of X, their secrets sealed.
type XApps interface {
	// Create stores a new X App with its first version, or returns
	// fault.Conflict if the ID is taken.
	Create(ctx context.Context, x xapp.App) (xapp.App, error)

	// Get returns the X App, or fault.NotFound.
	Get(ctx context.Context, id xapp.ID) (xapp.App, error)

	// Swap replaces old by next; fault.Conflict if another writer came first,
	// fault.NotFound if there is no such X App.
	Swap(ctx context.Context, old, next xapp.App) (xapp.App, error)

	// Delete removes the X App, or returns fault.NotFound.
	Delete(ctx context.Context, id xapp.ID) error

	// List returns up to n X Apps with IDs greater than after, in order.
	List(ctx context.Context, after xapp.ID, n int) ([]xapp.App, error)
}
