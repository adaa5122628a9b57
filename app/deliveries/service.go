// Package deliveries accepts calls that are performed later, and performs them:
// once, in order, and within their time.
package deliveries

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
)

// MostBody is how many bytes the body of a call may have, and X's reply for it to
// be kept. Sealed, with what belongs to a call, both must fit into one statement
// of any store.
const (
	MostBody = 24 << 10
	mostCall = 36 << 10
)

// actions performs actions. Deliver performs a call once, however often it is
// asked with the same delivery.
type actions interface {
	Allows(ctx context.Context, d delivery.Delivery, c delivery.Call) error
	Deliver(ctx context.Context, d delivery.Delivery, c delivery.Call) (ports.Reply, error)
}

// Parts is what the service is made of.
type Parts struct {
	Store    ports.Deliveries
	Queue    ports.DeliveryQueue
	Replies  ports.Replies // calls made at once, whose keys are theirs
	Actions  actions
	Keyring  ports.Keyring
	Observer ports.Observer
	Now      func() time.Time
	Room     delivery.Room
	Every    time.Duration // how often it looks for what others have left; zero: 5 seconds
}

// Service accepts and performs deliveries.
type Service struct {
	Parts
	holder string
	woken  chan struct{}
}

// New returns the service of one replica.
func New(p Parts) *Service {
	if p.Every == 0 {
		p.Every = 5 * time.Second
	}
	return &Service{Parts: p, holder: rand.Text(), woken: make(chan struct{}, 1)}
}

// A Request is a call that a caller wants performed later.
type Request struct {
	Actor  string
	App    client.AppID
	Grant  oauth.GrantID // empty: the X App acts itself
	Action xapi.Action
	Key    string        // the Idempotency-Key; empty: none
	Within time.Duration // in which it must be sent; zero: a day
	Call   delivery.Call
}

// Accept takes a call over. When it returns a delivery the store has it. What
// could never be performed is refused at once. The same key of one grant gives the
// same delivery, which may have ended, and fault.Conflict if it asks for something
// else.
func (s *Service) Accept(ctx context.Context, r Request) (d delivery.Delivery, err error) {
	now := s.Now()
	d = delivery.Delivery{
		ID: delivery.NewID(now, rand.Text()), App: r.App, Grant: lineOf(r.Action, r.Grant), Actor: r.Actor,
		Action: r.Action.ID, Key: r.Key,
		Created: now, Until: now.Add(delivery.Usual), State: delivery.Queued, Next: now,
	}
	defer func() { s.told(ctx, "accept", By{Actor: r.Actor, Request: r.Call.Request}, d, err) }()
	if d.Key, err = keyOf(r.Key, d.ID); err != nil {
		return d, err
	}
	if err = check(r); err != nil {
		return d, err
	}
	if r.Within > 0 {
		d.Until = now.Add(r.Within)
	}
	if err = s.Actions.Allows(ctx, d, r.Call); err != nil {
		return d, err
	}
	if d.Call, err = s.seal(ctx, d, r.Call); err != nil {
		return d, err
	}
	stored, err := s.Store.Put(ctx, d, s.Room)
	switch {
	case errors.Is(err, fault.Conflict) && stored.ID != "":
		return stored, s.same(ctx, stored, r)
	case errors.Is(err, fault.Limited):
		return d, fault.New(fault.Limited, "%d deliveries of this grant, or %d of its client application, are waiting, "+
			"which is as many as may; wait for some to end, or cancel some: GET /v1/deliveries", s.Room.Line, s.Room.App).
			Named("too-many-deliveries").After(time.Minute)
	case err != nil:
		return d, err
	}
	stored = s.doubt(ctx, stored, r)
	s.wake()
	return stored, nil
}

// Takes reports whether calls of the action can be performed later: writes whose
// body is JSON, or none.
func Takes(a xapi.Action) bool {
	return a.Method != "GET" && a.Body != xapi.Upload && !a.Stream && !a.Binary && !a.Public()
}

// keyOf is the key that the header holds, or one that nobody else has.
func keyOf(header string, id delivery.ID) (string, error) {
	if header == "" {
		return string(id), nil
	}
	key, err := idempotency.ParseKey(header)
	return string(key), err
}

