package xhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// A wire watches what one request does to the connection.
type wire struct {
	connected atomic.Bool // the request was given a connection
	written   atomic.Bool // its header was written
}

var (
	errRepeated = errors.New("the transport was about to send the call again")
	errBroken   = errors.New("the connection broke, or the answer was not HTTP")
)

// watch returns a context for one request. It ends when the transport starts over
// after having written, as net/http does after some HTTP/2 resets if there is no
// body: whether a request is sent twice is decided here.
func (w *wire) watch(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() {
		if w.written.Load() {
			cancel(errRepeated)
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { stop() }, // early: over HTTP/1.1 what has a connection is written all the same
		GotConn: func(got httptrace.GotConnInfo) {
			w.connected.Store(true)
			if stop(); w.written.Load() && !shared(got.Conn) {
				_ = got.Conn.Close()
			}
		},
		WroteHeaders: func() { w.written.Store(true) },
	}), cancel
}

// shared reports whether other calls use the connection at the same time.
func shared(c net.Conn) bool {
	secure, ok := c.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

// notKnown is what a lost answer means where nobody is told to ask again.
const notKnown = "whether it did what was asked is not known"

// inDoubt is what to do about an action of which X's answer is lost.
func inDoubt(a xapi.Action) string {
	switch {
	case a.Method == http.MethodGet:
		return "a read changes nothing, so ask again"
	case a.Idempotent:
		return notKnown + "; it may be sent again without harm"
	}
	return notKnown + ". Look at X before you send it again. With an Idempotency-Key, Perch says at status_url what it " +
		"knows, and POST status_url/resolve looks for you"
}

// fault says that X gave no answer, and whether X can have heard of the call; if
// so, then also what that means.
func (w *wire) fault(ctx context.Context, err error, means string) error {
	if !w.connected.Load() {
		return fault.New(fault.Unavailable, "X cannot be reached; nothing was sent, so it is safe to try again").
			Named("x-unreachable").Because(errors.Join(ports.ErrUnsent, ctx.Err(), bare(err)))
	}
	return fault.New(fault.Unavailable, "X did not answer; %s", means).
		Named("x-no-answer").Because(reason(ctx, err))
}

// reason keeps of err what cannot hold a piece of X's reply: net/http quotes
// a malformed reply in its errors, and a reply may hold tokens.
func reason(ctx context.Context, err error) error {
	err = bare(err)
	if operation, ok := errors.AsType[*net.OpError](err); ok {
		return errors.Join(ctx.Err(), operation)
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.Join(ctx.Err(), refused)
	}
	if timedOut(err) || errors.Is(err, context.Canceled) || errors.Is(err, errRepeated) || errors.Is(err, errNotJSON) {
		return errors.Join(ctx.Err(), err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.Join(ctx.Err(), io.ErrUnexpectedEOF)
	}
	return errors.Join(ctx.Err(), errBroken)
}

func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// once is a transport for calls that must reach X at most once.
type once struct {
	next  http.RoundTripper
	agent string
}

func (o once) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.GetBody = nil // without it the transport cannot send the body again
	req.Header.Set("User-Agent", o.agent)
	req.Header.Set("Accept", "application/json")
	res, err := o.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	// X's token endpoint speaks JSON, whatever the label says.
	res.Header.Set("Content-Type", "application/json")
	return res, nil
}
