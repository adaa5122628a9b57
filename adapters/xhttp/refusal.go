package xhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
)

// A refusal is what to say when X refuses the token or code that was presented.
type refusal struct {
	kind fault.Kind
	slug string
	say  string
}

// of turns an error of a token call into a fault. Nothing of the reply's body
// is kept but X's error code and description, and the description only if none
// of the secrets is in it.
func (r refusal) of(ctx context.Context, w *wire, err error, secrets ...secret.Text) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		if _, sent := errors.AsType[*url.Error](err); sent {
			return w.fault(ctx, err, notKnown)
		}
		return unusable("X's token endpoint gave no usable answer").Because(ctx.Err())
	}
	status := refused.Response.StatusCode
	because := fmt.Errorf("status %d%s", status, described(refused, secrets))
	switch {
	case appRefused(status, refused.ErrorCode):
		return fault.New(fault.Upstream, "X refused this X App's client ID or secret; "+
			"check both in X's developer console and in the settings of Perch").
			Named("x-app-refused").Because(because)
	case rejected(status, refused.ErrorCode):
		return fault.New(r.kind, "%s", r.say).Named(r.slug).Because(fmt.Errorf("%w: %w", ports.ErrRejected, because))
	case status == http.StatusTooManyRequests:
		return fault.New(fault.Limited, "X limits how often tokens are asked for; try again later").
			Named("x-token-limit").After(retryAfter(refused.Response.Header, time.Now())).Because(because)
	}
	return unusable("X's token endpoint gave no usable answer").
		After(xapi.RetryAfter(refused.Response.Header["Retry-After"], time.Now())).Because(because)
}

func unusable(say string) *fault.Error {
	return fault.New(fault.Unavailable, "%s; try again later", say).Named("x-no-answer")
}

// rejected reports whether X said that the token or code itself is no good. X
// says invalid_request where RFC 6749 has invalid_grant.
func rejected(status int, code string) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status/100 == 4 && (code == "invalid_request" || code == "invalid_grant" || code == "invalid_token")
}

func appRefused(status int, code string) bool {
	return (status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden) &&
		(code == "invalid_client" || code == "unauthorized_client")
}

// described returns X's own words as far as they are fit for a log.
func described(refused *oauth2.RetrieveError, secrets []secret.Text) string {
	var words string
	for _, part := range []string{refused.ErrorCode, refused.ErrorDescription} {
		if part != "" && printable(part) && !holds(part, secrets) {
			words += " " + strconv.Quote(clip(part, 200))
		}
	}
	return words
}

// holds reports whether one of the secrets may be in the text. A word as long as
// a token counts too: it may be a secret in another spelling.
func holds(text string, secrets []secret.Text) bool {
	if slices.ContainsFunc(strings.Fields(text), func(word string) bool { return len(word) > 32 }) {
		return true
	}
	for _, s := range secrets {
		if !s.Empty() && strings.Contains(text, s.Reveal()) {
			return true
		}
	}
	return false
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// retryAfter reads how long X, which has been asked too often, wants to be left
// alone, up to a day: as long as it asks, or until its window ends if that can be;
// zero if X does not say. What else is refused waits for no window.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if wait := xapi.RetryAfter(h["Retry-After"], now); wait > 0 {
		return wait
	}
	n, err := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil || n > now.Add(farthest).Unix() {
		return 0
	}
	return min(max(time.Unix(n, 0).Sub(now), 0), xapi.LongestWait)
}
