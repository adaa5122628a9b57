package quotas_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// says is X's word on a window, as so many seconds from now.
func (w *world) says(span quota.Span, limit, remaining int64, reset time.Duration) quota.Window {
	return quota.Window{Span: span, Limit: limit, Remaining: remaining, Reset: w.now().Add(reset)}
}

// left counts how many calls are still let through.
func (w *world) left(t *testing.T, who ports.Caller, action string, most int) (n int) {
	t.Helper()
	for range most {
		settle, err := w.quotas[0].Enter(t.Context(), who, w.call(action))
		if err != nil {
			return n
		}
		defer settle(t.Context(), &ports.Reply{}, fault.New(fault.Unavailable, "").Because(ports.ErrUnsent))
		n++
	}
	return n
}

// answer has X give the reply to one call.
func (w *world) answer(t *testing.T, who ports.Caller, action string, reply ports.Reply, err error) {
	t.Helper()
	settle, refused := w.quotas[0].Enter(t.Context(), who, w.call(action))
	must(t, refused)
	settle(t.Context(), &reply, err)
}

// TestXsWordCountsWhereItCanBeTrue: X allows 100 posts in 15 minutes for each user
// as published, and this reply came to the first of them.
func TestXsWordCountsWhereItCanBeTrue(t *testing.T) {
	const short = quota.Short
	capped := []byte(`{"type":"https://api.twitter.com/2/problems/usage-capped","title":"UsageCapExceeded"}`)
	for name, v := range map[string]struct {
		status  int
		windows func(w *world) []quota.Window
		whole   []byte
		wait    time.Duration
		left    int           // of calls, at once
		later   time.Duration // after which there are more
		then    int
	}{
		"as expected": {201, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 99, 900*time.Second)}
		}, nil, 0, 99, 902 * time.Second, 100},
		"others use the X App too": {201, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 10, 300*time.Second)}
		}, nil, 0, 10, 302 * time.Second, 100},
		"a higher limit by contract": {201, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 300, 299, 900*time.Second)}
		}, nil, 0, 299, 902 * time.Second, 300},
		"a lower limit": {201, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 50, 49, 900*time.Second)}
		}, nil, 0, 49, 902 * time.Second, 50},
		"X counts less than we do": {201, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 100, 900*time.Second)}
		}, nil, 0, 99, 902 * time.Second, 100},
		"nothing":                {201, nil, nil, 0, 99, 903 * time.Second, 100},
		"more left than allowed": {201, func(w *world) []quota.Window { return []quota.Window{w.says(short, 10, 5000, time.Minute)} }, nil, 0, 99, 903 * time.Second, 100},
		"a limit of nothing":     {201, func(w *world) []quota.Window { return []quota.Window{w.says(short, 0, 0, time.Minute)} }, nil, 0, 99, 903 * time.Second, 100},
		"numbers below zero":     {201, func(w *world) []quota.Window { return []quota.Window{w.says(short, -5, -9, time.Minute)} }, nil, 0, 99, 903 * time.Second, 100},
		"a reset in the past":    {201, func(w *world) []quota.Window { return []quota.Window{w.says(short, 100, 0, -time.Minute)} }, nil, 0, 99, 903 * time.Second, 100},
		"a reset days away":      {201, func(w *world) []quota.Window { return []quota.Window{w.says(short, 100, 0, 72*time.Hour)} }, nil, 0, 99, 903 * time.Second, 100},
		"a day's reset for 15 m": {201, func(w *world) []quota.Window { return []quota.Window{w.says(short, 100, 0, 23*time.Hour)} }, nil, 0, 99, 903 * time.Second, 100},
		"a user's day that is not published": {201, func(w *world) []quota.Window {
			return []quota.Window{w.says(quota.UserDay, 17, 2, 5*time.Hour)}
		}, nil, 0, 2, 5*time.Hour + 2*time.Second, 17},
		"an app's day": {201, func(w *world) []quota.Window {
			return []quota.Window{w.says(quota.AppDay, 10000, 7, 5*time.Hour)}
		}, nil, 0, 7, 5*time.Hour + 2*time.Second, 100},
		"429, and the window is full": {429, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 0, 200*time.Second)}
		}, nil, 0, 0, 202 * time.Second, 100},
		"429 without headers":              {429, nil, nil, 0, 0, 903 * time.Second, 100},
		"429 of a web server, for an hour": {429, nil, nil, time.Hour, 0, 3602 * time.Second, 100},
		"429 though X says there are more": {429, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 80, 500*time.Second)}
		}, nil, 0, 0, 903 * time.Second, 100},
		"429 with a limit beyond all numbers": {429, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, math.MaxInt64, 0, 500*time.Second)}
		}, nil, 0, 0, 903 * time.Second, 100},
		"429 of a window that has just ended": {429, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 0, -time.Second)}
		}, nil, 0, 0, time.Minute, 100},
		"429 of a window that ends too late": {429, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 0, 23*time.Hour)}
		}, nil, 0, 0, 903 * time.Second, 100},
		"429 of a window that ended long ago": {429, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 0, -time.Minute)}
		}, nil, 0, 0, 903 * time.Second, 100},
		"429 for the usage cap": {429, func(w *world) []quota.Window {
			return []quota.Window{w.says(short, 100, 99, 900*time.Second)}
		}, capped, 0, 99, 902 * time.Second, 100},
		"429 for the usage cap, without headers": {429, nil, capped, 0, 99, 903 * time.Second, 100},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			reply := ports.Reply{Status: v.status, Whole: v.whole, Wait: v.wait}
			if v.windows != nil {
				reply.Windows = v.windows(w)
			}
			w.answer(t, w.caller(0), posts, reply, nil)
			if n := w.left(t, w.caller(0), posts, 400); n != v.left {
				t.Errorf("%d calls are left, want %d", n, v.left)
			}
			w.advance(v.later)
			if n := w.left(t, w.caller(0), posts, 400); n != v.then {
				t.Errorf("%v later %d calls are left, want %d", v.later, n, v.then)
			}
		})
	}
}

