package replays

import (
	"context"

	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
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
	if d.Waits() {
		to.State = Queued
		to.Advice = "The request waits to be delivered. Look at delivery_url; to let go of the key DELETE that."
	}
	return to
}
