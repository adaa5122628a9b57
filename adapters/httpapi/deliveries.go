package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/app/deliveries"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/field"
	"perch/domain/oauth"
	"perch/domain/xapi"
)

// respondAsync is the preference for an answer before the work is done (RFC 7240
// section 4.1). deliverWithin is the header that says in how many seconds.
const (
	respondAsync  = "respond-async"
	deliverWithin = "Perch-Deliver-Within"
)

// wantsLater reports whether the caller prefers the action to be performed later,
// and it can be. Otherwise the preference is ignored (RFC 7240 section 2).
func (s *Server) wantsLater(r *request, act xapi.Action) bool {
	return deliveries.Takes(act) && r.caller.App.ID != "" && prefersLater(r.joined("Prefer"))
}

// prefersLater reads a Prefer header. Of a preference that is there more than once
// the first counts, and one with an empty value has none.
func prefersLater(header string) bool {
	for _, preference := range field.Split(header, ',') {
		parts := field.Split(preference, ';') // those that follow are its parameters
		if name, value := field.Pair(parts[0]); strings.EqualFold(name, respondAsync) {
			return value == ""
		}
	}
	return false
}

// goesLater reports whether the action is to be performed later. The key of a call
// that was made at once stands for that: it tells what became of it.
func (s *Server) goesLater(r *request, act xapi.Action, key string) (bool, error) {
	if !s.wantsLater(r, act) {
		return false, nil
	}
	used, err := s.services.Deliveries.Used(r.ctx, r.caller.App.ID, r.caller.Grant, act, key)
	return !used, err
}

// checkWithin refuses a time for a delivery that nobody asked for: the action
// would be performed at once.
func (r *request) checkWithin() error {
	if r.has(deliverWithin) && !prefersLater(r.joined("Prefer")) {
		return fault.New(fault.Invalid, "%s is for calls that are made later; send Prefer: %s with it, or leave it out. "+
			"Nothing was done", deliverWithin, respondAsync)
	}
	return nil
}

// deliver takes the call over and says where to look for what becomes of it.
func (s *Server) deliver(r *request, act xapi.Action, params map[string]string, key string) error {
	var within time.Duration
	if text := r.header(deliverWithin); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil || seconds == 0 {
			return fault.New(fault.Invalid, "%s must be a whole number of seconds, at least 1", deliverWithin)
		}
		within = time.Duration(seconds) * time.Second
	}
	if r.body != nil {
		if err := r.body.bound(deliveries.MostBody, s.wait.body, s.wait.small); err != nil {
			return err
		}
	}
	body, err := r.readAll()
	if err != nil {
		return err
	}
	d, err := s.services.Deliveries.Accept(r.ctx, deliveries.Request{
		Actor: r.caller.Actor, App: r.caller.App.ID, Grant: r.caller.Grant, Action: act,
		Key: key, Within: within,
		Call: delivery.Call{
			Request: r.id, Params: params, Query: r.query, Type: r.header(fiber.HeaderContentType), Body: string(body),
			Session: string(r.caller.Session), Scopes: r.caller.Scopes, Actions: r.caller.Actions, AppOnly: r.caller.AppOnly,
		},
	})
	if err != nil {
		return err
	}
	s.leave(r)
	r.c.Set(fiber.HeaderLocation, "/v1/deliveries/"+string(d.ID))
	if !d.Waits() { // the key is of one that has ended: nothing is taken over
		return s.showDelivery(r, d)
	}
	r.c.Status(http.StatusAccepted)
	r.c.Set("Preference-Applied", respondAsync)
	v, err := s.viewDelivery(r, d)
	if err != nil { // it is accepted all the same
		v = viewDelivery(d, "")
	}
	r.json(plainJSON, v)
	return nil
}

// listDeliveries lists the deliveries the caller may see: those of the grants
// that it may act for.
func (s *Server) listDeliveries(r *request) error {
	q, after, n, err := r.paging("state")
	if err != nil {
		return err
	}
	f := delivery.Filter{App: r.caller.App.ID, Grants: r.caller.Grants}
	if r.caller.Grant != "" {
		f.Grants = []oauth.GrantID{r.caller.Grant}
	}
	if len(f.Grants) > 0 && r.caller.AppOnly { // also what the X App does itself
		f.Grants = append(slices.Clone(f.Grants), "")
	}
	return s.answerDeliveries(r, f, q.Get("state"), after, n)
}

func (s *Server) answerDeliveries(r *request, f delivery.Filter, state, after string, n int) error {
	f.State = delivery.State(state)
	if f.State != "" && !slices.Contains(delivery.States(), f.State) {
		return fault.New(fault.Invalid, "the state %q is unknown; deliveries are %s", clip(state, 40),
			strings.Join(texts(delivery.States()), ", "))
	}
	all, err := s.services.Deliveries.List(r.ctx, f, delivery.ID(after), n+1)
	if err != nil {
		return err
	}
	behind, err := s.services.Deliveries.Behind(r.ctx, all...)
	if err != nil {
		return err
	}
	view := func(d delivery.Delivery) deliveryView { return viewDelivery(d, behind[d.ID]) }
	r.json(plainJSON, pageOf(all, n, view, func(d delivery.Delivery) string { return string(d.ID) }))
	return nil
}

func (s *Server) getDelivery(r *request) error {
	d, err := s.ownDelivery(r)
	if err != nil {
		return err
	}
	return s.showDelivery(r, d)
}

