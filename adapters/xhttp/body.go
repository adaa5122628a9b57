package xhttp

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

// outgoing is the body of a call on its way to X. It has no other methods than
// an io.ReadCloser's, so the transport can only read it, once.
type outgoing struct {
	from    io.Reader // nil for none
	length  int64     // -1 if not known
	read    int64
	touched atomic.Bool           // somebody tried to read it
	gone    atomic.Bool           // it must not be read any more
	failed  atomic.Pointer[error] // why reading it failed
}

var errDetached = errors.New("the call has ended")

func bodyOf(c ports.Call) *outgoing {
	if c.Length == 0 {
		return &outgoing{}
	}
	return &outgoing{from: c.Body, length: c.Length}
}

func (o *outgoing) Read(p []byte) (int, error) {
	if o.gone.Load() {
		return 0, errDetached
	}
	o.touched.Store(true)
	if o.length >= 0 && int64(len(p)) > o.length-o.read {
		p = p[:o.length-o.read]
	}
	if len(p) == 0 && o.read == o.length {
		return 0, io.EOF
	}
	n, err := o.from.Read(p)
	o.read += int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		o.failed.Store(&err)
	case o.length >= 0 && o.read < o.length:
		err = fault.New(fault.Invalid, "the request's body ended after %d of %d bytes", o.read, o.length).
			Because(io.ErrUnexpectedEOF)
		o.failed.Store(&err)
	}
	return n, err
}

// Close does not close what is read from; that belongs to the caller.
func (o *outgoing) Close() error {
	o.detach()
	return nil
}

// detach stops the transport from starting another read, as it may do after it
// has returned.
func (o *outgoing) detach() { o.gone.Store(true) }

// incoming is a reply's body that says when it is closed, and can be cut off.
type incoming struct {
	io.ReadCloser
	once  sync.Once
	done  func()
	cut   context.CancelCauseFunc // ends the call for the reason
	ended context.Context         // of the call
}

func (i *incoming) Close() error {
	err := i.ReadCloser.Close()
	i.once.Do(i.done)
	return err
}

// errSlow says that X began to answer and did not go on.
var errSlow error = slowness{}

type slowness struct{}

func (slowness) Error() string   { return "the answer stopped coming, or took too long" }
func (slowness) Timeout() bool   { return true }
func (slowness) Temporary() bool { return true }

// all reads at most so many bytes. Each has to follow the one before within the
// patience, and all of them within twice as long.
func (i *incoming) all(most int64, patience time.Duration) ([]byte, error) {
	slow := func() { i.cut(errSlow) }
	stall, total := time.AfterFunc(patience, slow), time.AfterFunc(2*patience, slow)
	defer total.Stop()
	defer stall.Stop()
	b, err := io.ReadAll(io.LimitReader(readerFunc(func(p []byte) (int, error) {
		n, err := i.Read(p)
		stall.Reset(patience)
		return n, err
	}), most))
	if err != nil && errors.Is(context.Cause(i.ended), errSlow) {
		err = errSlow
	}
	return b, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
