package deliveries

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
)

// Slugs of faults that say how a call with the same key stands.
const (
	keyInProgress = "idempotency-in-progress"
	keyUnknown    = "idempotency-unknown"
	keyNotLooked  = "idempotency-not-looked"
	keyReused     = "idempotency-key-reused"
	keyDone       = "idempotency-answer-not-kept"
)

// refused is what becomes of a delivery when there is no answer of X's, but perhaps
// its status.
func refused(d delivery.Delivery, status int, err error, now time.Time) delivery.Delivery {
	o, wait := outcomeOf(err), waitOf(err)
	o.Status = status
	doubtful := !d.Doubt.IsZero() && !errors.Is(err, ports.ErrUndone)
	untried := errors.Is(err, ports.ErrUnsent) || idempotency.OutcomeOf(status, false) == idempotency.Untried
	switch {
	case o.Problem == keyInProgress:
		return d.Postpone(o, wait, doubtful, spread(), now)
	case o.Problem == delivery.TooLate && !d.Late(now): // its turn was over, and not its time
		return d.Postpone(delivery.Outcome{}, 0, doubtful, spread(), now)
	case o.Problem == delivery.TooLate:
		return tooLate(d, o, now)
	case o.Problem == keyDone && status < 400:
		return d.End(delivery.Done, o, now)
	case o.Problem == keyDone:
		return d.End(delivery.Failed, o, now)
	case o.Problem == keyUnknown && wait == 0:
		return d.GiveUp(now)
	case !final(err):
		return d.Postpone(ours(o), lookOf(o, wait), doubtful || !untried, spread(), now)
	case doubtful:
		return d.GiveUp(now) // it is forbidden now; it may have been done before
	}
	return d.End(delivery.Failed, o, now)
}

// ours says what Perch does where the sentence is for those who look for themselves.
func ours(o delivery.Outcome) delivery.Outcome {
	switch o.Problem {
	case keyUnknown:
		o.Detail = "X was asked, and its answer was lost; what was asked is not to be seen at X yet, which may be late. " +
			"Perch looks again, and sends it again if it is still not there; there is nothing to do"
	case keyNotLooked:
		o.Detail = "X was asked, and its answer was lost; X does not show now whether it was done. Perch looks again; " +
			"there is nothing to do"
	}
	return o
}

// mostHeld is how long is waited at most for what people can lift at any moment.
const mostHeld = time.Minute

// lookOf is the wait before the next attempt. Perch's own refusals for a limit of
// ours, a budget, a cap or credits cost nothing to ask for again, and nobody tells
// when they are lifted.
func lookOf(o delivery.Outcome, wait time.Duration) time.Duration {
	if !slices.Contains([]string{"limit-reached", "budget-spent", "x-usage-cap", "x-out-of-credits"}, o.Problem) {
		return wait
	}
	if wait <= 0 {
		return mostHeld
	}
	return min(wait, mostHeld)
}

// tooLate ends a delivery for which X may not be asked any more. Its key was free,
// so X has not performed it, unless the key of such an action is let go in doubt.
func tooLate(d delivery.Delivery, o delivery.Outcome, now time.Time) delivery.Delivery {
	switch {
	case d.Doubt.IsZero():
		return d.Settle(now)
	case d.Harmless():
		return d.GiveUp(now)
	}
	o.Detail = "X has not done it, and its time is over, so it is not sent any more"
	return d.End(delivery.Expired, o, now)
}

// suspicions are refusals of X that end no grant: the next refresh may be taken.
func suspicions() []string { return []string{"x-refresh-refused", "grant-suspect"} }

// final reports whether the call would fail tomorrow too.
func final(err error) bool {
	if slices.Contains(suspicions(), fault.SlugOf(err)) {
		return false
	}
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Unauthenticated, fault.Forbidden, fault.NotFound, fault.WrongMethod, fault.TooLarge:
		return true
	case fault.Conflict, fault.Limited, fault.Upstream, fault.Unavailable, fault.Internal:
	}
	return fault.SlugOf(err) == keyReused
}

func outcomeOf(err error) delivery.Outcome {
	o := delivery.Outcome{Problem: "internal", Detail: "Perch could not do this because of a fault of its own"}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		o.Problem, o.Detail = f.Slug, f.Say
		if o.Problem == "" {
			o.Problem = strings.ReplaceAll(f.Kind.Error(), " ", "-")
		}
	}
	return o
}

func waitOf(err error) time.Duration {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Wait
	}
	return 0
}

// answered is what becomes of a delivery when X has answered. Where the key is let
// go in doubt, what X says is not of an earlier attempt whose answer was lost: the
// doubt stays until X has done it.
func (s *Service) answered(
	ctx context.Context, d delivery.Delivery, r ports.Reply, now time.Time,
) delivery.Delivery {
	o := delivery.Outcome{Status: r.Status, Type: first(r.Header, "Content-Type")}
	body := bodyOf(r)
	if len(body) > 0 {
		box, err := s.Keyring.Seal(ctx, secret.New(string(body)), d.Label(delivery.ReplyLabel))
		if err == nil {
			o.Reply = box
		}
	}
	wait := xapi.RetryAfter(r.Header["Retry-After"], now)
	open := idempotency.OutcomeOf(r.Status, true) == idempotency.Open
	doubtful := !d.Doubt.IsZero() && d.Harmless()
	switch trouble := xapi.TroubleOf(r.Status, body).Fault(body); {
	case !idempotency.Legible(r.Status, r.Whole):
		o = delivery.Outcome{Status: r.Status, Problem: "x-refused", Detail: "X's answer cannot be read, so nobody knows " +
			"whether X has done it; it is looked for, or tried again"}
		return d.Postpone(o, wait, true, spread(), now)
	case r.Status/100 == 2:
		return d.End(delivery.Done, o, now)
	case trouble != nil:
		o.Problem, o.Detail = trouble.Slug, trouble.Say
		return d.Postpone(o, wait, doubtful, spread(), now)
	case slices.Contains([]int{402, 425, 429}, r.Status), open:
		o.Problem, o.Detail = "x-refused", "X answered with status "+strconv.Itoa(r.Status)+"; it is tried again"
		return d.Postpone(o, wait, doubtful || open, spread(), now)
	case doubtful:
		d.Outcome.Status = r.Status
		return d.GiveUp(now)
	}
	o.Problem, o.Detail = "x-refused", "X answered with status "+strconv.Itoa(r.Status)+", which is final"
	return d.End(delivery.Failed, o, now)
}

// bodyOf is X's reply if it is small enough to be kept.
func bodyOf(r ports.Reply) []byte {
	body := r.Whole
	if r.Body != nil {
		if body == nil {
			var err error
			if body, err = io.ReadAll(io.LimitReader(r.Body, MostBody+1)); err != nil {
				body = nil
			}
		}
		_ = r.Body.Close()
	}
	if len(body) > MostBody {
		return nil
	}
	return body
}

func first(header map[string][]string, name string) string {
	if values := header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