// showDelivery answers with the delivery, and with X's reply if the caller may
// perform the action.
func (s *Server) showDelivery(r *request, d delivery.Delivery) error {
	v, err := s.viewDelivery(r, d)
	if err != nil {
		return err
	}
	if s.mayActAs(r, d) {
		reply, err := s.services.Deliveries.Reply(r.ctx, d)
		if err != nil {
			return err
		}
		if v.Outcome != nil && json.Valid(reply) {
			v.Outcome.Reply = reply
		}
	}
	r.json(plainJSON, v)
	return nil
}

func (s *Server) cancelDelivery(r *request) error {
	d, err := s.ownDelivery(r)
	if err != nil {
		return err
	}
	if !s.mayActAs(r, d) {
		return fault.New(fault.Forbidden, "this caller may not perform %s, and so not cancel it; "+
			"use a credential that may", d.Action).Named("key-action-not-allowed")
	}
	if _, err := s.services.Deliveries.Cancel(r.ctx, deliveries.By{Actor: r.caller.Actor, Request: r.id}, d); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// ownDelivery returns the delivery the path names, if the caller may know of it.
func (s *Server) ownDelivery(r *request) (delivery.Delivery, error) {
	d, err := s.services.Deliveries.Get(r.ctx, r.caller.App.ID, delivery.ID(r.param("id")))
	if err == nil && !r.caller.ActsFor(d.Grant) && (d.Grant != "" || !r.caller.AppOnly) {
		return d, deliveries.ErrNone()
	}
	return d, err
}

// mayActAs reports whether the caller may perform the delivery's action, as whom it
// is to be performed.
func (s *Server) mayActAs(r *request, d delivery.Delivery) bool {
	act, ok := xapi.ByID(d.Action)
	return ok && r.mayPerform(act) && (d.Grant != "" || r.caller.AppOnly)
}

// mayPerform reports whether the caller's application and credential are for the
// action.
func (r *request) mayPerform(act xapi.Action) bool {
	switch c := r.caller; {
	case !c.App.Permits(act):
		return false
	case !act.ByUser() && !c.AppOnly:
		return false
	case len(c.Actions) > 0 && !xapi.Covers(c.Actions, act):
		return false
	case c.Session != "":
		return len(c.Scopes.Missing(act.Needs())) == 0
	}
	return true
}

func (s *Server) listAllDeliveries(r *request) error {
	q, after, n, err := r.paging("app", "grant", "state")
	if err != nil {
		return err
	}
	r.event.App = client.AppID(q.Get("app"))
	f := delivery.Filter{App: r.event.App}
	if grant := q.Get("grant"); grant != "" {
		f.Grants = []oauth.GrantID{oauth.GrantID(grant)}
	}
	return s.answerDeliveries(r, f, q.Get("state"), after, n)
}

func (s *Server) cancelAnyDelivery(r *request) error {
	d, err := s.services.Deliveries.Get(r.ctx, "", delivery.ID(r.param("id")))
	if err != nil {
		return err
	}
	r.event.App, r.event.Grant = d.App, d.Grant
	if _, err := s.services.Deliveries.Cancel(r.ctx, deliveries.By{Actor: string(r.by.ID), Request: r.id}, d); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

type deliveryView struct {
	ID           string       `json:"id"`
	AppID        string       `json:"app_id"`
	GrantID      string       `json:"grant_id,omitempty"`
	Action       string       `json:"action"`
	Key          string       `json:"idempotency_key"`
	State        string       `json:"state"`
	Attempts     int          `json:"attempts"`
	CreatedAt    *time.Time   `json:"created_at"`
	DeliverUntil *time.Time   `json:"deliver_until"`
	NextAttempt  *time.Time   `json:"next_attempt_at"`
	Behind       string       `json:"behind,omitempty"` // the delivery that must end before
	DoubtSince   *time.Time   `json:"in_doubt_since"`
	EndedAt      *time.Time   `json:"ended_at"`
	Outcome      *outcomeView `json:"outcome"` // of the last attempt
}

type outcomeView struct {
	Status int             `json:"status,omitempty"` // X's
	Type   string          `json:"type,omitempty"`
	Detail string          `json:"detail,omitempty"`
	Reply  json.RawMessage `json:"reply,omitempty"` // X's
}

// viewDelivery is the delivery with what it waits for.
func (s *Server) viewDelivery(r *request, d delivery.Delivery) (deliveryView, error) {
	behind, err := s.services.Deliveries.Behind(r.ctx, d)
	return viewDelivery(d, behind[d.ID]), err
}

func viewDelivery(d delivery.Delivery, behind delivery.ID) deliveryView {
	v := deliveryView{
		ID: string(d.ID), AppID: string(d.App), GrantID: string(d.Grant), Action: d.Action, Key: d.Key,
		State: string(d.State), Attempts: d.Attempts, CreatedAt: instant(d.Created), DeliverUntil: instant(d.Until),
		DoubtSince: instant(d.Doubt), EndedAt: instant(d.Ended),
		Behind: string(behind),
	}
	if d.State == delivery.Queued && behind == "" {
		v.NextAttempt = instant(d.Next)
	}
	if o := d.Outcome; o.Status != 0 || o.Problem != "" {
		v.Outcome = &outcomeView{Status: o.Status, Detail: o.Detail}
		if o.Problem != "" {
			v.Outcome.Type = typePrefix + o.Problem
		}
	}
	return v
}
