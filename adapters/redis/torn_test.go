package redis

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports/conformance/redistest"
)

// opaque is a connection that does not show whether the other side has left, as
// those of TLS.
type opaque struct{ net.Conn }

// After a restart every idle connection is dead, and none shows it. Not one call
// is to fail for that.
func TestDeadConnectionsAreNoOutage(t *testing.T) {
	server := redistest.Start(t)
	s, _, err := connect(server.URL(), patiently, func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, at string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, at)
			return opaque{c}, err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	spend := func() {
		v, err := s.Quota().Spend(t.Context(), time.Now(), []quota.Charge{{Key: "k", Max: 1000, Window: time.Hour}})
		if err != nil || !v.Allowed {
			t.Errorf("got %+v, %v", v, err)
		}
	}
	for s.client.PoolStats().IdleConns < 4 {
		var all sync.WaitGroup
		for range 16 {
			all.Go(spend)
		}
		all.Wait()
	}
	server.Down(t)
	server.Up(t)
	spend()
}

// A Redis that takes connections and says nothing, as one behind a broken network,
// is given up without a deadline of the caller's.
func TestASilentRedisIsGivenUp(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s, err := OpenQuota(context.Background(), "redis://"+l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if len(s.Notices()) != 1 {
		t.Errorf("of one that says nothing: %q", s.Notices())
	}
	_, err = s.Quota().Spend(context.Background(), time.Now(), []quota.Charge{{Key: "k", Max: 1, Window: time.Hour}})
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got error %v, want unavailable", err)
	}
}
