package replays

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/xapi"
	"perch/ports"
)

const (
	// answerLimit is how long a call may take, and uploadLimit, if X is sent a file.
	answerLimit = 3 * time.Minute
	uploadLimit = 12 * time.Minute

	// atOnce is how long whoever asked waits until the outcome is written down.
	// After that it is written behind his back.
	atOnce = 3 * time.Second

	// longestPause is between two tries to write.
	longestPause = 5 * time.Second

	// mostWaiting is how many outcomes may wait for a store that is away. Beyond
	// that a call is unknown as soon as its holder may not write any more.
	mostWaiting = 1000
)

// An attempt is a call on its way.
type attempt struct {
	s      *Service
	key    idempotency.Key
	record idempotency.Record
	action xapi.Action
	body   []byte

	limit  time.Duration
	ctx    context.Context // of the call, with an end
	cancel context.CancelCauseFunc
	hold   func() bool // from now on the caller's leaving ends nothing; false: he has left
	done   func()      // ends what belongs to the call
}

func (s *Service) attempt(
	ctx context.Context, key idempotency.Key, r idempotency.Record, act xapi.Action, body []byte,
) *attempt {
	a := &attempt{s: s, key: key, record: r, action: act, body: body, limit: answerLimit}
	if act.Body == xapi.Upload {
		a.limit = uploadLimit
	}
	until := time.Now().Add(a.limit)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	bounded, end := context.WithDeadline(context.WithoutCancel(ctx), until)
	a.ctx, a.cancel = context.WithCancelCause(ports.Checked(bounded, a.inTime))
	a.hold = context.AfterFunc(ctx, func() { a.cancel(context.Cause(ctx)) })
	a.done = func() { a.hold(); a.cancel(nil); end() }
	return a
}

// sent writes down that X is about to be asked. Where it returns an error X must
// not be.
func (a *attempt) sent(ctx context.Context) error {
	if !a.hold() {
		return fault.New(fault.Unavailable, "the request ended before X was asked").Because(context.Cause(ctx))
	}
	request, err := a.s.sealRequest(ctx, a.record.Scope, a.body)
	if err != nil {
		return err
	}
	next := a.record.Send(request, a.s.Now(), a.limit)
	err = a.s.Replies.Swap(ctx, a.record, next)
	if errors.Is(err, fault.Conflict) || errors.Is(err, fault.NotFound) {
		a.record.Lease = time.Time{} // it took so long that another request has the key
		return a.s.linked(inProgress(), a.key)
	}
	if err != nil {
		return err
	}
	a.record = next
	if a.s.Now().Sub(next.Sent) > idempotency.Grace { // this machine stood still: others may soon think it dead
		return late()
	}
	return nil
}

// inTime fails where X may not be asked any more. A machine can stand still, and
// then others may think it dead, look what became of the call, and ask X again.
func (a *attempt) inTime() error {
	if a.record.State == idempotency.Sent && !a.s.Now().Before(a.record.Sent.Add(a.limit)) {
		return late()
	}
	return nil
}

func late() error {
	return fault.New(fault.Unavailable, "it took too long until X could be asked, so X was not asked; try again").
		After(time.Second)
}

// finish writes down what came of the call, and gives that to whoever asked.
func (a *attempt) finish(reply ports.Reply, err error) (ports.Reply, error) {
	ctx := context.WithoutCancel(a.ctx)
	switch a.outcome(reply, err) {
	case idempotency.Untried:
		a.release(ctx)
	case idempotency.Final:
		a.settle(ctx, reply)
	case idempotency.Open:
		a.lose(ctx, reply)
		reply, err = a.point(reply, err)
	}
	if err != nil || reply.Whole != nil {
		a.done()
		return reply, err
	}
	reply.Body = &held{ReadCloser: reply.Body, done: a.done}
	return reply, nil
}

