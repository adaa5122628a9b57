package ports

import (
	"context"
	"time"

	"perch/domain/secret"
	"perch/domain/session"
)

// Keyring seals secrets and makes digests of those that need only be compared.
type Keyring interface {
	// Seal encrypts with the primary key. The box opens under label only.
	Seal(ctx context.Context, plain secret.Text, label string) (secret.Box, error)

	// Open decrypts a box sealed by any key of the ring. A wrong label, a
	// changed box or a missing key is fault.Internal: it is never the client's
	// doing.
	Open(ctx context.Context, box secret.Box, label string) (secret.Text, error)

	// Digests returns the peppered digests of value, the newest pepper first.
	// What was stored under an older pepper is found by one of the later ones.
	Digests(ctx context.Context, value secret.Text, label string) ([]string, error)

	// Primary names the key that seals. It changes when the ring is rotated; a
	// ring that others rotate notices it within seconds, and opens what they
	// seal at once.
	Primary() string

	// KeyOf names the key that sealed the box, whether the ring has it or not;
	// "" if the box does not tell.
	KeyOf(box secret.Box) string
}

// A SigningKey signs access tokens of Perch. Others learn its public half.
type SigningKey struct {
	ID      string
	Private secret.Box
	Created time.Time
	Retires time.Time // it signs until then; afterwards it only verifies
}

// SigningKeyLabel is the kind of box a signing key holds.
const SigningKeyLabel = "signing.private"

// SigningKeys keeps the signing keys.
type SigningKeys interface {
	// Add stores a key, or returns fault.Conflict if the ID is taken or a
	// stored key retires at the same time or later: of replicas that rotate at
	// once, one succeeds.
	Add(ctx context.Context, k SigningKey) error

	// List returns all keys, the newest first.
	List(ctx context.Context) ([]SigningKey, error)

	// Reseal puts next in place of the key's private half if that still is old.
	// If it is another it returns fault.Conflict, if there is no such key
	// fault.NotFound. Nothing else of a key ever changes.
	Reseal(ctx context.Context, id string, old, next secret.Box) error

	// Sweep removes keys that retired before the given time and returns how many.
	Sweep(ctx context.Context, before time.Time) (int, error)
}

// TokenSigner writes and reads access tokens of Perch (RFC 9068, RFC 7519).
type TokenSigner interface {
	// Sign returns the claims as a signed token. A key that is due is rotated.
	Sign(ctx context.Context, c session.Claims) (secret.Text, error)

	// Verify returns the claims of a token that is ours and has not expired;
	// anything else is fault.Unauthenticated.
	Verify(ctx context.Context, token secret.Text) (session.Claims, error)

	// JWKS returns the public keys as a JSON Web Key Set (RFC 7517).
	JWKS(ctx context.Context) ([]byte, error)
}
