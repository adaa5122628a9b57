package httpapi

import (
	"io"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/app/actions"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

// action serves every action of X API v2. Of the client's request the call has
// the action, its parameters, the query, Content-Type, Accept and the body;
// nothing else can reach X.
func (s *Server) action(r *request) error {
	act, params, ok := xapi.Find(r.method, r.path)
	if !ok {
		return unknownAction(r)
	}
	if err := r.checkWithin(); err != nil {
		return err
	}
	key, err := r.idempotencyKey(act)
	if err != nil {
		return err
	}
	later, err := s.goesLater(r, act, key)
	switch {
	case err != nil:
		return err
	case later:
		return s.deliver(r, act, params, key)
	}
	call := ports.Call{
		Action: act, Params: params, Query: r.query,
		Type: r.header(fiber.HeaderContentType), Accept: r.header(fiber.HeaderAccept),
	}
	if act.Stream {
		r.under(s.streams)
	}
	wait, err := s.take(r, &call)
	if err != nil {
		return err
	}
	done := r.within(wait)
	reply, err := s.services.Actions.Do(r.ctx, actions.Request{
		ID: r.id, Actor: r.caller.Actor, Address: r.addr, App: s.appOf(r, act), Grant: r.caller.Grant,
		Scopes: r.caller.Scopes, Session: r.caller.Session, AppOnly: r.caller.AppOnly, Actions: r.caller.Actions,
		Batch: r.caller.Batch, AllUse: r.caller.SeesApp(), Key: key, Fresh: r.joined(fiber.HeaderCacheControl), Call: call,
	})
	done()
	if err != nil {
		r.limitsOf(reply)
		return err
	}
	s.leave(r)
	return s.relay(r, act, reply)
}

func unknownAction(r *request) error {
	methods := xapi.Methods(r.path)
	if len(methods) == 0 {
		return fault.New(fault.NotFound, "X API v2 has no %s; its operations are listed at docs.x.com",
			clip(r.path, 200)).Named("no-such-action")
	}
	r.c.Set(fiber.HeaderAllow, strings.Join(methods, ", "))
	return fault.New(fault.WrongMethod, "X API v2 has no %s %s; Allow lists the methods it has",
		r.method, clip(r.path, 200))
}

// appOf is the caller's application. An action for which X asks no credential
// may be performed by anybody; they are counted together.
func (s *Server) appOf(r *request, act xapi.Action) client.App {
	if r.caller.App.ID == "" && act.Public() {
		return client.App{XApp: xapp.Default, Actions: []string{act.ID}}
	}
	return r.caller.App
}

// take puts the request's body into the call, bounded by the action's shape. It
// returns how long the answer may take.
func (s *Server) take(r *request, call *ports.Call) (wait time.Duration, err error) {
	if r.body == nil {
		r.watch()
		return s.wait.answer, nil
	}
	limit, total := int64(jsonLimit), s.wait.small
	switch call.Action.Body {
	case xapi.NoBody:
		limit = smallLimit // some clients send {} where X wants nothing
	case xapi.Upload:
		limit, total = uploadLimit, s.wait.upload
	case xapi.JSON:
	}
	if err := r.body.bound(limit, s.wait.body, total); err != nil {
		return 0, err
	}
	r.body.whole = r.watch
	call.Body, call.Length = r.body, r.body.length
	return total + s.wait.answer, nil
}

// readAll returns the whole body, which the route has bounded.
func (r *request) readAll() ([]byte, error) {
	if r.body == nil {
		return nil, nil
	}
	return io.ReadAll(r.body)
}
