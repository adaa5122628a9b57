package main

import (
	"context"

	"perch/adapters/memory"
	"perch/adapters/redis"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

// kv looks at what is in Workers KV, with the heads in the store. It founds
// nothing.
func (e *exam) kv(ctx context.Context, leases wiring.Leases) {
	const about = "Workers KV"
	for _, url := range e.cfg.Stores() {
		if kind, _ := config.Backend(url); kind != config.KV {
			continue
		}
		kv, founded, err := wiring.LookAtKV(ctx, e.cfg, url, leases)
		if err != nil {
			e.add(broken, about, "%v", err)
			continue
		}
		if founded {
			e.add(fine, about, "%s answers, and its newest versions are in %s", url, config.Shown(e.cfg.Leases))
			if url == e.cfg.Vault {
				e.grants(ctx, kv.Vault())
				e.census(ctx, kv.Vault())
			}
			if url == e.cfg.Registry {
				e.registry(ctx, kv.Registry())
			}
		} else {
			e.add(fine, about, "%s answers; perch serve takes what it shows, and keeps newest versions in %s from then on",
				url, config.Shown(e.cfg.Leases))
		}
		_ = kv.Close() // it only read
	}
	if e.cfg.SingleWriter {
		e.add(doubtful, about, "PERCH_SINGLE_WRITER: no other Perch may write there, and ./perch.heads.db must be on a "+
			"disk that stays")
	}
}

// kvWithout looks at what is in Workers KV while no heads are there.
func (e *exam) kvWithout(ctx context.Context) {
	none := memory.Open()
	defer func() { _ = none.Close() }()
	e.kv(ctx, none)
}

// redis looks at a Redis with heads, and at what is in KV with them.
func (e *exam) redis(ctx context.Context) {
	if kind, _ := config.Backend(e.cfg.Leases); kind != config.Redis {
		return
	}
	r, err := redis.Open(ctx, e.cfg.Leases)
	if err != nil {
		e.add(broken, "Redis", "%v", err)
		return
	}
	defer func() { _ = r.Close() }()
	for _, notice := range r.Notices() {
		e.add(doubtful, "Redis", "%s", notice)
	}
	if len(r.Notices()) == 0 {
		e.add(fine, "Redis", "%s answers and keeps what it is told", config.Shown(e.cfg.Leases))
	}
	e.kv(ctx, r)
}

// counts looks at a Redis that calls are counted in.
func (e *exam) counts(ctx context.Context) {
	const about = "limits"
	if kind, _ := config.Backend(e.cfg.Quota); kind != config.Redis {
		return
	}
	r, err := redis.OpenQuota(ctx, e.cfg.Quota)
	if err != nil {
		e.add(broken, about, "%v", err)
		return
	}
	defer func() { _ = r.Close() }()
	if err := r.Ping(ctx); err != nil {
		what := "perch serve refuses calls until it does"
		if e.cfg.QuotaDown == config.Open {
			what = "each Perch counts calls by itself until it does (PERCH_QUOTA_DOWN=open)"
		}
		e.add(broken, about, "%s does not answer, and %s: %v", config.Shown(e.cfg.Quota), what, err)
		return
	}
	for _, notice := range r.Notices() {
		e.add(doubtful, about, "%s", notice)
	}
	if len(r.Notices()) == 0 {
		e.add(fine, about, "calls are counted in %s", config.Shown(e.cfg.Quota))
	}
}
