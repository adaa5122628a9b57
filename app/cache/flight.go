package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

// patience is how long a question that others wait for too may take.
const patience = time.Minute

// A takeoff is what a flight is known by. Nobody joins one that began before a
// write of the same grant.
type takeoff struct {
	key  key
	turn uint64
}

// A flight is a question to X that is under way.
type flight struct {
	landed chan struct{}
	direct chan ports.Reply // to whoever began it, where the answer still comes

	// Set before it has landed:
	reply  ports.Reply
	err    error
	single bool // the answer still comes, so that only one can read it
	before bool // it had landed already, and this is of what is kept
}

// together joins the flight for the key, or begins it. It is flown apart from
// whoever began it, who may leave, as all others may. Who comes just after one has
// landed, having found nothing kept just before, gets what is kept of it.
func (s *Service) together(
	ctx context.Context, k key, kept func() (ports.Reply, bool), ask func(context.Context) (ports.Reply, error),
) (r ports.Reply, joined bool, err error) {
	f, began := s.join(ctx, k, kept, ask)
	select {
	case <-f.landed:
	case <-ctx.Done():
		return r, false, left(ctx)
	}
	switch {
	case f.single && began:
		select {
		case r := <-f.direct:
			return r, false, nil
		case <-ctx.Done():
			return r, false, left(ctx)
		}
	case began:
		return f.copied(), false, f.err
	case f.before:
		return f.reply, true, nil
	case f.single || errors.Is(f.err, ports.ErrUnsent): // which is nothing to others, who may have a limit of their own
		r, err := ask(ctx)
		return r, false, err
	case f.err != nil:
		return r, true, f.err
	}
	return f.shared(), true, nil
}

func left(ctx context.Context) error {
	return fault.New(fault.Unavailable, "the request ended before it was served").Because(ctx.Err())
}

func (s *Service) join(
	ctx context.Context, k key, kept func() (ports.Reply, bool), ask func(context.Context) (ports.Reply, error),
) (f *flight, began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := takeoff{k, s.turn(k.owner).Load()}
	if f := s.flights[t]; f != nil {
		return f, false
	}
	f = &flight{landed: make(chan struct{}), direct: make(chan ports.Reply)}
	if f.reply, f.before = kept(); f.before {
		close(f.landed)
		return f, false
	}
	s.flights[t] = f
	go s.fly(ctx, t, f, ask)
	return f, true
}

func (s *Service) fly(ctx context.Context, t takeoff, f *flight, ask func(context.Context) (ports.Reply, error)) {
	apart, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	f.reply, f.err = s.asked(apart, t, ask)
	f.single = f.err == nil && f.reply.Whole == nil
	s.mu.Lock()
	delete(s.flights, t)
	s.mu.Unlock()
	close(f.landed)
	if !f.single {
		cancel()
		return
	}
	r := f.reply
	r.Body = &ending{r.Body, cancel}
	select {
	case f.direct <- r:
	case <-ctx.Done():
		_ = r.Body.Close()
	}
}

// asked asks, and keeps the answer. A panic must not end the process, in which
// others are served.
func (s *Service) asked(
	ctx context.Context, t takeoff, ask func(context.Context) (ports.Reply, error),
) (r ports.Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = ports.Reply{}, fault.New(fault.Internal, "").Because(fmt.Errorf("panic: %v", p))
		}
	}()
	began := s.now()
	if r, err = ask(ctx); err == nil {
		note(&r, "fwd=uri-miss", s.keep(t.key, began, t.turn, r))
	}
	return r, err
}

// copied is the answer to whoever began the flight. It shares nothing with those
// of others that is ever written to.
func (f *flight) copied() ports.Reply {
	if f.err != nil {
		return f.reply
	}
	r := whole(f.reply.Status, f.reply.Whole, maps.Clone(f.reply.Header))
	r.Windows, r.Transaction = f.reply.Windows, f.reply.Transaction
	return r
}

// shared is the answer to those who joined. What was said of the limits and the
// costs of whoever began it is not for them.
func (f *flight) shared() ports.Reply {
	h := maps.Clone(f.reply.Header)
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		return strings.HasPrefix(name, "Ratelimit") || strings.HasPrefix(name, "Perch-")
	})
	h[statusHeader], h[costHeader] = []string{"perch; fwd=uri-miss; collapsed"}, []string{"0.00"}
	r := whole(f.reply.Status, f.reply.Whole, h)
	r.Transaction = f.reply.Transaction
	return r
}

// whole is a reply whose body is there.
func whole(status int, body []byte, header map[string][]string) ports.Reply {
	return ports.Reply{
		Status: status, Header: header, Length: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Whole: body,
	}
}

// ending is a body with which its question ends.
type ending struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (e *ending) Close() error {
	defer e.cancel()
	return e.ReadCloser.Close()
}
