// Package actions performs actions of X API v2 for client applications.
package actions

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"

	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/session"
	"perch/domain/xapi"
	"perch/ports"
)

// Service performs actions.
type Service struct{ Parts }

// New returns the service.
func New(p Parts) *Service { return &Service{p} }

// A Request is one action a caller wants performed.
type Request struct {
	ID      string // of the request
	Actor   string
	Address netip.Addr // of the client
	App     client.App
	Grant   oauth.GrantID // empty: none named
	Scopes  oauth.Scopes  // narrower than the grant's; empty: no narrowing
	Session session.ID    // of the caller; empty for a server
	AppOnly bool          // may use the X App's own bearer
	Actions []string      // narrower than the application's; empty: no narrowing
	Batch   bool          // nobody waits for the answer
	AllUse  bool          // the caller may see what the whole application spends
	Key     string        // the Idempotency-Key; empty: none
	Fresh   string        // the request's Cache-Control
	Until   time.Time     // X is not asked later than that; zero: whenever
	Later   delivery.ID   // that is being sent; empty: the client waits
	Call    ports.Call    // without X App, application and token, which are set here
}

// Do performs one action and returns X's answer, whatever it says. An error
// means that X gave none, or was not asked. Its steps are the story of a
// request: permit, authenticate, once, from memory, or: pay, send, settle. The
// outcome is written down.
func (s *Service) Do(ctx context.Context, r Request) (reply ports.Reply, err error) {
	began := time.Now()
	event := audit.Event{
		At: began.UTC(), Request: r.ID, Actor: r.Actor, App: r.App.ID, XApp: r.App.XApp,
		Grant: r.Grant, Verb: r.Call.Action.ID,
	}
	defer func() {
		event.Status, event.Transaction = reply.Status, reply.Transaction
		event.Outcome, event.Err, event.Duration = outcome(reply, err), err, time.Since(began)
		s.Observer.Observe(context.WithoutCancel(ctx), event)
	}()

	if err := permit(r); err != nil {
		return reply, err
	}
	j := job{call: r.Call, until: r.Until}
	j.call.XApp, j.call.App = r.App.XApp, r.App.ID
	if err := j.hold(); err != nil { // first: it may take a while, and what is looked at now must still be so
		return reply, err
	}
	if j.as, err = s.credential(ctx, r); err != nil {
		return reply, unsent(err)
	}
	event.User = j.as.grant.User.ID
	if err := sendable(j.call); err != nil {
		return reply, unsent(err)
	}
	j.who = ports.Caller{
		Actor: r.Actor, Address: r.Address, App: r.App, Grant: j.as.grant.ID, User: j.as.grant.User.ID, Batch: r.Batch,
		Scopes: j.as.grant.Scopes, AllUse: r.AllUse, Delivery: r.Later,
	}
	if r.Key != "" && s.Replays != nil && r.Call.Action.Method != "GET" {
		return s.Replays.Once(ctx, j.who, r.Key, j.call, j.kept, func(
			ctx context.Context, sent func(context.Context) error,
		) (ports.Reply, error) {
			return s.perform(ctx, j, sent)
		})
	}
	ask := func(ctx context.Context) (ports.Reply, error) { return s.perform(ctx, j, atOnce) }
	if s.Cache != nil && r.Call.Action.Method == "GET" {
		return s.Cache.Through(ctx, j.who, j.call, r.Fresh, ask)
	}
	return ask(ctx)
}

// atOnce is told of calls that nobody needs to know of before.
func atOnce(context.Context) error { return nil }

// A job is a call that is permitted, and on whose account.
type job struct {
	call ports.Call
	who  ports.Caller
	as   credential
	body func() io.Reader // the call's body anew; nil where it streams
	kept []byte           // the body; nil where it streams or there is none

	until time.Time // X is not asked later than that; zero: whenever
}

// perform pays the tolls, asks X, and settles.
func (s *Service) perform(ctx context.Context, j job, sent func(context.Context) error) (reply ports.Reply, err error) {
	settled := make([]ports.Settle, 0, len(s.Tolls))
	defer func() {
		ctx := context.WithoutCancel(ctx)
		for _, settle := range slices.Backward(settled) {
			settle(ctx, &reply, err)
		}
	}()
	if err := s.late(j); err != nil {
		return reply, unsent(err)
	}
	for _, t := range s.Tolls {
		settle, err := t.Enter(ctx, j.who, j.call)
		if err != nil {
			return reply, unsent(err)
		}
		settled = append(settled, settle)
	}
	if j.call.Token, err = j.as.token(ctx); err != nil {
		return reply, unsent(err)
	}
	if err := sent(ctx); err != nil {
		return reply, unsent(err)
	}
	if err := s.late(j); err != nil { // the tolls, the token or the store took their time
		return reply, unsent(err)
	}
	reply, err = s.X.Do(s.inTime(ctx, j), j.call)
	if err != nil || reply.Status != 401 || j.as.distrust == nil {
		return reply, err
	}
	lost := reply.Lost
	reply, err = s.again(ctx, j, reply)
	reply.Lost += lost
	return reply, heard(reply, err)
}

