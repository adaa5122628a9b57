package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"perch/app/actions"
	"perch/app/replays"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/xapi"
	"perch/ports"
)

// A statusView is a replays.Status as clients see it.
type statusView struct {
	Key     string     `json:"key"`
	State   string     `json:"state"`
	Action  string     `json:"action"`
	Outcome int        `json:"status,omitempty"`
	Created time.Time  `json:"created_at"`
	Sent    *time.Time `json:"sent_at,omitempty"`
	Until   *time.Time `json:"kept_until,omitempty"`
	Deliver string     `json:"delivery_url,omitempty"`
	Advice  string     `json:"advice"`
}

func viewStatus(s replays.Status) statusView {
	return statusView{
		Key: string(s.Key), State: string(s.State), Action: s.Action, Outcome: s.Outcome, Created: s.Created,
		Sent: someTime(s.Sent), Until: someTime(s.Until), Deliver: s.Delivery,
		Advice: s.Advice,
	}
}

func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// getOutcome tells what became of the call with the key.
func (s *Server) getOutcome(r *request) error {
	status, err := s.services.Replays.Look(r.ctx, holder(r), keySegment(r))
	if err != nil {
		return err
	}
	r.json(plainJSON, viewStatus(status))
	return nil
}

// resolveOutcome looks at X what became of it, by an action that the caller must
// be allowed like any other.
func (s *Server) resolveOutcome(r *request) error {
	h := holder(r)
	if h.Grant != "" {
		g, err := s.services.Grants.Get(r.ctx, h.App, h.Grant)
		if err != nil {
			return err
		}
		h.User = g.User.ID
	}
	status, err := s.services.Replays.Resolve(r.ctx, h, keySegment(r),
		func(ctx context.Context, call ports.Call) (ports.Reply, error) {
			return s.services.Actions.Do(ctx, actions.Request{
				ID: r.id, Actor: r.caller.Actor, Address: r.addr, App: r.caller.App, Grant: r.caller.Grant,
				Scopes: r.caller.Scopes, Session: r.caller.Session, AppOnly: r.caller.AppOnly, Actions: r.caller.Actions,
				Batch: r.caller.Batch, AllUse: r.caller.SeesApp(), Fresh: "no-store", Call: call,
			})
		})
	if err != nil {
		return err
	}
	r.json(plainJSON, viewStatus(status))
	return nil
}

// forgetOutcome lets the caller use the key again, who has looked himself.
func (s *Server) forgetOutcome(r *request) error {
	if err := s.services.Replays.Forget(r.ctx, holder(r), keySegment(r)); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// holder is the caller, whose keys are those of his application and grant.
func holder(r *request) replays.Holder {
	return replays.Holder{App: r.caller.App.ID, Grant: r.caller.Grant, AppOnly: r.caller.AppOnly, May: r.mayLetGo}
}

// mayLetGo refuses to have a call forgotten, or looked up, for a caller who might
// not have made it.
func (r *request) mayLetGo(action string) error {
	act, ok := xapi.ByID(action)
	if ok && r.mayPerform(act) {
		return nil
	}
	return fault.New(fault.Forbidden, "this caller may not perform %s, and so not say what became of it; "+
		"use a credential that may", action).Named("key-action-not-allowed")
}

// idempotencyKey is the value of the header, "" if there is none, or if it means
// nothing. One that is
// empty, or comes twice, is no key.
func (r *request) idempotencyKey(act xapi.Action) (string, error) {
	values := r.c.Request().Header.PeekAll("Idempotency-Key")
	if len(values) == 0 || act.Method == http.MethodGet {
		return "", nil
	}
	key := string(bytes.Join(values, []byte(", ")))
	_, err := idempotency.ParseKey(key)
	return key, err
}

// keySegment is the segment of the path that names a key; "" where it names none.
func keySegment(r *request) string {
	segment, err := url.PathUnescape(strings.Clone(r.c.Params("key")))
	if err != nil {
		return ""
	}
	return segment
}
