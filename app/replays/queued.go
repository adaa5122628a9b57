package replays

import (
	"context"
	"encoding/json"
	"errors"

	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
	"perch/ports"
)

// Queued is the state of a key of a delivery that has not ended. The key of one
// that has, and of which nothing else is known, has the delivery's state.
const Queued idempotency.State = "queued"

// holding returns the delivery that has the key; none has an ID.
func (s *Service) holding(
	ctx context.Context, app client.AppID, grant oauth.GrantID, key idempotency.Key,
) (delivery.Delivery, error) {
	all, err := s.Queue.List(ctx, delivery.Filter{App: app, Grants: []oauth.GrantID{grant}, Key: string(key)}, "", 1)
	if err != nil || len(all) == 0 {
		return delivery.Delivery{}, err
	}
	return all[0], nil
}

// delivered is what the delivery that has the key, if one has, answers a call that
// is made at once. Without a status and an error X may be asked: there is none, or
// X has not performed it, or may perform it twice.
func (s *Service) delivered(
	ctx context.Context, who ports.Caller, key idempotency.Key, asked string,
) (ports.Reply, error) {
	d, err := s.holding(ctx, who.App.ID, who.Grant, key)
	switch {
	case err != nil || d.ID == "":
		return ports.Reply{}, err
	case d.Waits():
		return ports.Reply{}, s.queued(d)
	case d.State != delivery.Done && (d.State != delivery.Unknown || d.Harmless()):
		return ports.Reply{}, nil
	}
	was, err := s.askedBy(ctx, key, d)
	switch {
	case err != nil:
		return ports.Reply{}, err
	case was != asked:
		return ports.Reply{}, reused().With("delivery_url", s.deliveryURL(d))
	case d.State == delivery.Unknown:
		return ports.Reply{}, s.unknown(key, d.Outcome.Detail).With("delivery_url", s.deliveryURL(d))
	case d.Outcome.Reply.Empty():
		return ports.Reply{}, notKept(d.Outcome.Status).With("delivery_url", s.deliveryURL(d))
	}
	text, err := s.Keyring.Open(ctx, d.Outcome.Reply, d.Label(delivery.ReplyLabel))
	if err != nil {
		return ports.Reply{}, err
	}
	header := map[string][]string{}
	if d.Outcome.Type != "" {
		header["Content-Type"] = []string{d.Outcome.Type}
	}
	return again(d.Outcome.Status, header, []byte(text.Reveal())), nil
}

// askedBy is the fingerprint of the delivery's call.
func (s *Service) askedBy(ctx context.Context, key idempotency.Key, d delivery.Delivery) (string, error) {
	text, err := s.Keyring.Open(ctx, d.Call, d.Label(delivery.CallLabel))
	if err != nil {
		return "", err
	}
	var c delivery.Call
	if err := json.Unmarshal([]byte(text.Reveal()), &c); err != nil {
		return "", fault.New(fault.Internal, "").Because(err)
	}
	return fingerprint(key, ports.Call{Action: action(d.Action), Params: c.Params, Query: c.Query}, []byte(c.Body))
}

// letGo ends the delivery as one that X has not performed, if nobody knew: somebody
// has looked at X since.
func (s *Service) letGo(ctx context.Context, d delivery.Delivery) error {
	if d.ID == "" || d.State != delivery.Unknown {
		return nil
	}
	_, err := s.Queue.Swap(ctx, d, d.Deny())
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// queued refuses what the delivery stands in the way of.
func (s *Service) queued(d delivery.Delivery) error {
	return fault.New(fault.Conflict, "a delivery that waits has this Idempotency-Key: GET delivery_url tells what "+
		"becomes of it; to let go of the key cancel the delivery, by DELETE delivery_url").
		Named("idempotency-key-queued").With("delivery_url", s.deliveryURL(d))
}

// deliveryURL is where the delivery is; "" where there is none.
func (s *Service) deliveryURL(d delivery.Delivery) string {
	if d.ID == "" {
		return ""
	}
	return s.Issuer + "/v1/deliveries/" + string(d.ID)
}

// told is what the delivery says of its key.
func (s *Service) told(key idempotency.Key, d delivery.Delivery) Status {
	to := Status{
		Key: key, State: idempotency.State(d.State), Action: d.Action, Outcome: d.Outcome.Status, Created: d.Created,
		Delivery: s.deliveryURL(d), Advice: "The request was to be delivered later, and that has ended. " +
			"Look at delivery_url; use a new key for what comes next.",
	}
	switch d.State {
	case delivery.Cancelled, delivery.Failed, delivery.Expired:
		to.Advice = "The request was to be delivered later; that has ended, and X has not performed it. Look at " +
			"delivery_url for why. To have it performed now send it with this key, without Prefer: respond-async; to have " +
			"it delivered later use a new key."
	case delivery.Unknown:
		to.Advice = "X was asked and its answer is not known. Look at X whether it was done. If so, use a new key for what " +
			"comes next; if not, DELETE this address and send the request again."
	case delivery.Queued, delivery.Sending, delivery.Done:
	}
	if d.Waits() {
		to.State = Queued
		to.Advice = "The request waits to be delivered. Look at delivery_url; to let go of the key DELETE that."
	}
	return to
}
