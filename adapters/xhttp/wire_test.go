package xhttp

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A lazyConn takes its time to close, so that what can still be written is.
type lazyConn struct{ net.Conn }

func (c lazyConn) Close() error {
	time.Sleep(5 * time.Millisecond)
	return c.Conn.Close()
}

// net/http sends a read again if a connection that was used before breaks, and has a
// connection for that at once where another one is idle.
func TestAReadIsNotSentAgainOnAnIdleConnection(t *testing.T) {
	const rounds = 20 // net/http tosses a coin
	var asked atomic.Int64
	for range rounds {
		var two sync.WaitGroup
		two.Add(2)
		g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				two.Done()
				two.Wait()
				return
			}
			asked.Add(1)
			cut("")(w, r)
		}))
		dial := g.transport.DialContext
		g.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return lazyConn{c}, err
		}
		var heads sync.WaitGroup
		for range 2 {
			heads.Go(func() {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, g.api, nil)
				if res, err := g.transport.RoundTrip(req); err != nil {
					t.Error(err)
				} else {
					_ = res.Body.Close()
				}
			})
		}
		heads.Wait()
		c := readMe(t)
		target, err := g.target(c)
		if err != nil {
			t.Fatal(err)
		}
		if res, _, _, err := g.send(t.Context(), c, target, http.Header{}); err == nil {
			_ = res.Body.Close()
			t.Errorf("X answered with status %d", res.StatusCode)
		}
	}
	if n := asked.Load(); n != rounds {
		t.Errorf("for %d reads X was asked %d times", rounds, n)
	}
}
