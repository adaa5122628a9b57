// Package memory keeps every store in the memory of one process: for trying
// things out and for tests. Nothing outlives the process, and replicas do not
// see each other's.
package memory

import (
	"context"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

// A Store holds all stores, empty at first.
type Store struct {
	deliveries     *Deliveries
	vault          *Vault
	registry       *Registry
	authorizations *Authorizations
	codes          *Codes
	sessions       *Sessions
	signingKeys    *SigningKeys
	operators      *Operators
	uses           *Uses
	quota          *Quota
	heads          *Heads
	usage          *Usage
	budgets        *Budgets
	replies        *Replies
}

var (
	_ ports.Pinger = (*Store)(nil)
	_ ports.Clock  = (*Store)(nil)
)

// Open returns an empty store.
func Open() *Store {
	usage := NewUsage()
	return &Store{
		deliveries: NewDeliveries(),
		vault:      NewVault(), registry: NewRegistry(), authorizations: NewAuthorizations(), codes: NewCodes(),
		sessions: NewSessions(), signingKeys: NewSigningKeys(), operators: NewOperators(), uses: NewUses(),
		quota: NewQuota(), heads: NewHeads(), usage: usage, budgets: NewBudgets(usage), replies: NewReplies(),
	}
}

// Vault returns the store of grants.
func (s *Store) Vault() ports.TokenVault { return s.vault }

// Registry returns the store of client applications, API keys and X Apps.
func (s *Store) Registry() ports.Registry { return s.registry }

// Authorizations returns the store of sign-ins that are under way.
func (s *Store) Authorizations() ports.Authorizations { return s.authorizations }

// Codes returns the store of authorization codes.
func (s *Store) Codes() ports.Codes { return s.codes }

// Sessions returns the store of sessions.
func (s *Store) Sessions() ports.Sessions { return s.sessions }

// SigningKeys returns the store of signing keys.
func (s *Store) SigningKeys() ports.SigningKeys { return s.signingKeys }

// Operators returns the store of operators.
func (s *Store) Operators() ports.Operators { return s.operators }

// Uses returns the store of when credentials were last used.
func (s *Store) Uses() ports.Uses { return s.uses }

// Quota returns the store of counts.
func (s *Store) Quota() ports.QuotaStore { return s.quota }

// Changes returns the counts of what has changed.
func (s *Store) Changes() ports.Changes { return &Changes{s} }

// Heads returns the store of the newest versions of what is kept elsewhere.
func (s *Store) Heads() ports.Heads { return s.heads }

// Usage returns the store of what calls came to.
func (s *Store) Usage() ports.Usage { return s.usage }

// Budgets returns the store of budgets.
func (s *Store) Budgets() ports.Budgets { return s.budgets }

// Replies returns the store of calls with idempotency keys.
func (s *Store) Replies() ports.Replies { return s.replies }

// Ping returns nil unless ctx has ended: memory is always there.
func (s *Store) Ping(ctx context.Context) error { return ended(ctx) }

// Now returns the time of the one process that the store is in.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return moment(time.Now()), ended(ctx) }

// Close ends the store's goroutines. Counting calls fails afterwards.
func (s *Store) Close() error { return s.quota.Close() }

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the request ended before it was served").Because(err)
	}
	return nil
}

func missing(noun string) error { return fault.New(fault.NotFound, "there is no such %s", noun) }

func taken(noun string) error { return fault.New(fault.Conflict, "there is such a %s already", noun) }

func overtaken(noun string) error {
	return fault.New(fault.Conflict, "the %s was changed meanwhile; read it again", noun)
}

func errUsed() error { return fault.New(fault.Conflict, "the code was used before") }

// moment is t as every store keeps it.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

var errClosed = errors.New("the store is closed")
