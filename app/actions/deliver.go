package actions

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/session"
	"perch/domain/xapi"
	"perch/ports"
)

// apps knows client applications.
type apps interface {
	Get(ctx context.Context, id client.AppID) (client.App, error)
}

// apikeys knows API keys.
type apikeys interface {
	Get(ctx context.Context, id apikey.ID) (apikey.Key, error)
}

// Allows refuses a call that could not be performed now for any reason but the
// time: what may be done is looked up as it is stored, not as the client said.
// X is not asked.
func (s *Service) Allows(ctx context.Context, d delivery.Delivery, c delivery.Call) error {
	r, err := s.allowed(ctx, d, c)
	if err != nil {
		return err
	}
	for _, t := range s.Tolls {
		if b, ok := t.(bound); ok {
			err = cmp.Or(err, b.Fits(ports.Caller{App: r.App, Grant: r.Grant}, r.Call))
		}
	}
	return err
}

// Deliver performs a call that was accepted before, as Do does, with the
// delivery's idempotency key. If an earlier attempt's answer was lost it looks at
// X what became of that first. With ErrUnsent in an error's chain X was not asked.
// When the delivery's time or its turn is over it only looks: a call whose key is
// free then is fault.Conflict named delivery.TooLate.
// If nobody can find out whether it was, that is fault.Conflict named
// idempotency-unknown, without a time after which to try again.
func (s *Service) Deliver(ctx context.Context, d delivery.Delivery, c delivery.Call) (ports.Reply, error) {
	for tried := false; ; tried = true {
		r, err := s.allowed(ctx, d, c)
		if err != nil {
			return ports.Reply{}, unsent(err)
		}
		reply, err := s.Do(ctx, r)
		if fault.SlugOf(err) != keyUnknown || s.Resolver == nil || tried {
			return reply, err
		}
		if err := s.resolve(ctx, r); err != nil {
			return reply, err
		}
	}
}

// keyUnknown says of a call with a key that X was asked, and nobody knows whether
// it was done.
const keyUnknown = "idempotency-unknown"

// resolve finds out what became of a call of which that is unknown. After nil it
// may be asked for again. Perch looks for itself and shows the client nothing of
// it, so what the client may do is no bound; what the user has allowed is.
func (s *Service) resolve(ctx context.Context, r Request) error {
	as, err := s.credential(ctx, r)
	if err == nil {
		look := func(ctx context.Context, call ports.Call) (ports.Reply, error) {
			ours := Request{
				ID: r.ID, Actor: r.Actor, App: r.App, Grant: r.Grant, AppOnly: r.AppOnly, Batch: true,
				Fresh: "no-store", Later: r.Later, Call: call,
			}
			ours.App.Actions = []string{call.Action.ID}
			return s.Do(ctx, ours)
		}
		who := ports.Caller{Actor: r.Actor, App: r.App, Grant: as.grant.ID, User: as.grant.User.ID, Batch: true}
		err = s.Resolver.Resolve(ctx, who, r.Key, look)
	}
	f, ok := errors.AsType[*fault.Error](err)
	if err == nil || !ok {
		return err
	}
	switch f.Kind {
	case fault.Invalid, fault.Unauthenticated, fault.Forbidden, fault.NotFound, fault.WrongMethod, fault.TooLarge:
		return fault.New(fault.Conflict, "X was asked before, and this Perch may not look whether it was done: %s", f.Say).
			Named(keyUnknown)
	case fault.Conflict, fault.Limited, fault.Upstream, fault.Unavailable, fault.Internal:
	}
	return f.Because(nil) // that the look was not sent says nothing of the call
}

// allowed is the call as a request, if it may be performed.
func (s *Service) allowed(ctx context.Context, d delivery.Delivery, c delivery.Call) (r Request, err error) {
	act, ok := xapi.ByID(d.Action)
	if !ok {
		return r, fault.New(fault.NotFound, "this Perch does not know the action %s any more", d.Action).
			Named("no-such-action")
	}
	app, err := s.Apps.Get(ctx, d.App)
	switch {
	case errors.Is(err, fault.NotFound):
		return r, fault.New(fault.Forbidden, "the client application is gone").Named("app-suspended")
	case err != nil:
		return r, err
	case app.Status == client.Suspended:
		return r, fault.New(fault.Forbidden, "this client application is suspended").Named("app-suspended")
	}
	if c, err = s.present(ctx, d, c); err != nil {
		return r, err
	}
	r = Request{
		ID: c.Request, Actor: d.Actor, App: app, Grant: d.Grant, Scopes: c.Scopes, Session: session.ID(c.Session),
		AppOnly: c.AppOnly, Actions: c.Actions, Batch: true, Key: quoted(d.Key), Until: d.Limit(), Later: d.ID,
		Call: ports.Call{Action: act, Params: c.Params, Query: c.Query, Type: c.Type, Accept: "application/json"},
	}
	if c.Body != "" {
		r.Call.Body, r.Call.Length = strings.NewReader(c.Body), int64(len(c.Body))
	}
	if err := permit(r); err != nil {
		return r, err
	}
	if _, err = s.credential(ctx, r); err != nil {
		return r, err
	}
	return r, sendable(r.Call)
}

// quoted is a key as the Idempotency-Key header has it.
func quoted(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

// present is the call as the key with which it was asked allows it now. One that
// may not be used any more, or not for the grant, is refused.
func (s *Service) present(ctx context.Context, d delivery.Delivery, c delivery.Call) (delivery.Call, error) {
	if c.Session != "" || s.Keys == nil {
		return c, nil
	}
	key, err := s.Keys.Get(ctx, apikey.ID(d.Actor))
	switch {
	case err == nil && !key.Revoked.IsZero(), errors.Is(err, fault.NotFound):
		return c, fault.New(fault.Forbidden, "the key with which this was asked was revoked; ask with another one").
			Named("key-revoked")
	case err != nil:
		return c, err
	case !key.Good(s.Now()):
		return c, fault.New(fault.Forbidden, "the key with which this was asked has expired while it waited; "+
			"ask with another one").Named("key-expired")
	case d.Grant != "" && !key.ActsFor(d.Grant):
		return c, fault.New(fault.Forbidden, "the key with which this was asked is bound to other grants by now; "+
			"ask with another one, or let an operator add the grant to it").Named("bound-key")
	}
	c.Actions, c.AppOnly = key.Actions, c.AppOnly && key.AppOnly
	return c, nil
}
