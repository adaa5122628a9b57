package quotas

import (
	"sync"
	"time"

	"perch/domain/quota"
	"perch/domain/xapi"
	"perch/domain/xapp"
	"perch/ports"
)

// A lesson is a window of which nothing is published, and X has told.
type lesson struct {
	per    xapi.Per
	max    int64
	length time.Duration
}

type subject struct {
	xapp   xapp.ID
	action string
	user   bool // X counts the calls of users apart from those of the X App
	span   quota.Span
}

// lessons are what X has told about windows that are not published. There are as
// many as there are actions; each replica learns by itself.
type lessons struct {
	mu  sync.Mutex
	all map[subject]lesson
}

// of returns the windows that have been learned for such calls, but those that
// are published.
func (l *lessons) of(who ports.Caller, call ports.Call, published []window) []window {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return nil
	}
	var out []window
	for _, span := range []quota.Span{quota.Short, quota.UserDay, quota.AppDay} {
		one, ok := l.all[about(who, call, span)]
		if !ok || reported(published, span) {
			continue
		}
		out = append(out, one.window(who, call, span))
	}
	return out
}

func about(who ports.Caller, call ports.Call, span quota.Span) subject {
	return subject{xAppOf(call), call.Action.ID, who.User != "", span}
}

func reported(all []window, span quota.Span) bool {
	_, ok := spoken(all, quota.Window{Span: span})
	return ok
}

// learn takes down a window that is not published, and returns it.
func (l *lessons) learn(who ports.Caller, call ports.Call, span quota.Span, limit int64) window {
	one := lesson{per: xapi.PerUser, max: limit, length: day}
	if span == quota.Short {
		one.length = quarter
	}
	if span == quota.AppDay || who.User == "" {
		one.per = xapi.PerApp
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[subject]lesson{}
	}
	l.all[about(who, call, span)] = one
	return one.window(who, call, span)
}

func (l lesson) window(who ports.Caller, call ports.Call, span quota.Span) window {
	return window{
		key: keyOf(who, call, l.per, l.length) + ":learned", per: l.per, span: span, max: l.max, length: l.length,
		learned: true,
	}
}
