// Package grants gets users' permission at X, keeps it alive and gives it up.
package grants

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// xapps opens the X App a grant belongs to.
type xapps interface {
	Get(ctx context.Context, id xapp.ID) (ports.XApp, error)
}

// sessions ends what was signed in with a grant.
type sessions interface {
	EndAll(ctx context.Context, grant oauth.GrantID, now time.Time) (int, error)
}

// costs are told what Perch asks X by itself, and how that ended.
type costs interface {
	Own(app client.AppID, call ports.Call) func(oauth.GrantID, ports.Reply, error)
}

// uncounted are costs that nobody counts.
type uncounted struct{}

func (uncounted) Own(client.AppID, ports.Call) func(oauth.GrantID, ports.Reply, error) {
	return func(oauth.GrantID, ports.Reply, error) {}
}

// storeClock is the time that all replicas go by.
type storeClock interface {
	Now() time.Time
	Look(ctx context.Context) error
}

// Service manages grants.
type Service struct {
	vault      ports.TokenVault
	warm       ports.TokenVault
	journal    ports.Journal
	pending    ports.Authorizations
	ring       ports.Keyring
	x          ports.TwitterGateway
	breaker    ports.Breaker
	xapps      xapps
	sessions   sessions
	clock      storeClock
	costs      costs
	observer   ports.Observer
	callback   string // where X sends browsers back to
	waitAndSee time.Duration
	loose      loose
	underway   atomic.Int64 // refreshes
}

// Parts are what the service is made of.
type Parts struct {
	Vault      ports.TokenVault
	Warm       ports.TokenVault // the vault for who only looks whether a grant is good; nil: Vault
	Journal    ports.Journal
	Pending    ports.Authorizations
	Keyring    ports.Keyring
	X          ports.TwitterGateway
	Breaker    ports.Breaker
	XApps      xapps
	Sessions   sessions
	Clock      storeClock
	Costs      costs // nil: nobody counts them
	Observer   ports.Observer
	Callback   string
	WaitAndSee time.Duration // zero: the constant of that name
}

// New returns the service.
func New(p Parts) *Service {
	if p.WaitAndSee == 0 {
		p.WaitAndSee = WaitAndSee
	}
	if p.Warm == nil {
		p.Warm = p.Vault
	}
	if p.Costs == nil {
		p.Costs = uncounted{}
	}
	return &Service{
		vault: p.Vault, warm: p.Warm, journal: p.Journal, pending: p.Pending, ring: p.Keyring, x: p.X, breaker: p.Breaker,
		xapps: p.XApps, sessions: p.Sessions, clock: p.Clock, costs: p.Costs, observer: p.Observer, callback: p.Callback,
		waitAndSee: p.WaitAndSee,
	}
}

// Get returns the application's grant. A grant of another application is
// fault.NotFound, like one that does not exist.
func (s *Service) Get(ctx context.Context, app client.AppID, id oauth.GrantID) (oauth.Grant, error) {
	return get(ctx, s.vault, app, id)
}

// Warm is Get for the hot path: it may be behind by as much as replicas may go
// by what they have read before. What it returns may be given to Access and
// Distrust, which look again before they change anything.
func (s *Service) Warm(ctx context.Context, app client.AppID, id oauth.GrantID) (oauth.Grant, error) {
	return get(ctx, s.warm, app, id)
}

func get(ctx context.Context, v ports.TokenVault, app client.AppID, id oauth.GrantID) (oauth.Grant, error) {
	g, err := v.Get(ctx, id)
	if errors.Is(err, fault.NotFound) || (err == nil && app != "" && g.App != app) {
		return oauth.Grant{}, fault.New(fault.NotFound, "this client application has no grant with the given ID; "+
			"GET /v1/grants lists those it has").Named("no-such-grant")
	}
	return g, err
}

// List returns up to n grants of the application, or of all where app is
// empty, after the given one.
func (s *Service) List(
	ctx context.Context, app client.AppID, after oauth.GrantID, n int,
) ([]oauth.Grant, error) {
	return s.vault.List(ctx, app, after, n)
}

// change swaps the grant until it succeeds. edit sees what is stored and may
// return it unchanged to leave it alone.
func (s *Service) change(
	ctx context.Context, id oauth.GrantID, edit func(oauth.Grant) oauth.Grant,
) (oauth.Grant, error) {
	for {
		old, err := s.vault.Get(ctx, id)
		if err != nil {
			return oauth.Grant{}, err
		}
		next := edit(old)
		if next == old {
			return old, nil
		}
		next, err = s.vault.Swap(ctx, old, next)
		if !errors.Is(err, fault.Conflict) {
			return next, err
		}
	}
}

// seal turns what X gave into a pair that may be stored in the grant g.
func (s *Service) seal(ctx context.Context, g oauth.Grant, t ports.Tokens, now time.Time) (oauth.Pair, error) {
	p := oauth.Pair{Scopes: t.Scopes, Expires: now.Add(t.TTL)}
	var err error
	if p.Access, err = s.ring.Seal(ctx, t.Access, g.Label(oauth.AccessLabel)); err != nil {
		return p, err
	}
	if !t.Refresh.Empty() {
		p.Refresh, err = s.ring.Seal(ctx, t.Refresh, g.Label(oauth.RefreshLabel))
	}
	return p, err
}

func (s *Service) openAccess(ctx context.Context, g oauth.Grant) (secret.Text, error) {
	return s.ring.Open(ctx, g.Access, g.Label(oauth.AccessLabel))
}
