package quotas

import (
	"fmt"
	"slices"
	"time"

	"perch/domain/quota"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

const (
	day     = 24 * time.Hour
	quarter = 15 * time.Minute // X's usual window

	// grace is how far X's clock and ours may be apart, together with the time a call
	// takes to X. Around the end of a window nothing is sent for that long, so that
	// what is counted here in one window is counted there in the same.
	grace = time.Second

	// unknownMax stands for a limit that X has not said.
	unknownMax = 1 << 40

	// batchShare is the percentage of X's windows that batch callers may use up.
	batchShare = 80
)

// families are the headers by which X reports its windows.
var families = map[quota.Span]string{
	quota.Short: "X-Rate-Limit-", quota.UserDay: "X-User-Limit-24hour-", quota.AppDay: "X-App-Limit-24hour-",
}

// A window is one of X's that a call counts in.
type window struct {
	key    string
	per    xapi.Per
	span   quota.Span // of the headers that report it
	max    int64      // as published, or as learned where nothing is
	length time.Duration

	learned bool // nothing is published of it
}

// charge asks the window for a call. Until X has said when the window ends, it is
// taken to end a little late.
func (w window) charge(who ports.Caller) quota.Charge {
	c := quota.Charge{Key: w.key, Max: w.max, Window: w.length + grace, Theirs: true}
	if who.Batch {
		c.Share = batchShare
	}
	return c
}

// turns reports whether the window is so near its end that X may count a call in
// the next. Windows of seconds are too short for that.
func (w window) turns(at, reset time.Time) bool {
	return w.length >= time.Minute && !at.Before(reset.Add(-2*grace))
}

// windowsOf are X's windows that count the call: those of the user, whichever
// client application asks; those of the X App for its own calls and, where
// something is written, for everybody's.
func (s *Service) windowsOf(who ports.Caller, call ports.Call) []window {
	if !s.windows || call.Action.Public() {
		return nil
	}
	var all []window
	for _, l := range call.Action.Limits {
		if l.Per == xapi.PerUser && who.User == "" ||
			l.Per == xapi.PerApp && who.User != "" && call.Action.Method == "GET" {
			continue
		}
		all = append(all, windowOf(who, call, l))
	}
	return append(all, s.learned.of(who, call, all)...)
}

func windowOf(who ports.Caller, call ports.Call, l xapi.Limit) window {
	w := window{per: l.Per, max: int64(l.N), length: l.Window, span: quota.Short}
	switch {
	case l.Window >= day && l.Per == xapi.PerUser:
		w.span = quota.UserDay
	case l.Window >= day:
		w.span = quota.AppDay
	}
	w.key = keyOf(who, call, l.Per, l.Window)
	return w
}

// keyOf names a window. Users are X's, for all client applications of an X App
// use up the same window of a user.
func keyOf(who ports.Caller, call ports.Call, per xapi.Per, length time.Duration) string {
	owner := "app"
	if per == xapi.PerUser {
		owner = "user:" + string(who.User)
	}
	return fmt.Sprintf("x:%s:%s:%s:%s", xAppOf(call), owner, call.Action.ID, quota.Length(length))
}

func xAppOf(call ports.Call) xapp.ID {
	if call.XApp == "" {
		return xapp.Default
	}
	return call.XApp
}

// spoken finds the window of which X speaks. In its short headers X reports one
// of several windows: that with the limit it names, or else the longest.
func spoken(all []window, said quota.Window) (window, bool) {
	var fit []window
	for _, w := range all {
		if w.span == said.Span {
			fit = append(fit, w)
		}
	}
	if len(fit) == 0 {
		return window{}, false
	}
	if i := slices.IndexFunc(fit, func(w window) bool { return w.max == said.Limit }); i >= 0 {
		return fit[i], true
	}
	return slices.MaxFunc(fit, func(a, b window) int { return int(a.length - b.length) }), true
}
