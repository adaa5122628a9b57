package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"perch/adapters/httpapi"
	"perch/adapters/keyring"
	"perch/adapters/telemetry"
	"perch/adapters/xhttp"
	"perch/app/access"
	"perch/app/actions"
	"perch/app/cache"
	"perch/app/clients"
	"perch/app/clock"
	"perch/app/grants"
	"perch/app/health"
	"perch/app/operators"
	"perch/app/quotas"
	"perch/app/replays"
	"perch/app/sessions"
	"perch/app/spending"
	"perch/app/usage"
	"perch/app/uses"
	"perch/app/xapps"
	"perch/cmd/internal/config"
	"perch/domain/xapp"
	"perch/ports"
)

// A House is a Perch that is ready to be served.
type House struct {
	Public  *httpapi.Server
	Admin   *httpapi.Server // nil where the settings want none
	Clients *clients.Service
	Grants  *grants.Service
	XApps   *xapps.Service
	Health  *health.Service
	Gateway *xhttp.Gateway
}

// Version is what the program calls itself.
type Version string

func newGateway(cfg config.Config, v Version, o ports.Observer) (*xhttp.Gateway, error) {
	return xhttp.New(xhttp.Config{
		APIURL: cfg.X.APIURL, AuthorizeURL: cfg.X.AuthorizeURL, UserAgent: "perch/" + string(v), Observer: o,
		WaitTimeout: cfg.X.Patience, Rest: cfg.X.Rest, Calls: cfg.X.Calls, Uploads: cfg.X.Uploads,
	})
}

func newXApps(ctx context.Context, s Stores, ring ports.Keyring, cfg config.Config) (*xapps.Service, error) {
	if err := sameXApp(ctx, cfg, s); err != nil {
		return nil, err
	}
	return xapps.New(s.Registry.XApps(), s.Registry.Apps(), ring, ports.XApp{
		ID: xapp.Default, ClientID: cfg.X.ClientID, ClientSecret: cfg.X.ClientSecret,
		Bearer: cfg.X.Bearer, APIKey: cfg.X.APIKey, APISecret: cfg.X.APISecret,
	}), nil
}

func newClients(s Stores, ring ports.Keyring, x *xapps.Service, u *uses.Uses) *clients.Service {
	return clients.New(s.Registry.Apps(), s.Registry.Keys(), ring, x, u).Asking(s.Warm.Registry.Apps())
}

// tokenRest is how long X's token endpoint is left alone between two tries while
// it fails for everybody.
const tokenRest = 15 * time.Second

func newBreaker(o ports.Observer) *xhttp.Breakers { return xhttp.NewBreakers(tokenRest, o) }

// newClock looks at the store's clock before anything is dated.
func newClock(ctx context.Context, s Stores, cfg config.Config) (*clock.Clock, error) {
	c := clock.New(s.Clock, func() time.Time { return time.Now().Add(cfg.ClockOff) })
	return c, c.Look(ctx)
}

func newGrants(
	s Stores, j ports.Journal, ring ports.Keyring, x *xhttp.Gateway, b ports.Breaker, xs *xapps.Service,
	c *clock.Clock, till *spending.Service, o ports.Observer, cfg config.Config,
) *grants.Service {
	return grants.New(grants.Parts{
		Vault: s.Vault, Warm: s.Warm.Vault, Journal: j, Pending: s.Authorizations, Keyring: ring, X: x, Breaker: b, XApps: xs,
		Sessions: s.Sessions, Clock: c, Costs: till, Observer: o, Callback: cfg.Callback(),
	})
}

func newSessions(
	s Stores, ring ports.Keyring, signer ports.TokenSigner, dpop ports.DPoP, c *clients.Service, g *grants.Service,
	now *clock.Clock, cfg config.Config,
) *sessions.Service {
	return sessions.New(sessions.Parts{
		Clients: c, Apps: s.Warm.Registry.Apps(), Grants: g, Codes: s.Codes, Sessions: s.Sessions, Warm: s.Warm.Sessions,
		Signer: signer, DPoP: dpop, Keyring: ring, Quotas: s.Quota, Issuer: cfg.PublicURL,
		Now: now.Now,
	})
}

func newQuotas(s Stores, now *clock.Clock, cfg config.Config) (*quotas.Service, error) {
	rules, err := cfg.Rules()
	return quotas.New(s.Quota, rules, cfg.XWindows != config.Off, now.Now).Among(s.Registry.Apps()), err
}

