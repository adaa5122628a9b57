package wiring

import (
	"context"
	"errors"
	"log/slog"

	"perch/adapters/cloudflare"
	"perch/adapters/redis"
	"perch/cmd/internal/config"
	"perch/ports"
)

// Leases is a store of heads, and the clock that goes with them.
type Leases interface {
	ports.Pinger
	ports.Clock
	Heads() ports.Heads
	Close() error
}

// A follower is a store that brings to its home what that has missed.
type follower interface {
	Sync(ctx context.Context) (int, error)
}

// openLeases opens the store of heads. One that is used for other things as well
// is open already.
func (o *opener) openLeases(ctx context.Context) (Leases, error) {
	if kind, _ := config.Backend(o.cfg.Leases); kind != config.Redis {
		return o.open(ctx, o.cfg.Leases)
	}
	r, err := redis.Open(ctx, o.cfg.Leases)
	if err != nil {
		return nil, err
	}
	o.closers[o.cfg.Leases] = r
	o.parts = append(o.parts, Backend{URL: o.cfg.Leases, Ping: r, Required: true})
	for _, notice := range r.Notices() {
		o.log.Warn(notice, "store", config.Shown(o.cfg.Leases))
	}
	return r, nil
}

// openKV has grants and the registry in Workers KV where the settings say so.
func (o *opener) openKV(ctx context.Context, s *Stores) error {
	if !o.cfg.UsesKV() {
		return nil
	}
	leases, err := o.openLeases(ctx)
	if err != nil {
		return err
	}
	if kv, err := o.namespace(ctx, o.cfg.Vault, leases, s); err != nil {
		return err
	} else if kv != nil {
		s.Vault, s.Clock = kv.Vault(), leases
	}
	kv, err := o.namespace(ctx, o.cfg.Registry, leases, s)
	if err == nil && kv != nil {
		s.Registry = kv.Registry()
	}
	return err
}

// namespace opens the namespace, once, or returns nil for another kind of store.
func (o *opener) namespace(ctx context.Context, url string, leases Leases, s *Stores) (*cloudflare.KV, error) {
	kind, place := config.Backend(url)
	if kind != config.KV {
		return nil, nil
	}
	if kv, ok := o.closers[url].(*cloudflare.KV); ok {
		return kv, nil
	}
	account, id := config.InKV(place)
	kv, err := cloudflare.OpenKV(ctx, cloudflareOf(o.cfg, account), id, leases.Heads())
	if err != nil {
		return nil, err
	}
	o.closers[url] = kv
	o.parts = append(o.parts, Backend{URL: url, Ping: kv})
	s.Followers = append(s.Followers, kv)
	return kv, nil
}

func cloudflareOf(cfg config.Config, account string) cloudflare.Config {
	return cloudflare.Config{URL: cfg.Cloudflare.URL, Account: account, Token: cfg.Cloudflare.Token}
}

// LookAtKV opens the namespace and changes nothing: founded says whether it has
// been opened ever.
func LookAtKV(ctx context.Context, cfg config.Config, url string, leases Leases) (
	kv *cloudflare.KV, founded bool, err error,
) {
	_, place := config.Backend(url)
	account, id := config.InKV(place)
	return cloudflare.LookAtKV(ctx, cloudflareOf(cfg, account), id, leases.Heads())
}

// follow brings to Workers KV what it has missed.
func follow(ctx context.Context, all []follower, log *slog.Logger) {
	for _, f := range all {
		n, err := f.Sync(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, cloudflare.ErrHeads):
			log.Error("Workers KV is written to from elsewhere", "error", err)
		case err != nil:
			log.Warn("Workers KV misses the newest versions; it is tried again in a minute", "error", err)
		case n > 0:
			log.Debug("brought to Workers KV what it had missed", "records", n)
		}
	}
}
