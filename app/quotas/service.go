// Package quotas admits calls: within our own limits and X's windows.
package quotas

import (
	"context"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// Service counts calls.
type Service struct {
	store ports.QuotaStore
	limit quota.Limit
}

// New returns the service. Each client application may perform limit.Max
// actions in each limit.Window; zero means no limit.
func New(s ports.QuotaStore, limit quota.Limit) *Service { return &Service{s, limit} }

// Enter counts the call, or refuses it.
func (s *Service) Enter(ctx context.Context, who ports.Caller, _ ports.Call) (ports.Settle, error) {
	settle := func(context.Context, *ports.Reply, error) {}
	if s.limit.Max == 0 {
		return settle, nil
	}
	v, err := s.store.Spend(ctx, time.Now(), []quota.Charge{
		{Key: "app:" + string(who.App.ID), Max: s.limit.Max, Window: s.limit.Window},
	})
	if err != nil || v.Allowed {
		return settle, err
	}
	d := v.Grips[0]
	return nil, fault.New(fault.Limited, "this client application has used its %d calls of this window; "+
		"this is Perch's limit, not X's", d.Limit).Named("client-rate-limit").After(time.Until(d.Reset))
}
