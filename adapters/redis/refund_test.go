package redis

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"perch/domain/quota"
	"perch/ports/conformance/redistest"
)

// deaf is a connection that ends before the answer to what has the words in it, as
// long as there are answers to lose.
type deaf struct {
	net.Conn
	words []byte
	lose  *atomic.Int32
	hit   bool
}

func (c *deaf) Write(b []byte) (int, error) {
	c.hit = c.hit || bytes.Contains(b, c.words) && c.lose.Add(-1) >= 0
	return c.Conn.Write(b)
}

func (c *deaf) Read(b []byte) (int, error) {
	if !c.hit {
		return c.Conn.Read(b)
	}
	_, _ = c.Conn.Read(make([]byte, 4096)) // Redis has done it
	_ = c.Close()
	return 0, io.EOF
}

// Giving back more than was taken would let more through than the limit.
func TestARefundWhoseAnswersAreLostGivesBackOnce(t *testing.T) {
	server := redistest.Start(t)
	var lose atomic.Int32
	s, _, err := connect(server.URL(), patiently, func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, at string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, at)
			return &deaf{Conn: c, words: []byte(redis.NewScript(refundScript).Hash()), lose: &lose}, err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	other, all := quota.Charge{Key: "other", Max: 9, Window: time.Hour}, quota.Charge{Key: "k", Max: 100, Window: time.Hour}
	give := func(c quota.Charge, cost, back int64) {
		t.Helper()
		c.Cost = cost
		v, err := s.Quota().Spend(t.Context(), time.Now(), []quota.Charge{c})
		if err != nil || !v.Allowed {
			t.Fatalf("got %+v, %v", v, err)
		}
		returns := v.Returns([]quota.Charge{c})
		returns[0].Given = back
		if err := s.Quota().Refund(t.Context(), returns); err != nil {
			t.Fatal(err)
		}
	}
	give(other, 1, 1) // Redis knows the script now
	lose.Store(3)
	give(all, 100, 20)
	if lose.Load() >= 0 {
		t.Fatal("not all answers were lost that were to be")
	}
	all.Cost, all.Least = 100, 1
	v, err := s.Quota().Spend(t.Context(), time.Now(), []quota.Charge{all})
	if err != nil || !v.Allowed || v.Grips[0].Given != 20 {
		t.Errorf("after 20 of 100 were given back there are %+v, %v", v.Grips, err)
	}
}