func newActions(
	s Stores, g *grants.Service, ss *sessions.Service, xs *xapps.Service, x *xhttp.Gateway, o ports.Observer,
	limits *quotas.Service, till *spending.Service, keep *cache.Service, once *replays.Service,
	now *clock.Clock,
) *actions.Service {
	xs = xs.Through(s.Warm.Registry.XApps())
	return actions.New(actions.Parts{
		Apps: s.Warm.Registry.Apps(), Keys: s.Warm.Registry.Keys(), Resolver: resolver{once},
		Grants: g, Consents: ss, XApps: xs, X: x, Observer: o, Tolls: actions.Tolls(limits, till, keep), Cache: keep,
		Replays: once, Now: now.Now,
	})
}

// newCache takes rules that were checked.
func newCache(till *spending.Service, c *clock.Clock, cfg config.Config) (*cache.Service, error) {
	rules, err := cache.Parse(cfg.Cache)
	return cache.New(rules, till, c.Now), err
}

func newUsage(s Stores, till *spending.Service, c *clock.Clock) *usage.Service {
	return usage.New(till, s.Usage, s.Budgets, s.Registry.Apps(), c.Now)
}

// newReplays ends with the clean-up what is still to be written.
func newReplays(s Stores, ring ports.Keyring, c *clock.Clock, cfg config.Config) (*replays.Service, func()) {
	r := replays.New(replays.Parts{
		Replies: s.Replies, Queue: s.Deliveries, Keyring: ring, Now: c.Now, Issuer: cfg.PublicURL,
	})
	return r, r.Close
}

func newGate(s Stores, c *clients.Service, ss *sessions.Service) *access.Gate {
	return access.New(c.Through(s.Warm.Registry.Apps(), s.Warm.Registry.Keys()), ss)
}

// newOperators refuses settings under which nobody could come to manage anything.
func newOperators(
	ctx context.Context, s Stores, ring ports.Keyring, u *uses.Uses, o ports.Observer, cfg config.Config,
) (*operators.Service, func(), error) {
	service := operators.New(operators.Parts{
		Operators: s.Operators, Uses: u, Mark: u.Mark, Keyring: ring, Observer: o, Founding: cfg.AdminToken,
	})
	if cfg.AdminListen == "" || !cfg.AdminTokenOff {
		return service, service.Close, nil
	}
	there, err := service.Enterable(ctx)
	if err == nil && !there {
		err = errors.New("PERCH_ADMIN_TOKEN is off, and there is no good owner who could enter instead: start once " +
			"without that setting, run perch operators add NAME --role owner, and then turn the founding token off")
	}
	return service, service.Close, err
}

func newHealth(s Stores, x *xhttp.Gateway, b *xhttp.Breakers, ring *keyring.Ring) *health.Service {
	parts := []health.Part{{Name: "x", Pinger: x, Holds: func() []xapp.Hold { return append(x.Holds(), b.Holds()...) }}}
	for _, b := range s.Backends {
		name := b.Name
		if name == "" {
			name, _ = config.Backend(b.URL)
		}
		parts = append(parts, health.Part{Name: name, Pinger: b.Ping, Required: b.Required})
	}
	parts = append(parts, health.Part{Name: "keyset", Pinger: ring, Required: true})
	return health.New(parts...)
}

func newObserver(log *slog.Logger) ports.Observer { return telemetry.NewLog(log) }

// doors are the listeners of a house.
type doors struct{ public, admin *httpapi.Server }

func newDoors(cfg config.Config, v Version, s httpapi.Services, log *slog.Logger) (d doors, err error) {
	c := httpapi.Config{
		PublicURL: cfg.PublicURL, Version: string(v), Proxies: cfg.Proxies(),
		Limits: httpapi.Limits{Connections: cfg.MaxConnections, PerAddress: cfg.MaxConnectionsPerAddress},
	}
	if cfg.TLS() {
		if c.Certificate, err = httpapi.OpenCertificate(cfg.TLSCertFile, cfg.TLSKeyFile, log); err != nil {
			return d, fmt.Errorf("PERCH_TLS_CERT_FILE and PERCH_TLS_KEY_FILE: %w", err)
		}
	}
	d.public = httpapi.NewPublic(c, s, log)
	if cfg.AdminListen != "" {
		d.admin = httpapi.NewAdmin(c, s, log)
	}
	return d, nil
}

func newHouse(d doors, s httpapi.Services, x *xhttp.Gateway, _ *tidier, _ *keeper) *House {
	return &House{
		Public: d.public, Admin: d.admin, Clients: s.Clients, Grants: s.Grants,
		XApps: s.XApps, Health: s.Health, Gateway: x,
	}
}