// TestAWindowThatIsNotPublishedIsLearned: nothing is published of getBroadcast.
func TestAWindowThatIsNotPublishedIsLearned(t *testing.T) {
	const action = "getBroadcast"
	w := newWorld(t, 1, 1, nil)
	if n := w.left(t, w.caller(0), action, 500); n != 500 {
		t.Fatalf("%d calls are let through before X has said anything", n)
	}
	w.answer(t, w.caller(0), action, ports.Reply{Status: 200, Windows: []quota.Window{w.says(quota.Short, 30, 4, 90*time.Second)}}, nil)
	if n := w.left(t, w.caller(0), action, 500); n != 4 {
		t.Errorf("%d calls are left, X said 4", n)
	}
	other := w.caller(0)
	other.User = "9"
	if n := w.left(t, other, action, 500); n != 30 {
		t.Errorf("another user has %d calls, X allows each 30", n)
	}
	w.advance(92 * time.Second)
	if n := w.left(t, w.caller(0), action, 500); n != 30 {
		t.Errorf("in the next window %d calls are let through", n)
	}
}

func TestARefusalOfAnActionWithoutWindowsClosesItForAMinute(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.answer(t, w.caller(0), "getBroadcast", ports.Reply{Status: 429}, nil)
	_, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call("getBroadcast"))
	if e := problem(t, err); e.Slug != "x-rate-limit" || e.Wait != time.Minute || len(e.Head) != 0 {
		t.Errorf("%+v", e)
	}
	w.advance(time.Minute)
	if n := w.left(t, w.caller(0), "getBroadcast", 500); n != 500 {
		t.Errorf("a minute later %d calls are let through", n)
	}
}

