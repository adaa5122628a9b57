package replays

import (
	"context"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/xapi"
)

// Released is the state of a key that nothing is kept of: the call was not
// performed, and may be sent again with the same key.
const Released idempotency.State = "released"

// A Status is what became of the call with a key.
type Status struct {
	Key     idempotency.Key
	State   idempotency.State
	Action  string
	Outcome int       // X's status; 0: none is known
	Created time.Time // when the key was first used
	Sent    time.Time // zero: X was not asked
	Until   time.Time // the key is kept until then
	Advice  string    // what to do
}

// Look tells what became of the call with the key that the segment of a path
// names, or fault.NotFound.
func (s *Service) Look(ctx context.Context, h Holder, segment string) (Status, error) {
	key, r, err := s.find(ctx, h, segment)
	if err != nil {
		return Status{}, err
	}
	return s.status(key, r), nil
}

// Forget forgets a call of which it is unknown what became of it, so that its key
// may be used again. Whoever asks for that has looked himself, and may perform the
// call. Any other call is fault.Conflict.
func (s *Service) Forget(ctx context.Context, h Holder, segment string) error {
	key, r, err := s.owned(ctx, h, segment)
	if err != nil {
		return err
	}
	switch r.Standing(s.Now()) {
	case idempotency.Reserved, idempotency.Sent:
		return s.linked(inProgress(), key)
	case idempotency.Done:
		return s.linked(fault.New(fault.Conflict, "it is known what became of this request, so its key is not forgotten "+
			"before %s; use a new key for a new request", r.Until.UTC().Format(time.RFC3339)).
			Named("idempotency-key-done"), key)
	case idempotency.Unknown:
	}
	err = s.Replies.Remove(ctx, r)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// find returns the holder's record, or that of the X App's own calls where he may
// make such. What has expired is not found.
func (s *Service) find(ctx context.Context, h Holder, segment string) (idempotency.Key, idempotency.Record, error) {
	key, err := idempotency.OfSegment(segment)
	if err != nil {
		return key, idempotency.Record{}, err
	}
	r, err := s.Replies.Get(ctx, key.Scope(h.App, h.Grant))
	if errors.Is(err, fault.NotFound) && h.AppOnly && h.Grant != "" {
		r, err = s.Replies.Get(ctx, key.Scope(h.App, ""))
	}
	if errors.Is(err, fault.NotFound) || err == nil && !s.Now().Before(r.Until) {
		return key, r, fault.New(fault.NotFound, "nothing is known of this Idempotency-Key for this client application and "+
			"grant: it was not used in the last %d hours, or its request was not performed and may be sent again",
			idempotency.Window).Named("no-such-idempotency-key")
	}
	return key, r, err
}

// owned is a record that the holder may let go of.
func (s *Service) owned(ctx context.Context, h Holder, segment string) (idempotency.Key, idempotency.Record, error) {
	key, r, err := s.find(ctx, h, segment)
	if err == nil && h.May != nil {
		err = h.May(r.Action)
	}
	return key, r, err
}

func (s *Service) status(key idempotency.Key, r idempotency.Record) Status {
	return Status{
		Key: key, State: r.Standing(s.Now()), Action: r.Action, Outcome: r.Status,
		Created: r.Created, Sent: r.Sent, Until: r.Until, Advice: s.advice(r),
	}
}

func (s *Service) advice(r idempotency.Record) string {
	switch r.Standing(s.Now()) {
	case idempotency.Reserved, idempotency.Sent:
		return "The request is under way. Send it again with the same key in a moment."
	case idempotency.Done:
		return "X has answered. Send the request again with the same key to get X's answer again; X is not asked."
	case idempotency.Unknown:
	}
	if !resolvable(r) {
		return "X was asked and its answer is not known. Look at X whether it was done. If so, use a new key for what " +
			"comes next; if not, DELETE this address and send the request again."
	}
	return "X was asked and its answer is not known. POST to this address with /resolve: Perch looks whether X did it."
}

func released(key idempotency.Key, r idempotency.Record) Status {
	return Status{
		Key: key, State: Released, Action: r.Action, Created: r.Created, Sent: r.Sent,
		Advice: "It was not performed. Send the request again; the same key may be used.",
	}
}

// resolvable reports whether Perch can look what became of the call.
func resolvable(r idempotency.Record) bool { return r.Action == posting && !r.Request.Empty() }

// The actions with which posts are made and looked up.
const (
	posting = "createPosts"
	looking = "getUsersPosts"
)

func action(id string) xapi.Action {
	act, _ := xapi.ByID(id) // the catalogue's own test names it
	return act
}