// heard is the error without ErrUnsent where X was asked before all the same.
func heard(reply ports.Reply, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if reply.Lost == 0 || !ok || !errors.Is(err, ports.ErrUnsent) {
		return err
	}
	return f.Because(nil)
}

// late refuses a call whose time is over.
func (s *Service) late(j job) error {
	if j.until.IsZero() || s.Now().Before(j.until) {
		return nil
	}
	return fault.New(fault.Conflict, "the time in which this was to be sent was over before X could be asked").
		Named(delivery.TooLate)
}

// inTime has the gateway look at the time once more, when the call has had to wait
// for a place or is tried again.
func (s *Service) inTime(ctx context.Context, j job) context.Context {
	if j.until.IsZero() {
		return ctx
	}
	return ports.Checked(ctx, func() error { return cmp.Or(ports.Check(ctx), s.late(j)) })
}

// unsent marks an error before which X was not asked.
func unsent(err error) error {
	if errors.Is(err, ports.ErrUnsent) {
		return err
	}
	return &unasked{err}
}

// unasked says of an error that X was not asked, and nothing else.
type unasked struct{ error }

// Unwrap gives the error, and that nothing was sent.
func (u *unasked) Unwrap() []error { return []error{u.error, ports.ErrUnsent} }

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

// sendable refuses what no gateway sends to X.
func sendable(c ports.Call) error {
	if _, _, err := c.Action.Address(c.Params, c.Query); err != nil {
		return err
	}
	_, err := c.Action.Headers(c.Accept, c.Type, c.Body != nil && c.Length != 0)
	return err
}

// again repeats a call that X refused as unauthenticated, which means that it
// did not perform it, with another token. A body that has been streamed away
// cannot be repeated; the client is asked to.
func (s *Service) again(ctx context.Context, j job, refused ports.Reply) (ports.Reply, error) {
	_ = refused.Body.Close()
	known := ports.Reply{Status: refused.Status, Transaction: refused.Transaction, Windows: refused.Windows}
	token, err := j.as.distrust(ctx)
	if err != nil {
		return known, err
	}
	if j.body == nil {
		return known, fault.New(fault.Unavailable,
			"X wanted a newer access token, which is there now; send the request again").
			Named("send-again").After(time.Second)
	}
	if err := s.late(j); err != nil {
		return known, err
	}
	j.call.Fresh = !token.Equal(j.call.Token)
	j.call.Body, j.call.Token = j.body(), token
	reply, err := s.X.Do(s.inTime(ctx, j), j.call)
	if errors.Is(err, ports.ErrUnsent) {
		return known, err
	}
	if err == nil && reply.Status == 401 {
		_ = reply.Body.Close()
		return reply, fault.New(fault.Upstream, "X refuses even a fresh access token; X may be having trouble. "+
			"Try again in a minute, and let the user connect again if this lasts").Named("x-unauthorized").
			After(time.Minute)
	}
	return reply, err
}

// hold keeps a body that is small by its shape, so that it is whole before X
// sees any of it and can be sent twice. Others stream.
func (j *job) hold() error {
	nothing := func() io.Reader { return nil }
	switch {
	case j.call.Body == nil:
		j.body = nothing
		return nil
	case j.call.Action.Body == xapi.Upload:
		return nil
	}
	b, err := io.ReadAll(j.call.Body)
	if err != nil {
		return err
	}
	if len(b) == 0 || j.call.Action.Body == xapi.NoBody && j.call.Action.Method != "POST" {
		j.call.Body, j.call.Length, j.body = nil, 0, nothing // some clients send {} where X wants nothing
		return nil
	}
	j.kept, j.body = b, func() io.Reader { return bytes.NewReader(b) }
	j.call.Body, j.call.Length = j.body(), int64(len(b))
	return nil
}

func outcome(reply ports.Reply, err error) audit.Outcome {
	switch {
	case err == nil && reply.Status < 400:
		return audit.Done
	case errors.Is(err, fault.Conflict),
		reply.Status == 0 && !errors.Is(err, fault.Unavailable) && !errors.Is(err, fault.Upstream) &&
			fault.KindOf(err) != fault.Internal:
		return audit.Refused
	}
	return audit.Failed
}
