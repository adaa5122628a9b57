package xhttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"

	"perch/ports"
)

// steady calls send, and again up to twice after a short pause where that can do
// no harm: if nothing was sent, or if the call only reads.
func (g *Gateway) steady(
	ctx context.Context, c ports.Call, send func() (*http.Response, *outgoing, error),
) (*http.Response, error) {
	pauses := backoff.WithMaxRetries(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMultiplier(3),
		backoff.WithMaxElapsedTime(0),
	), 2)
	for {
		res, out, err := send()
		if !repeatable(c, out, res, err) || !rest(ctx, pauses.NextBackOff()) {
			return res, err
		}
		if err == nil {
			_ = res.Body.Close()
		}
	}
}

func repeatable(c ports.Call, out *outgoing, res *http.Response, err error) bool {
	switch {
	case out.touched.Load() || timedOut(err):
		return false
	case errors.Is(err, ports.ErrUnsent):
		return true
	case c.Action.Method != http.MethodGet || !c.Action.Idempotent || c.Action.Stream || c.Body != nil:
		return false
	case err != nil:
		return true
	}
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return res.Header.Get("Retry-After") == ""
	}
	return false
}

// rest reports whether the pause passed before the context ended.
func rest(ctx context.Context, d time.Duration) bool {
	if d == backoff.Stop || ctx.Err() != nil {
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
