package xhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"perch/domain/fault"
	"perch/ports"
)

// steady calls ask, and again up to twice after a short pause where that can do
// no harm: if nothing was sent, or if the call only reads. All calls together
// may be repeated by a tenth only, so that an X in trouble is not asked more.
func (g *Gateway) steady(
	ctx context.Context, c ports.Call, ask func() (ports.Reply, *outgoing, error),
) (ports.Reply, error) {
	g.repeats.earn()
	pauses := backoff.WithMaxRetries(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMultiplier(3),
		backoff.WithRandomizationFactor(1), // full jitter: from nothing to twice the interval
		backoff.WithMaxElapsedTime(0),
	), 2)
	var known ending
	for {
		reply, out, err := ask()
		known.next(reply, err)
		if !repeatable(c, out, reply, err) {
			return known.reply, known.err
		}
		if pause := pauses.NextBackOff(); pause == backoff.Stop || !g.repeats.spend() || !rest(ctx, pause) {
			return known.reply, known.err
		}
	}
}

// An ending is what came of the last try that X can have heard of, or of the last
// one if X heard of none.
type ending struct {
	reply ports.Reply
	err   error
	heard bool
}

// next takes what came of another try.
func (e *ending) next(reply ports.Reply, err error) {
	unsent := errors.Is(err, ports.ErrUnsent)
	switch {
	case e.heard && unsent:
		return
	case e.heard && e.err == nil:
		_ = e.reply.Body.Close()
	case e.heard && e.reply.Status < http.StatusMultipleChoices: // 0: there was no answer
		reply.Lost++
	}
	reply.Lost += e.reply.Lost
	e.reply, e.err, e.heard = reply, err, !unsent
}

func repeatable(c ports.Call, out *outgoing, reply ports.Reply, err error) bool {
	switch {
	case out.touched.Load() || timedOut(err):
		return false
	case errors.Is(err, ports.ErrUnsent):
		return true
	case c.Action.Method != http.MethodGet || !c.Action.Idempotent || c.Action.Stream || c.Body != nil:
		return false
	case err != nil && fault.SlugOf(err) != pageSlug && !moved(reply.Status):
		return true
	}
	switch reply.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return http.Header(reply.Header).Get("Retry-After") == ""
	}
	return false
}

// rest reports whether the pause passed before the context ended.
func rest(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A budget allows one repetition for every ten calls, and a few at once.
type budget struct {
	mu     sync.Mutex
	tenths int
}

// atOnce is how many repetitions may follow a time in which none was needed.
const atOnce = 10

func newBudget() *budget { return &budget{tenths: 10 * atOnce} }

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tenths = min(b.tenths+1, 10*atOnce)
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tenths < 10 {
		return false
	}
	b.tenths -= 10
	return true
}
