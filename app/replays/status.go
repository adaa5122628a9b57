package replays

import (
	"cmp"
	"context"
	"errors"
	"time"

	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
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

	Delivery string // URL of the delivery that has the key; empty: none has
}

// Look tells what became of the call with the key that the segment of a path
// names, or fault.NotFound.
func (s *Service) Look(ctx context.Context, h Holder, segment string) (Status, error) {
	f, err := s.find(ctx, h, segment)
	if err != nil {
		return Status{}, err
	}
	return s.status(f), nil
}

// Forget forgets a call of which it is unknown what became of it, so that its key
// may be used again. Whoever asks for that has looked himself, and may perform the
// call. Any other call, and one that waits to be delivered, is fault.Conflict.
func (s *Service) Forget(ctx context.Context, h Holder, segment string) error {
	f, err := s.owned(ctx, h, segment)
	if err != nil {
		return err
	}
	if f.waits() {
		return s.queued(f.delivery)
	}
	if f.record.Scope == "" {
		if f.delivery.State != delivery.Unknown {
			return none()
		}
		return s.letGo(ctx, f.delivery)
	}
	switch f.record.Standing(s.Now()) {
	case idempotency.Reserved, idempotency.Sent:
		return s.linked(s.underWay(f.record), f.key)
	case idempotency.Done:
		return s.linked(fault.New(fault.Conflict, "it is known what became of this request, so its key is not forgotten "+
			"before %s; use a new key for a new request", f.record.Until.UTC().Format(time.RFC3339)).
			Named("idempotency-key-done"), f.key)
	case idempotency.Unknown:
	}
	if err = s.Replies.Remove(ctx, f.record); err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	return s.letGo(ctx, f.delivery)
}

// A finding is what is known of a key: by a call that X was asked for, by a
// delivery, or by both. A record without a scope, and a delivery without an ID, is
// none.
type finding struct {
	key      idempotency.Key
	record   idempotency.Record
	delivery delivery.Delivery
}

func (f finding) waits() bool { return f.delivery.ID != "" && f.delivery.Waits() }

// made is the finding without a call that was never made: that says nothing of the
// delivery.
func (f finding) made(now time.Time) finding {
	if f.delivery.ID != "" && f.record.State == idempotency.Reserved && f.record.Free(now, false) {
		f.record = idempotency.Record{}
	}
	return f
}

func (f finding) action() string { return cmp.Or(f.record.Action, f.delivery.Action) }

func none() error {
	return fault.New(fault.NotFound, "nothing is known of this Idempotency-Key for this client application and "+
		"grant: it was not used in the last %d hours, or its request was not performed and may be sent again",
		idempotency.Window).Named("no-such-idempotency-key")
}

// find returns what is known of the holder's key, or of that of the X App's own
// calls where he may make such. What has expired is not found.
func (s *Service) find(ctx context.Context, h Holder, segment string) (finding, error) {
	key, err := idempotency.OfSegment(segment)
	if err != nil {
		return finding{}, err
	}
	var grants []oauth.GrantID
	if h.Grant != "" {
		grants = append(grants, h.Grant)
	}
	if h.AppOnly {
		grants = append(grants, "")
	}
	for _, grant := range grants {
		f := finding{key: key}
		r, err := s.Replies.Get(ctx, key.Scope(h.App, grant))
		switch {
		case err == nil && s.Now().Before(r.Until):
			f.record = r
		case err != nil && !errors.Is(err, fault.NotFound):
			return f, err
		}
		if f.delivery, err = s.holding(ctx, h.App, grant, key); err != nil {
			return f, err
		}
		f = f.made(s.Now())
		if f.record.Scope != "" || f.delivery.ID != "" {
			return f, nil
		}
	}
	return finding{}, none()
}

// owned is what the holder may let go of.
func (s *Service) owned(ctx context.Context, h Holder, segment string) (finding, error) {
	f, err := s.find(ctx, h, segment)
	if err == nil && h.May != nil {
		err = h.May(f.action())
	}
	return f, err
}

func (s *Service) status(f finding) Status {
	if r := f.record; r.Scope != "" && !f.waits() {
		return Status{
			Key: f.key, State: r.Standing(s.Now()), Action: r.Action, Outcome: r.Status, Created: r.Created, Sent: r.Sent,
			Until: r.Until, Delivery: s.deliveryURL(f.delivery), Advice: s.advice(r),
		}
	}
	return s.told(f.key, f.delivery)
}

func (s *Service) advice(r idempotency.Record) string {
	switch r.Standing(s.Now()) {
	case idempotency.Reserved, idempotency.Sent:
		return "The request is under way, until " + r.Lease.UTC().Format(time.RFC3339) + " at the latest. Send it again " +
			"with the same key in a while."
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
