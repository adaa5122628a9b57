// Package replays has calls with an idempotency key performed once
// (draft-ietf-httpapi-idempotency-key-header). What is known of a call is written
// down before X is asked and after it has answered. Where X's answer is missing
// it is not known whether X did what was asked: then nobody asks again, until
// somebody has looked.
package replays

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapi"
	"perch/ports"
)

// Service performs calls once.
type Service struct {
	Parts
	base    context.Context // of writes that are tried again
	end     context.CancelFunc
	work    sync.WaitGroup
	waiting chan struct{} // places of writes that are tried again
}

// Parts are what the service works with.
type Parts struct {
	Replies ports.Replies
	Queue   ports.Deliveries // whose keys nobody else uses
	Keyring ports.Keyring
	Now     func() time.Time // that replicas have in common
	Issuer  string           // the public URL, without a slash at its end
}

// New returns the service. Close ends it.
func New(p Parts) *Service {
	s := &Service{Parts: p, waiting: make(chan struct{}, mostWaiting)}
	s.base, s.end = context.WithCancel(context.Background())
	return s
}

// Close gives up writes that are still tried again, and waits until nobody does.
func (s *Service) Close() {
	s.end()
	s.work.Wait()
}

// A Holder is who asks for what became of a call. He sees calls of his client
// application for his grant alone.
type Holder struct {
	App     client.AppID
	Grant   oauth.GrantID
	User    user.ID // whose grant it is
	AppOnly bool    // he also sees calls that the X App made itself

	// May refuses what he may not perform, and so not let go of. Nil is Perch
	// itself, which may.
	May func(action string) error
}

// Once has the call performed by ask unless a call with the same key was. It
// returns X's answer, or the answer to the first call. A key that is used for
// another call, whose call is under way or waits to be delivered, or of whose call
// nobody knows what became of it, is fault.Conflict. A call that was delivered is
// answered for as long as the delivery is kept.
//
// From the moment X is asked, the caller's leaving ends nothing any more. To a
// delivery an error says with ports.ErrUndone that there is nothing to doubt.
func (s *Service) Once(
	ctx context.Context, who ports.Caller, header string, call ports.Call, body []byte,
	ask func(ctx context.Context, sent func(context.Context) error) (ports.Reply, error),
) (ports.Reply, error) {
	if who.App.ID == "" { // nobody in particular has no keys of his own
		return ask(ctx, func(context.Context) error { return nil })
	}
	key, err := idempotency.ParseKey(header)
	if err != nil {
		return ports.Reply{}, err
	}
	asked, err := fingerprint(key, call, body)
	if err != nil {
		return ports.Reply{}, err
	}
	scope := key.Scope(who.App.ID, who.Grant)
	mine := idempotency.Reserve(scope, rand.Text(), asked, call.Action.ID, s.Now())
	// A write that is given up may be stored all the same, and would hold the key.
	r, err := s.claim(context.WithoutCancel(ctx), mine, call.Action.Idempotent)
	if err != nil {
		if errors.Is(err, fault.Unavailable) {
			// Once: what cannot be removed lapses in idempotency.Preparing.
			s.tryNow(ctx, func(ctx context.Context) error { return s.Replies.Remove(ctx, mine) })
		}
		return ports.Reply{}, fmt.Errorf("%w: %w", err, ports.ErrUnsent)
	}
	if r.Attempt != mine.Attempt {
		return s.known(ctx, key, r, asked)
	}
	a := s.attempt(ctx, key, r, call.Action, body)
	if who.Delivery == "" {
		// The key is reserved first: whoever accepts a delivery looks for that when he has.
		if reply, err := s.delivered(a.ctx, who, key, asked); err != nil || reply.Status != 0 {
			return a.finish(reply, err)
		}
	}
	reply, err := ask(a.ctx, a.sent)
	if who.Delivery != "" && err != nil && a.undone(reply, err) {
		err = fmt.Errorf("%w: %w", err, ports.ErrUndone)
	}
	return a.finish(reply, err)
}

