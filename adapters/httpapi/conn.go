package httpapi

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A listener hands out connections that can be watched, as many as the crowd has
// room for, and can close them all.
type listener struct {
	net.Listener
	*crowd
	tls      *tls.Config   // nil for plain HTTP
	patience time.Duration // for a handshake
	linger   time.Duration
}

// Accept returns the next connection that there is room for. Being out of files
// or memory for a moment is no reason to stop.
func (l *listener) Accept() (net.Conn, error) {
	for pause := 5 * time.Millisecond; ; {
		nc, err := l.Listener.Accept()
		switch {
		case exhausted(err):
			l.shed()
			time.Sleep(pause)
			pause = min(2*pause, 100*time.Millisecond)
			continue
		case err != nil:
			return nil, err
		}
		if c := l.take(nc); l.enter(c) {
			return c, nil
		}
		_ = nc.Close()
	}
}

func (l *listener) take(nc net.Conn) *conn {
	c := &conn{Conn: nc, raw: nc, from: l, addr: addressOf(nc)}
	if l.tls != nil {
		c.Conn = tls.Server(nc, l.tls)
	}
	c.hello = sync.OnceValue(c.greet)
	return c
}

func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) ||
		errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ECONNABORTED)
}

// closeUnused closes connections on which nothing has ever been sent.
func (l *listener) closeUnused() { l.closeIf(func(c *conn) bool { return !c.used.Load() }) }

// closeAll closes every connection, whatever happens on it.
func (l *listener) closeAll() { l.closeIf(func(*conn) bool { return true }) }

// A conn remembers that its peer has gone, can be watched for that while nobody
// reads it, and closes so that the last reply is not lost.
type conn struct {
	net.Conn          // speaks TLS if the door does
	raw      net.Conn // beneath it
	from     *listener
	hello    func() error // does the handshake, once
	addr     netip.Addr   // of the peer
	used     atomic.Bool  // the peer has sent something
	gone     atomic.Bool  // the peer has closed its side, or broke
	done     atomic.Bool  // a request has been answered; what is read next is another
	unread   atomic.Bool  // it is to be closed although the peer is still sending

	frames frames // of what has been read

	mu   sync.Mutex
	held []byte // what a watch has read
}

func (c *conn) Read(p []byte) (int, error) {
	if n := c.takeHeld(p); n > 0 {
		c.frames.follow(p[:n])
		return n, nil
	}
	if c.done.CompareAndSwap(true, false) {
		c.from.set(c, idle)
	}
	if err := c.hello(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.used.Store(true)
		c.frames.follow(p[:n])
	}
	if err != nil && !timedOut(err) {
		c.gone.Store(true)
	}
	return n, err
}

// busy keeps the connection from making room for others: it has sent a request.
func (c *conn) busy() {
	c.done.Store(false) // what is read from now on belongs to this one
	c.from.set(c, busy)
}

// slow lets it: all of the request is still to come, from anybody.
func (c *conn) slow() { c.from.set(c, fresh) }

// missable lets it too, though its reply has not been taken yet: anybody may ask
// for such replies and not read them.
func (c *conn) missable() { c.from.set(c, idle) }

// secure reports whether what is sent and read cannot be seen on the way.
func (c *conn) secure() bool { return c.from.tls != nil }

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
		c.from.set(c, spent)
		_ = half.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(c.from.linger))
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	c.from.leave(c)
	return c.Conn.Close()
}

// lingerBytes bounds what is thrown away for a peer that keeps sending.
const lingerBytes = 32 << 20

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}
