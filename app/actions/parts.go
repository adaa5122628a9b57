package actions

import (
	"context"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// grants gives access tokens.
type grants interface {
	Warm(ctx context.Context, app client.AppID, id oauth.GrantID) (oauth.Grant, error)
	Access(ctx context.Context, g oauth.Grant) (secret.Text, error)
	Distrust(ctx context.Context, g oauth.Grant) (oauth.Grant, error)
}

// xapps opens X Apps.
type xapps interface {
	Get(ctx context.Context, id xapp.ID) (ports.XApp, error)
}

// consents asks users for more than they have allowed.
type consents interface {
	StepUp(ctx context.Context, app client.App, e oauth.Extension) (url string, err error)
}

// A toll is what a call must pay before X is asked: calls of a limit, money of a
// budget. settle is told once how the call ended: with X's answer, to which it
// may add headers, or with the error in its place. ErrUnsent in the error's chain
// means that X was not asked.
type toll interface {
	Enter(ctx context.Context, who ports.Caller, call ports.Call) (settle ports.Settle, err error)
}

// A bound is a toll that knows which calls it would never let in.
type bound interface {
	Fits(who ports.Caller, call ports.Call) error
}

// replays have a call with an idempotency key performed once. They ask and
// return X's answer, or return the answer to the first call with the key. ask
// tells, by sent, that X is about to be asked; where that fails X is not.
type replays interface {
	Once(
		ctx context.Context, who ports.Caller, key string, call ports.Call, body []byte,
		ask func(ctx context.Context, sent func(context.Context) error) (ports.Reply, error),
	) (ports.Reply, error)
}

// resolver finds out what became of a call with a key. After nil it may be asked
// for again with the same key.
type resolver interface {
	Resolve(
		ctx context.Context, who ports.Caller, key string,
		look func(context.Context, ports.Call) (ports.Reply, error),
	) error
}

// cache answers reads from what X answered before, or asks.
type cache interface {
	Through(
		ctx context.Context, who ports.Caller, call ports.Call, directives string,
		ask func(context.Context) (ports.Reply, error),
	) (ports.Reply, error)
}

// Tolls are paid in this order.
func Tolls(t ...toll) []toll { return t }

// Parts are what the service works with. Tolls, Replays and Cache may be missing;
// Apps, Keys, Resolver and Now are for deliveries.
type Parts struct {
	Grants   grants
	Consents consents
	XApps    xapps
	X        ports.TwitterGateway
	Observer ports.Observer
	Tolls    []toll
	Replays  replays
	Cache    cache
	Resolver resolver
	Apps     apps
	Keys     apikeys
	Now      func() time.Time // that replicas have in common
}