// claims is how often a key is tried that others let go of at the same moment.
const claims = 5

// claim reserves the key, or returns what is known of the call that has it. harmless
// says that the same call may be performed again; of another call with the key it
// says nothing.
func (s *Service) claim(ctx context.Context, mine idempotency.Record, harmless bool) (idempotency.Record, error) {
	for range claims {
		err := s.Replies.Create(ctx, mine)
		if !errors.Is(err, fault.Conflict) {
			return mine, err
		}
		r, err := s.Replies.Get(ctx, mine.Scope)
		switch {
		case errors.Is(err, fault.NotFound):
			continue
		case err != nil || !r.Free(mine.Created, harmless && r.Fingerprint == mine.Fingerprint):
			return r, err
		}
		err = s.Replies.Swap(ctx, r, mine)
		if !errors.Is(err, fault.Conflict) && !errors.Is(err, fault.NotFound) {
			return mine, err
		}
	}
	return mine, inProgress()
}

// known answers from what is known of an earlier call.
func (s *Service) known(
	ctx context.Context, key idempotency.Key, r idempotency.Record, asked string,
) (ports.Reply, error) {
	if r.Fingerprint != asked {
		return ports.Reply{}, reused()
	}
	switch r.Standing(s.Now()) {
	case idempotency.Reserved, idempotency.Sent:
		return ports.Reply{}, s.linked(s.underWay(r), key)
	case idempotency.Done:
		return s.replay(ctx, key, r)
	case idempotency.Unknown:
	}
	return ports.Reply{}, s.unknown(key, "X was asked and it is not known whether it did it; nobody asks again. "+
		"POST status_url with /resolve looks whether it did, GET status_url tells more")
}

// reused refuses the key of another call.
func reused() *fault.Error {
	return fault.New(fault.Conflict, "this Idempotency-Key belongs to another request: method, path, "+
		"query and body must be those of the first one; use a new key for a new request").
		Named("idempotency-key-reused")
}

// underWay refuses what the call stands in the way of. Most calls end soon; one
// whose replica has died is under way until its limit. So the longer it lasts the
// later one should come back, and not after the limit.
func (s *Service) underWay(r idempotency.Record) *fault.Error {
	now := s.Now()
	return fault.New(fault.Conflict, "a request with this Idempotency-Key is under way, until %s at the latest; "+
		"send it again when Retry-After says", r.Lease.UTC().Format(time.RFC3339)).
		Named("idempotency-in-progress").After(max(min(now.Sub(r.Began())/4, r.Lease.Sub(now)), time.Second))
}

// inProgress refuses a call when another one has just taken its key.
func inProgress() *fault.Error {
	return fault.New(fault.Conflict, "a request with this Idempotency-Key is under way; try again in a moment").
		Named("idempotency-in-progress").After(time.Second)
}

func (s *Service) unknown(key idempotency.Key, say string) *fault.Error {
	return s.linked(fault.New(fault.Conflict, "%s", say).Named("idempotency-unknown"), key)
}

// linked adds where more is to be learned of the key's call.
func (s *Service) linked(f *fault.Error, key idempotency.Key) *fault.Error {
	return f.With("status_url", s.statusURL(key))
}

func (s *Service) statusURL(key idempotency.Key) string {
	return s.Issuer + "/v1/idempotency/" + key.Segment()
}

func fingerprint(key idempotency.Key, call ports.Call, body []byte) (string, error) {
	path, ok := call.Action.Fill(call.Params)
	if !ok {
		return "", fault.New(fault.Invalid, "%s %s needs a value for every parameter of its path",
			call.Action.Method, call.Action.Path)
	}
	s := idempotency.Subject{Method: call.Action.Method, Path: path, Query: call.Query, Body: body}
	if call.Action.Body == xapi.Upload {
		kind, _, _ := strings.Cut(call.Type, ";") // each form has a boundary of its own
		s.Type, s.Length = strings.TrimSpace(kind), call.Length
	}
	return key.Fingerprint(s), nil
}
