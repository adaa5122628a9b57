package httpapi

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"perch/domain/fault"
)

// How many bytes a request's body may have. X takes segments of up to 5 MiB;
// written as base64 in JSON they grow by a third, and a one-shot upload may hold
// a whole image or GIF.
const (
	noLimit     = 0        // the route takes no body
	smallLimit  = 64 << 10 // where none is needed, but clients send {}
	tokenLimit  = 16 << 10
	jsonLimit   = 1 << 20
	uploadLimit = 16 << 20
)

// A body is a request's body. It ends with io.EOF only if the client has sent
// it whole; it waits for each piece a while, and for all of it not for ever.
// It may still be read by the gateway's transport after the handler is done, so
// it can be cut off from the connection.
type body struct {
	mu     sync.Mutex
	from   io.Reader // nil once detached
	conn   *conn
	length int64 // -1 if chunked
	limit  int64
	read   int64
	idle   time.Duration
	until  time.Time // when all of it must have come
	ended  error     // what Read says from now on
	whole  func()    // called once when the end has been read
}

// bodyOf returns the body of the request, or nil if it has none.
func bodyOf(fc *fasthttp.RequestCtx, c *conn) *body {
	length := int64(fc.Request.Header.ContentLength())
	from := fc.RequestBodyStream()
	if from == nil || length == 0 {
		return nil
	}
	return &body{from: from, conn: c, length: max(length, -1), whole: func() {}}
}

// bound sets how much is read and how long that may take. A declared length
// beyond the limit is refused at once.
func (b *body) bound(limit int64, idle, total time.Duration) error {
	b.limit, b.idle, b.until = limit, idle, time.Now().Add(total)
	if b.length > limit {
		return tooLarge(limit)
	}
	return nil
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "the body is larger than the %d bytes this operation takes", limit)
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended != nil:
		return 0, b.ended
	case b.from == nil:
		return 0, errDetached
	}
	if over := b.limit + 1 - b.read; int64(len(p)) > over {
		p = p[:over] // one byte more than allowed is enough to know
	}
	deadline := time.Now().Add(b.idle)
	if b.until.Before(deadline) {
		deadline = b.until
	}
	_ = b.conn.SetReadDeadline(deadline)
	n, err := b.from.Read(p)
	b.read += int64(n)
	if b.read > b.limit {
		n, err = 0, tooLarge(b.limit)
	}
	if err != nil {
		b.ended = b.verdict(err)
		if errors.Is(b.ended, io.EOF) {
			b.conn.busy()
			b.whole()
		}
	}
	return n, b.ended
}

// verdict tells a body's end from its breaking off: a connection that closes
// between two chunks or before the declared length looks like an end too.
func (b *body) verdict(err error) error {
	_, ours := errors.AsType[*fault.Error](err)
	switch {
	case ours:
		return err
	case timedOut(err):
		return fault.New(fault.Invalid, "the body stopped coming before its end; send it again, faster").
			Named(slowBody).Because(err)
	case b.length < 0 && b.conn.frames.crooked.Load():
		return fault.New(fault.Invalid, "the body is not framed as HTTP wants it: chunks have no extensions, and no trailers")
	case !errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "the body is not framed as HTTP wants it, or broke off").Because(err)
	case b.length >= 0 && b.read < b.length, b.length < 0 && b.conn.gone.Load():
		return fault.New(fault.Invalid, "the body broke off after %d bytes", b.read).Because(io.ErrUnexpectedEOF)
	}
	return io.EOF
}

// detach cuts the body off from the connection and reports whether all of it
// was read. If not, the connection cannot be used again: what is left would be
// taken for the next request.
func (b *body) detach() (whole bool) {
	if !b.mu.TryLock() { // somebody is waiting for the client: wake it
		_ = b.conn.SetReadDeadline(time.Unix(1, 0))
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.from, b.whole = nil, nil
	return errors.Is(b.ended, io.EOF) || (b.length >= 0 && b.read == b.length)
}

var errDetached = fault.New(fault.Internal, "").Because(errors.New("the request has ended"))
