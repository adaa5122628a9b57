package actions_test

import (
	"context"
	"testing"

	"perch/app/actions"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// A lost answer is a key of which nobody knows whether its call was done, until
// somebody has looked.
type lost struct{ looked bool }

func (l *lost) Once(
	ctx context.Context, _ ports.Caller, _ string, _ ports.Call, _ []byte,
	ask func(context.Context, func(context.Context) error) (ports.Reply, error),
) (ports.Reply, error) {
	if !l.looked {
		return ports.Reply{}, fault.New(fault.Conflict, "nobody knows").Named("idempotency-unknown")
	}
	return ask(ctx, func(context.Context) error { return nil })
}

func (l *lost) Resolve(
	ctx context.Context, who ports.Caller, _ string, look func(context.Context, ports.Call) (ports.Reply, error),
) error {
	l.looked = true
	act, _ := xapi.ByID("getUsersPosts")
	_, err := look(ctx, ports.Call{Action: act, Params: map[string]string{"id": string(who.User)}})
	return err
}

// callers are who came to a toll, by what for.
type callers map[string]delivery.ID

func (c callers) Enter(_ context.Context, who ports.Caller, call ports.Call) (ports.Settle, error) {
	c[call.Action.ID] = who.Delivery
	return func(context.Context, *ports.Reply, error) {}, nil
}

// Tolls know that who looks whether a delivery was done can wait, as it can.
func TestALookForADeliveryIsTheDeliverys(t *testing.T) {
	h, _ := later(t)
	l, came := &lost{}, callers{}
	h.Replays, h.Resolver, h.Tolls = l, l, actions.Tolls(came)
	if reply, err := h.Deliver(t.Context(), h.parcel("createPosts"), post("a")); err != nil || reply.Status != 201 {
		t.Errorf("%d, %v", reply.Status, err)
	}
	for _, action := range []string{"getUsersPosts", "createPosts"} {
		if came[action] != "dlv_1" {
			t.Errorf("%s comes for %q", action, came[action])
		}
	}
}
