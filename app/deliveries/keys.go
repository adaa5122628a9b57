package deliveries

import (
	"context"
	"errors"
	"time"

	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
	"perch/domain/xapi"
)

// Used reports whether the key, as its header has it, is that of a call which was
// made at once, and not of a delivery. Who asks with such a key wants to know what
// became of that call: what was made twice would be seen for a day only, and a
// delivery may wait for seven.
func (s *Service) Used(
	ctx context.Context, app client.AppID, grant oauth.GrantID, act xapi.Action, header string,
) (bool, error) {
	if header == "" {
		return false, nil
	}
	key, err := idempotency.ParseKey(header)
	if err != nil {
		return false, err
	}
	grant = lineOf(act, grant)
	if r, err := s.record(ctx, app, grant, key); err != nil || r.Scope == "" {
		return false, err
	}
	own, err := s.Store.List(ctx, delivery.Filter{App: app, Grants: []oauth.GrantID{grant}, Key: string(key)}, "", 1)
	return len(own) == 0, err
}

// doubt has a delivery in doubt whose key was used at the same moment for a call
// that is made at once: that call was not there before. One that cannot be written
// to is being sent, and finds that out by itself.
func (s *Service) doubt(ctx context.Context, d delivery.Delivery, r Request) delivery.Delivery {
	if r.Key == "" {
		return d
	}
	was, err := s.record(ctx, d.App, d.Grant, idempotency.Key(d.Key))
	if err != nil || was.Scope == "" {
		return d
	}
	next := d
	next.Doubt = was.Until.Add(-idempotency.Window * time.Hour)
	if next, err = s.Store.Swap(ctx, d, next); err != nil {
		return d
	}
	return next
}

// record is what is known of a call with the key; without a scope it is none that
// could have been performed.
func (s *Service) record(
	ctx context.Context, app client.AppID, grant oauth.GrantID, key idempotency.Key,
) (idempotency.Record, error) {
	r, err := s.Replies.Get(ctx, key.Scope(app, grant))
	if errors.Is(err, fault.NotFound) || err == nil && r.Free(s.Now(), false) {
		return idempotency.Record{}, nil
	}
	return r, err
}

// lineOf is the grant for which X performs the action; none for what only the X
// App does, whichever grant the caller names.
func lineOf(act xapi.Action, grant oauth.GrantID) oauth.GrantID {
	if !act.ByUser() {
		return ""
	}
	return grant
}
