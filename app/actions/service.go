// Package actions performs actions of X API v2 for client applications.
package actions

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/xapi"
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

// Service performs actions.
type Service struct {
	grants   grants
	consents consents
	xapps    xapps
	quotas   ports.QuotaStore
	limit    quota.Limit
	x        ports.TwitterGateway
	observer ports.Observer
}

// New returns the service. Each client application may perform limit.Max
// actions in each limit.Window; zero means no limit.
func New(
	g grants, c consents, xs xapps, q ports.QuotaStore, limit quota.Limit, x ports.TwitterGateway, o ports.Observer,
) *Service {
	return &Service{g, c, xs, q, limit, x, o}
}

// A Request is one action a caller wants performed.
type Request struct {
	ID      string // of the request
	Actor   string
	App     client.App
	Grant   oauth.GrantID // empty: none named
	Scopes  oauth.Scopes  // narrower than the grant's; empty: no narrowing
	Session session.ID    // of the caller; empty for a server
	AppOnly bool          // may use the X App's own bearer
	Actions []string      // narrower than the application's; empty: no narrowing
	Call    ports.Call    // without X App and token, which are set here
}

// Do performs one action and returns X's answer, whatever it says. An error
// means that X gave none, or was not asked. Its steps are the story of a
// request: permit, admit, authenticate, send, write down.
func (s *Service) Do(ctx context.Context, r Request) (reply ports.Reply, err error) {
	began := time.Now()
	event := audit.Event{
		At: began.UTC(), Request: r.ID, Actor: r.Actor, App: r.App.ID, XApp: r.App.XApp,
		Grant: r.Grant, Verb: r.Call.Action.ID,
	}
	defer func() {
		event.Status, event.Transaction = reply.Status, reply.Transaction
		event.Outcome, event.Err, event.Duration = outcome(reply, err), err, time.Since(began)
		s.observer.Observe(context.WithoutCancel(ctx), event)
	}()

	if err := permit(r); err != nil {
		return reply, err
	}
	call := r.Call
	call.XApp = r.App.XApp
	body, err := hold(&call) // first: it may take a while, and what is looked at now must still be so
	if err != nil {
		return reply, err
	}
	as, err := s.credential(ctx, r)
	if err != nil {
		return reply, err
	}
	event.User = as.grant.User.ID
	if err := s.admit(ctx, r.App); err != nil {
		return reply, err
	}
	if call.Token, err = as.token(ctx); err != nil {
		return reply, err
	}
	reply, err = s.x.Do(ctx, call)
	if err != nil || reply.Status != 401 || as.distrust == nil {
		return reply, err
	}
	return s.again(ctx, call, as, body, reply)
}

// permit refuses what the client application may not do, or what its key leaves
// out of that.
func permit(r Request) error {
	act := r.Call.Action
	switch {
	case !r.App.Permits(act):
		return fault.New(fault.Forbidden, "this client application may not perform %s; an operator can allow it", act.ID).
			Named("action-not-allowed")
	case len(r.Actions) > 0 && !xapi.Covers(r.Actions, act):
		return fault.New(fault.Forbidden, "this key may not perform %s, which its application may; "+
			"use another key, or ask the operator of this Perch to allow it", act.ID).Named("key-action-not-allowed")
	}
	return nil
}

// again repeats a call that X refused as unauthenticated, which means that it
// did not perform it, with another token. A body that has been streamed away
// cannot be repeated; the client is asked to.
func (s *Service) again(
	ctx context.Context, call ports.Call, as credential, body func() io.Reader, refused ports.Reply,
) (ports.Reply, error) {
	_ = refused.Body.Close()
	token, err := as.distrust(ctx)
	if err != nil {
		return ports.Reply{Status: refused.Status, Transaction: refused.Transaction}, err
	}
	if body == nil {
		return ports.Reply{Status: refused.Status, Transaction: refused.Transaction},
			fault.New(fault.Unavailable, "X wanted a newer access token, which is there now; send the request again").
				Named("send-again").After(time.Second)
	}
	call.Body, call.Token = body(), token
	reply, err := s.x.Do(ctx, call)
	if err == nil && reply.Status == 401 {
		_ = reply.Body.Close()
		return reply, fault.New(fault.Upstream, "X refuses even a fresh access token; X may be having trouble. "+
			"Try again in a minute, and let the user connect again if this lasts").Named("x-unauthorized").
			After(time.Minute)
	}
	return reply, err
}

// hold keeps a body that is small by its shape, so that it is whole before X
// sees any of it and can be sent twice. It returns how to have it again, or nil
// where it is streamed.
func hold(call *ports.Call) (body func() io.Reader, err error) {
	switch {
	case call.Body == nil:
		return func() io.Reader { return nil }, nil
	case call.Action.Body == xapi.Upload:
		return nil, nil
	}
	b, err := io.ReadAll(call.Body)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || call.Action.Body == xapi.NoBody && call.Action.Method != "POST" {
		call.Body, call.Length = nil, 0 // some clients send {} where X wants nothing
		return func() io.Reader { return nil }, nil
	}
	body = func() io.Reader { return bytes.NewReader(b) }
	call.Body, call.Length = body(), int64(len(b))
	return body, nil
}

func (s *Service) admit(ctx context.Context, app client.App) error {
	if s.limit.Max == 0 {
		return nil
	}
	d, err := s.quotas.Take(ctx, "app:"+string(app.ID), s.limit)
	if err != nil || d.Allowed {
		return err
	}
	return fault.New(fault.Limited, "this client application has used its %d calls of this window; "+
		"this is Perch's limit, not X's", d.Limit).Named("client-rate-limit").After(time.Until(d.Reset))
}

func outcome(reply ports.Reply, err error) audit.Outcome {
	switch {
	case err == nil && reply.Status < 400:
		return audit.Done
	case reply.Status == 0 && !errors.Is(err, fault.Unavailable) && !errors.Is(err, fault.Upstream) &&
		fault.KindOf(err) != fault.Internal:
		return audit.Refused
	}
	return audit.Failed
}