// TestARefusalInXsPlaceReadsLikeXs: with the headers that clients of X look at.
func TestARefusalInXsPlaceReadsLikeXs(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.answer(t, w.caller(0), posts, ports.Reply{Status: 201, Windows: []quota.Window{
		w.says(quota.Short, 100, 0, 300*time.Second),
	}}, nil)
	_, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
	e := problem(t, err)
	reset := w.now().Add(301 * time.Second).Unix() // the second of grace is in it
	want := map[string]string{"X-Rate-Limit-Limit": "100", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": fmt.Sprint(reset)}
	if e.Slug != "x-rate-limit" || e.Wait != 301*time.Second || e.Extra["limited"] != "x-user" || e.Extra["window"] != "15m" ||
		fmt.Sprint(e.Head) != fmt.Sprint(want) {
		t.Errorf("%+v", e)
	}
}

// TestOfTwoFullWindowsTheLongerSaysWhenToComeBack: the user's 15 minutes end before
// the X App's day.
func TestOfTwoFullWindowsTheLongerSaysWhenToComeBack(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.answer(t, w.caller(0), posts, ports.Reply{Status: 201, Windows: []quota.Window{
		w.says(quota.Short, 100, 0, 300*time.Second), w.says(quota.AppDay, 10000, 0, 4*time.Hour),
	}}, nil)
	_, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
	if e := problem(t, err); e.Wait != 4*time.Hour+time.Second || e.Extra["limited"] != "x-app" ||
		e.Head["X-App-Limit-24hour-Remaining"] != "0" || e.Head["X-Rate-Limit-Remaining"] != "0" {
		t.Errorf("%+v", e)
	}
}

// TestNothingIsSentAroundTheEndOfAWindow: for a second on each side.
func TestNothingIsSentAroundTheEndOfAWindow(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.answer(t, w.caller(0), posts, ports.Reply{Status: 201, Windows: []quota.Window{
		w.says(quota.Short, 100, 99, 300*time.Second),
	}}, nil)
	w.advance(299*time.Second - time.Millisecond)
	if n := w.left(t, w.caller(0), posts, 200); n != 99 {
		t.Errorf("a little more than a second before the end %d calls are left, want 99", n)
	}
	for _, step := range []time.Duration{time.Millisecond, time.Second, 999 * time.Millisecond} {
		w.advance(step)
		_, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
		if e := problem(t, err); e.Slug != "x-rate-limit" || e.Wait > 2*time.Second || e.Wait < time.Millisecond {
			t.Errorf("%v later: %+v", step, e)
		}
	}
	w.advance(time.Millisecond)
	if n := w.left(t, w.caller(0), posts, 200); n != 100 {
		t.Errorf("in the next window %d calls are left, want 100", n)
	}
}

func TestBatchKeysLeaveAShareToThoseWhoWait(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	batch := w.caller(0)
	batch.Batch = true
	var open []ports.Settle
	for range 80 {
		settle, err := w.quotas[0].Enter(t.Context(), batch, w.call(posts))
		must(t, err)
		open = append(open, settle)
	}
	_, err := w.quotas[0].Enter(t.Context(), batch, w.call(posts))
	if e := problem(t, err); e.Slug != "x-rate-limit" || e.Extra["limited"] != "batch" {
		t.Errorf("%+v", e)
	}
	if n := w.left(t, w.caller(0), posts, 100); n != 20 {
		t.Errorf("%d calls are left to those who wait", n)
	}
	if len(open) != 80 {
		t.Error("the calls that were let through are gone")
	}
}

// TestClientApplicationsShareAUsersWindow: X counts the user's calls, whichever
// application makes them.
func TestClientApplicationsShareAUsersWindow(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	for i := range 60 {
		w.answer(t, w.caller(i%2), posts, ports.Reply{Status: 201}, nil)
	}
	if n := w.left(t, w.caller(2), posts, 200); n != 40 {
		t.Errorf("a third application has %d calls, want 40", n)
	}
}

// X may have counted a read each time that it was asked.
func TestAnswersThatWereLostUseXsWindowsUp(t *testing.T) {
	for _, c := range []struct{ before, lost, left int }{{0, 0, 74}, {0, 2, 72}, {73, 2, 0}} {
		w := newWorld(t, 1, 1, nil)
		who := w.caller(0)
		for range c.before {
			w.answer(t, who, "getUsersMe", ports.Reply{Status: 200}, nil)
		}
		w.answer(t, who, "getUsersMe", ports.Reply{Status: 200, Lost: c.lost}, nil)
		if n := w.left(t, who, "getUsersMe", 100); n != c.left {
			t.Errorf("%d lost after %d: %d are left, want %d", c.lost, c.before, n, c.left)
		}
	}
}