// point says, of a call of which it is unknown what became of it, where to look:
// beside X's answer by a link (RFC 8288; the relation is that of RFC 8631).
func (a *attempt) point(reply ports.Reply, err error) (ports.Reply, error) {
	if a.action.Idempotent {
		return reply, err
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return reply, a.s.linked(f, a.key)
	}
	header := maps.Clone(reply.Header)
	if header == nil {
		header = map[string][]string{}
	}
	header["Link"] = append(slices.Clone(header["Link"]), "<"+a.s.statusURL(a.key)+`>; rel="status"`)
	reply.Header = header
	return reply, err
}

func (a *attempt) outcome(reply ports.Reply, err error) idempotency.Outcome {
	if a.record.State != idempotency.Sent || errors.Is(err, ports.ErrUnsent) ||
		errors.Is(err, fault.Invalid) || errors.Is(err, fault.TooLarge) { // half a body is not performed
		return idempotency.Untried
	}
	if err == nil && xapi.TroubleOf(reply.Status, reply.Whole) != xapi.NoTrouble {
		return idempotency.Untried // X says so with other statuses too
	}
	return idempotency.OutcomeOf(reply.Status, err == nil && idempotency.Legible(reply.Status, reply.Whole))
}

// undone reports whether X has performed no call with the key: this one had the key
// all along, and X did not perform it.
func (a *attempt) undone(reply ports.Reply, err error) bool {
	return !a.action.Idempotent && a.outcome(reply, err) == idempotency.Untried && a.s.Now().Before(a.record.Lease)
}

// settle writes X's answer down.
func (a *attempt) settle(ctx context.Context, reply ports.Reply) {
	box, err := a.s.sealReply(ctx, a.record.Scope, reply)
	if err != nil {
		box = "" // that X did it is worth more than its words
	}
	a.write(ctx, a.record.Settle(reply.Status, box, a.s.Now()))
}

// lose writes down that nobody knows, unless repeating does no harm.
func (a *attempt) lose(ctx context.Context, reply ports.Reply) {
	if a.action.Idempotent {
		a.release(ctx)
		return
	}
	a.write(ctx, a.record.Lose(reply.Status, a.s.Now()))
}

func (a *attempt) write(ctx context.Context, next idempotency.Record) {
	a.s.persist(ctx, func(ctx context.Context) error { return a.s.Replies.Swap(ctx, a.record, next) })
}

// release lets the key go: X has not performed the call. A write that failed may
// have been stored all the same, so both states are tried.
func (a *attempt) release(ctx context.Context) {
	a.s.persist(ctx, func(ctx context.Context) error {
		sent := a.record
		sent.State = idempotency.Sent
		err := a.s.Replies.Remove(ctx, a.record)
		if errors.Is(err, fault.Conflict) && a.record.State != sent.State {
			err = a.s.Replies.Remove(ctx, sent)
		}
		return err
	})
}

// persist writes now, or goes on trying for as long as nobody else may touch the
// record, if not too many do. What could not be written by then is unknown to
// those who look.
func (s *Service) persist(ctx context.Context, write func(context.Context) error) {
	if !s.tryNow(ctx, write) {
		return // written, or another attempt has the key
	}
	select {
	case s.waiting <- struct{}{}:
	default:
		return
	}
	s.work.Go(func() {
		defer func() { <-s.waiting }()
		ctx, cancel := context.WithTimeout(s.base, uploadLimit)
		defer cancel()
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, longestPause) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // nobody gains by guessing it
			}
			if !errors.Is(write(ctx), fault.Unavailable) {
				return
			}
		}
	})
}

// tryNow writes, and reports whether the store did not answer.
func (s *Service) tryNow(ctx context.Context, write func(context.Context) error) bool {
	now, cancel := context.WithTimeout(context.WithoutCancel(ctx), atOnce)
	defer cancel()
	return errors.Is(write(now), fault.Unavailable)
}

// held is a reply's body that ends what belongs to it when it is closed.
type held struct {
	io.ReadCloser
	once sync.Once
	done func()
}

func (h *held) Close() error {
	err := h.ReadCloser.Close()
	h.once.Do(h.done)
	return err
}
