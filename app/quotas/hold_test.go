package quotas_test

import (
	"strconv"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// TestAClientIsToldHowLongPerchHoldsWhatXRefused: to the second, with X's own
// answer and with the refusals after it.
func TestAClientIsToldHowLongPerchHoldsWhatXRefused(t *testing.T) {
	const action = "getBroadcast" // nothing is published of it
	for name, v := range map[string]struct {
		action string
		before []quota.Window // X's word on an earlier call
		reply  ports.Reply
		want   int
	}{
		"without headers":      {posts, nil, ports.Reply{}, 901},
		"not published either": {action, nil, ports.Reply{}, 60},
		"with headers":         {posts, nil, ports.Reply{Windows: said(200 * time.Second)}, 201},
		"with a long time to wait": {posts, nil, ports.Reply{
			Header: map[string][]string{"Retry-After": {"3600"}}, Wait: time.Hour,
		}, 3600},
		"with headers that make no sense": {posts, nil, ports.Reply{
			Header: map[string][]string{"Retry-After": {"86400"}}, Windows: said(72 * time.Hour),
		}, 901},
		"of a window that X said ends later":  {posts, said(800 * time.Second), ports.Reply{Windows: said(300 * time.Second)}, 801},
		"of a window that X said ends sooner": {posts, said(300 * time.Second), ports.Reply{Windows: said(800 * time.Second)}, 801},
		"of a window that X has just ended":   {posts, nil, ports.Reply{Windows: said(-time.Second)}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			if v.before != nil {
				w.answer(t, w.caller(0), v.action, ports.Reply{Status: 201, Windows: w.dated(v.before, 99)}, nil)
			}
			v.reply.Status, v.reply.Windows = 429, w.dated(v.reply.Windows, 0)
			settle, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(v.action))
			must(t, err)
			settle(t.Context(), &v.reply, nil)
			told, err := strconv.Atoi(v.reply.Header["Retry-After"][0])
			if err != nil || told != v.want {
				t.Errorf("the answer has Retry-After %q, want %d", v.reply.Header["Retry-After"], v.want)
			}
			w.advance(time.Duration(told)*time.Second - time.Millisecond)
			_, err = w.quotas[0].Enter(t.Context(), w.caller(0), w.call(v.action))
			if e := problem(t, err); e.Slug != "x-rate-limit" || e.Wait != time.Millisecond {
				t.Errorf("a moment earlier: %+v", e)
			}
			w.advance(time.Millisecond)
			if n := w.left(t, w.caller(0), v.action, 1); n != 1 {
				t.Error("then the next call is refused")
			}
		})
	}
}

// said is a window of 100 that ends after the time from when it is dated.
func said(reset time.Duration) []quota.Window {
	return []quota.Window{{Span: quota.Short, Limit: 100, Reset: time.Time{}.Add(100*time.Hour + reset)}}
}

func (w *world) dated(all []quota.Window, remaining int64) (out []quota.Window) {
	for _, one := range all {
		out = append(out, w.says(one.Span, one.Limit, remaining, one.Reset.Sub(time.Time{}.Add(100*time.Hour))))
	}
	return out
}

// TestCallsThatNeverReachedXOpenNoWindowThatXClosed: X calls the window full when
// as many calls are under way as would fill it.
func TestCallsThatNeverReachedXOpenNoWindowThatXClosed(t *testing.T) {
	for name, v := range map[string]struct {
		store   ports.QuotaStore
		windows []quota.Window
	}{
		"with headers":              {memory.NewQuota(), said(900 * time.Second)},
		"without":                   {memory.NewQuota(), nil},
		"with headers, from blocks": {blocky{memory.NewQuota()}, said(900 * time.Second)},
		"without, from blocks":      {blocky{memory.NewQuota()}, nil},
	} {
		w := newWorld(t, 1, 1, v.store)
		reply := ports.Reply{Status: 429, Windows: w.dated(v.windows, 0)}
		var open []ports.Settle
		for range 60 {
			settle, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
			must(t, err)
			open = append(open, settle)
		}
		w.answer(t, w.caller(0), posts, reply, nil)
		for _, settle := range open {
			settle(t.Context(), &ports.Reply{}, fault.New(fault.Unavailable, "").Because(ports.ErrUnsent))
		}
		if n := w.left(t, w.caller(0), posts, 100); n != 0 {
			t.Errorf("%s: %d calls are let through after X has refused", name, n)
		}
	}
}

// TestARefusalWhoseBodyBrokeOffClosesTheWindowToo: the error in the answer's place
// is left as it is.
func TestARefusalWhoseBodyBrokeOffClosesTheWindowToo(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	reply := ports.Reply{Status: 429}
	settle, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
	must(t, err)
	settle(t.Context(), &reply, fault.New(fault.Upstream, "X's answer broke off").Named("x-broken-answer"))
	if n := w.left(t, w.caller(0), posts, 1); n != 0 || len(reply.Header) > 0 {
		t.Errorf("%d calls are let through; the headers are %v", n, reply.Header)
	}
}
