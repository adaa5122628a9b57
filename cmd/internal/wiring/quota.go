package wiring

import (
	"context"
	"slices"

	"perch/adapters/memory"
	"perch/adapters/redis"
	"perch/app/quotas"
	"perch/cmd/internal/config"
	"perch/ports"
)

// openQuota opens the store of counts and puts before it what the settings want:
// what happens while it is away, and whether calls are taken from it in blocks.
func (o *opener) openQuota(ctx context.Context, s *Stores, watch ports.Observer) error {
	kind, _ := config.Backend(o.cfg.Quota)
	if kind == config.Redis {
		return o.quotaInRedis(ctx, s, watch)
	}
	alone := !slices.Contains([]string{o.cfg.Store, o.cfg.Vault, o.cfg.Registry, o.cfg.Leases}, o.cfg.Quota)
	b, err := o.open(ctx, o.cfg.Quota)
	if err != nil {
		return err
	}
	if kind == "memory" {
		s.Quota = b.Quota()
		return nil
	}
	g := o.guard(s, b.Quota(), watch)
	if alone {
		last := &o.parts[len(o.parts)-1]
		last.Name, last.Ping, last.Required = "quota", g, o.cfg.QuotaDown != config.Open
	}
	return nil
}

// quotaInRedis has connections of its own, also to the Redis of heads: every call
// waits for them, and so none waits long.
func (o *opener) quotaInRedis(ctx context.Context, s *Stores, watch ports.Observer) error {
	r, err := redis.OpenQuota(ctx, o.cfg.Quota)
	if err != nil {
		return err
	}
	o.closers[o.cfg.Quota+"#quota"] = r
	for _, notice := range r.Notices() {
		o.log.Warn(notice, "store", config.Shown(o.cfg.Quota))
	}
	g := o.guard(s, r.Quota(), watch)
	o.parts = append(o.parts, Backend{
		URL: o.cfg.Quota, Name: "quota", Ping: g, Required: o.cfg.QuotaDown != config.Open,
	})
	return nil
}

func (o *opener) guard(s *Stores, store ports.QuotaStore, watch ports.Observer) *quotas.Guard {
	var own ports.QuotaStore
	if o.cfg.QuotaDown == config.Open {
		here := memory.NewQuota()
		own, o.closers["memory:counts"] = here, here
	}
	g := quotas.NewGuard(store, own, watch)
	s.Quota = g
	if o.cfg.QuotaMode == config.Block {
		o.blocks = quotas.NewBlocks(g)
		s.Quota = o.blocks
	}
	return g
}

// giveBack gives back the calls that are held in blocks.
func (o *opener) giveBack() {
	if o.blocks == nil {
		return
	}
	if err := o.blocks.Close(); err != nil {
		o.log.Warn("calls that were taken in blocks are not given back; limits have them again in their next windows",
			"error", err)
	}
}