func check(r Request) error {
	switch {
	case !Takes(r.Action):
		return fault.New(fault.Invalid, "%s cannot be performed later; send it without Prefer: respond-async", r.Action.ID)
	case len(r.Call.Body) > MostBody:
		return fault.New(fault.TooLarge, "the body of a call that is performed later may have %d bytes", MostBody)
	case !utf8.ValidString(r.Call.Body) || r.Call.Body != "" && !json.Valid([]byte(r.Call.Body)):
		return fault.New(fault.Invalid, "the body of a call that is performed later must be JSON in UTF-8")
	case r.Within < 0 || r.Within > delivery.Longest:
		return fault.New(fault.Invalid, "a delivery may wait for at most %d seconds, which are seven days",
			int(delivery.Longest.Seconds()))
	}
	return nil
}

// same refuses a key that was used for something else.
func (s *Service) same(ctx context.Context, d delivery.Delivery, r Request) error {
	c, err := s.call(ctx, d)
	if err != nil {
		return err
	}
	if d.Action != r.Action.ID || !c.Same(r.Call) {
		return fault.New(fault.Conflict, "this Idempotency-Key was used for another call; use a new key for each call").
			Named("idempotency-key-reused")
	}
	return nil
}

// Get returns the delivery if it is the application's, or anybody's where app is
// empty.
func (s *Service) Get(ctx context.Context, app client.AppID, id delivery.ID) (delivery.Delivery, error) {
	d, err := s.Store.Get(ctx, id)
	if errors.Is(err, fault.NotFound) || err == nil && app != "" && d.App != app {
		return delivery.Delivery{}, ErrNone()
	}
	return d, err
}

// ErrNone says that the caller has no such delivery.
func ErrNone() error {
	return fault.New(fault.NotFound, "there is no delivery with the given ID; it may have been removed, "+
		"a week after it ended").Named("no-such-delivery")
}

// List returns up to n deliveries that the filter chooses, with IDs greater than
// after, in order.
func (s *Service) List(
	ctx context.Context, f delivery.Filter, after delivery.ID, n int,
) ([]delivery.Delivery, error) {
	return s.Store.List(ctx, f, after, n)
}

// Reply returns X's reply to a delivery, nil if there is none or it was too long
// to keep.
func (s *Service) Reply(ctx context.Context, d delivery.Delivery) ([]byte, error) {
	if d.Outcome.Reply.Empty() {
		return nil, nil
	}
	text, err := s.Keyring.Open(ctx, d.Outcome.Reply, d.Label(delivery.ReplyLabel))
	return []byte(text.Reveal()), err
}

// By is who does something, and with which request.
type By struct{ Actor, Request string }

// Cancel ends a delivery that waits. One that is being sent, or has ended, is
// fault.Conflict.
func (s *Service) Cancel(ctx context.Context, by By, d delivery.Delivery) (delivery.Delivery, error) {
	for {
		next, err := d.Cancel(s.Now())
		if err != nil {
			return d, err
		}
		next, err = s.Store.Swap(ctx, d, next)
		if !errors.Is(err, fault.Conflict) {
			s.told(ctx, "cancel", by, next, err)
			s.wake()
			return next, err
		}
		if d, err = s.Store.Get(ctx, d.ID); err != nil {
			return d, err
		}
	}
}

func (s *Service) seal(ctx context.Context, d delivery.Delivery, c delivery.Call) (secret.Box, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(c); err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	if text.Len() > mostCall {
		return "", fault.New(fault.TooLarge, "the call is too long to be performed later; shorten its body or its query")
	}
	return s.Keyring.Seal(ctx, secret.New(text.String()), d.Label(delivery.CallLabel))
}

func (s *Service) call(ctx context.Context, d delivery.Delivery) (c delivery.Call, err error) {
	text, err := s.Keyring.Open(ctx, d.Call, d.Label(delivery.CallLabel))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(text.Reveal()), &c); err != nil {
		return c, fault.New(fault.Internal, "").Because(err)
	}
	return c, nil
}

// told writes down what was done, and by whom.
func (s *Service) told(ctx context.Context, what string, by By, d delivery.Delivery, err error) {
	e := audit.Event{
		At: s.Now().UTC(), Request: by.Request, Actor: by.Actor, App: d.App, Grant: d.Grant, Target: string(d.ID),
		Verb: "delivery." + what, Status: d.Outcome.Status, Outcome: audit.Done, Err: err,
	}
	if err != nil {
		e.Outcome = audit.Refused
		if slices.Contains([]fault.Kind{fault.Internal, fault.Unavailable, fault.Upstream}, fault.KindOf(err)) {
			e.Outcome = audit.Failed
		}
	}
	s.Observer.Observe(context.WithoutCancel(ctx), e)
}
