package httpapi

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A listener hands out connections that can be watched, and can close them all.
type listener struct {
	net.Listener
	linger time.Duration

	mu   sync.Mutex
	open map[*conn]struct{}
}

func listen(ln net.Listener, linger time.Duration) *listener {
	return &listener{Listener: ln, linger: linger, open: map[*conn]struct{}{}}
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, from: l, addr: addressOf(nc)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	return c, nil
}

// closeUnused closes connections on which nothing has ever been sent.
func (l *listener) closeUnused() { l.closeIf(func(c *conn) bool { return !c.used.Load() }) }

// closeAll closes every connection, whatever happens on it.
func (l *listener) closeAll() { l.closeIf(func(*conn) bool { return true }) }

func (l *listener) closeIf(end func(*conn) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if end(c) {
			_ = c.Conn.Close()
		}
	}
}

// A conn remembers that its peer has gone, can be watched for that while nobody
// reads it, and closes so that the last reply is not lost.
type conn struct {
	net.Conn
	from   *listener
	addr   netip.Addr  // of the peer
	used   atomic.Bool // the peer has sent something
	gone   atomic.Bool // the peer has closed its side, or broke
	unread atomic.Bool // it is to be closed although the peer is still sending

	mu   sync.Mutex
	held []byte // what a watch has read
}

func (c *conn) Read(p []byte) (int, error) {
	if n := c.takeHeld(p); n > 0 {
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.used.Store(true)
	}
	if err != nil && !timedOut(err) {
		c.gone.Store(true)
	}
	return n, err
}

func (c *conn) takeHeld(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.held)
	c.held = c.held[n:]
	return n
}

// watch calls gone once if the peer closes. Nobody may read the connection until
// stop has returned; stop may be called more than once.
func (c *conn) watch(gone func()) (stop func()) {
	done := make(chan struct{})
	_ = c.SetReadDeadline(time.Time{})
	go func() {
		defer close(done)
		var b [1]byte
		n, err := c.Conn.Read(b[:])
		if n == 1 { // the first byte of the next request; it has to wait
			c.mu.Lock()
			c.held = append(c.held, b[0])
			c.mu.Unlock()
			return
		}
		if err != nil && !timedOut(err) { // a deadline is how we are stopped
			c.gone.Store(true)
			gone()
		}
	}()
	return sync.OnceFunc(func() {
		_ = c.SetReadDeadline(time.Unix(1, 0))
		<-done
		_ = c.SetReadDeadline(time.Time{})
	})
}

// Close closes the connection. If the peer is still sending, it is given a
// moment to read the reply first: data that arrives at a closed socket makes
// TCP throw away what has not been read yet.
func (c *conn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.unread.Load() && !c.gone.Load() {
		_ = half.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(c.from.linger))
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// lingerBytes bounds what is thrown away for a peer that keeps sending.
const lingerBytes = 32 << 20

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}
