// Package redis keeps heads and counts in Redis or Valkey, and nothing else. Heads
// must neither be evicted nor forgotten, which few who run Redis as a cache can
// promise; counts may be, at the price of limits that begin anew.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

// silence keeps the driver from writing to the standard error: its errors reach
// whoever asked.
var silence = sync.OnceFunc(logging.Disable) //nolint:gochecknoglobals // the driver has one log for the process

// A Store is a Redis with heads or counts in it.
type Store struct {
	client  *redis.Client
	heads   *Heads
	quota   *Quota
	notices []string
}

var (
	_ ports.Pinger = (*Store)(nil)
	_ ports.Clock  = (*Store)(nil)
)

// Open connects to the Redis that the URL names:
// "rediss://perch:PASSWORD@redis.example:6379/0", "redis://127.0.0.1:6379" or
// "unix:///run/redis.sock". Another machine is spoken to in TLS and must prove
// who it is, unless the URL says tls=off. Names of keys begin with "perch", or
// with what prefix= says.
//
// A Redis that may evict or forget heads is refused, unless the URL says
// durable=unchecked. Errors do not show the URL but for the host.
func Open(ctx context.Context, at string) (*Store, error) {
	s, set, err := connect(at)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open Redis on %s: %w", set.options.Addr, err), s.Close())
	}
	if set.unchecked {
		return s, nil
	}
	if s.notices, err = durable(ctx, s.client); err != nil {
		return nil, errors.Join(fmt.Errorf("the Redis on %s %w", set.options.Addr, err), s.Close())
	}
	return s, nil
}

// OpenQuota is Open for counts alone, which a Redis need not keep well, and which
// nobody waits for as long. A Redis that cannot be reached is no error but a
// notice: it may come back.
func OpenQuota(ctx context.Context, at string) (*Store, error) { return openQuota(ctx, at, brief) }

func openQuota(ctx context.Context, at string, change ...func(*redis.Options)) (*Store, error) {
	s, set, err := connect(at, change...)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		s.notices = []string{fmt.Sprintf("the Redis on %s, which counts calls, does not answer: %v", set.options.Addr, err)}
		return s, nil
	}
	s.notices = evicting(ctx, s.client)
	return s, nil
}

func connect(at string, change ...func(*redis.Options)) (*Store, settings, error) {
	set, err := parse(at)
	if err != nil {
		return nil, set, fmt.Errorf("open Redis: %w", err)
	}
	silence()
	for _, c := range change {
		c(set.options)
	}
	s := &Store{client: redis.NewClient(set.options)}
	s.heads, s.quota = newHeads(s.client, set.prefix), newQuota(s.client, set.prefix)
	return s, set, nil
}

// Heads returns the store of the newest versions of what is kept elsewhere.
func (s *Store) Heads() ports.Heads { return s.heads }

// Quota returns the store of counts.
func (s *Store) Quota() ports.QuotaStore { return s.quota }

// Notices says what an operator should know of how this Redis keeps things.
func (s *Store) Notices() []string { return s.notices }

// Ping returns nil if Redis answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return unavailable(ctx, err)
	}
	return nil
}

// Now returns the time of the machine that Redis is on.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.client.Time(ctx).Result()
	if err != nil {
		return time.Time{}, unavailable(ctx, err)
	}
	return now.UTC(), nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.client.Close() }

// settings are what a URL says.
type settings struct {
	options   *redis.Options
	prefix    string
	unchecked bool
}

// parse says of what is wrong only what cannot be part of a password.
func parse(at string) (settings, error) {
	u, err := url.Parse(at)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return settings{}, unreadable()
	}
	q := u.Query()
	s := settings{prefix: "perch", unchecked: q.Get("durable") == "unchecked"}
	if p := q.Get("prefix"); p != "" {
		s.prefix = p
	}
	open := q.Get("tls") == "off"
	if (q.Has("tls") && !open) || (q.Has("durable") && !s.unchecked) {
		return settings{}, errors.New("its URL says something else than tls=off or durable=unchecked; " +
			"leave the other words out")
	}
	if q.Has("skip_verify") {
		return settings{}, errors.New("its URL says skip_verify, and then anybody on the way could be Redis; leave it out, " +
			"and name the authority that signed the certificate in SSL_CERT_FILE if the system does not know it")
	}
	for _, ours := range []string{"prefix", "durable", "tls"} {
		q.Del(ours)
	}
	if u.Scheme == "redis" && !open && !client.Loopback(u.Hostname()) && u.Hostname() != "" {
		u.Scheme = "rediss"
	}
	u.RawQuery = q.Encode()
	if s.options, err = redis.ParseURL(u.String()); err != nil {
		return settings{}, unreadable()
	}
	bound(s.options)
	return s, nil
}

// patience bounds each part of a command, briefly each one that every call waits
// for.
const (
	patience = 5 * time.Second
	briefly  = time.Second
)

func brief(o *redis.Options) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = briefly, briefly, briefly, briefly
}

// bound has each command end in time and be sent once: after an answer that was
// lost, a second try would take the first for somebody else's.
func bound(o *redis.Options) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1
	o.ClientName, o.DisableIdentity = "perch", true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func unreadable() error {
	return errors.New("its URL cannot be read; write rediss://USER:PASSWORD@HOST:6379/0, " +
		"with %-escapes for what is no letter or digit in the password")
}

// unavailable hides err from clients.
func unavailable(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = errors.Join(ended, err)
	}
	return fault.New(fault.Unavailable, "the store does not answer; try again").Because(err)
}
