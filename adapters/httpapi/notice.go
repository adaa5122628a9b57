package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"perch/app/sessions"
	"perch/domain/fault"
)

// Of requests that are refused, the first few of each minute are logged one by
// one, and the rest as a number: a flood of them fills no disk and drowns
// nothing. Those that may tell of a leak have lines of their own.
const (
	noticedSingly = 60
	noticeSpan    = time.Minute
)

// signs are refusals that somebody should look at: a key is where it should not
// be, or somebody tries keys.
var signs = []string{"secret-key-in-browser", "key-address-not-allowed", "too-many-wrong-keys"}

// notices logs refused requests.
type notices struct{ usual, alarming notice }

// A notice counts the lines of one kind in a span.
type notice struct {
	mu         sync.Mutex
	since      time.Time
	told, held int
}

// singly reports whether a line is logged by itself, and how many were held back
// in a span that has ended.
func (n *notice) singly(now time.Time) (ok bool, held int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.since) >= noticeSpan {
		held = n.held
		n.since, n.told, n.held = now, 0, 0
	}
	if n.told < noticedSingly {
		n.told++
		return true, held
	}
	n.held++
	return false, held
}

// notice logs a refusal that is not Perch's own fault.
func (s *Server) notice(r *request, p problem, err error) {
	level, of := slog.LevelInfo, &s.notices.usual
	if slices.Contains(signs, p.slug) || errors.Is(err, sessions.ErrReused) {
		level, of = slog.LevelWarn, &s.notices.alarming
	}
	ok, held := of.singly(time.Now())
	if held > 0 {
		s.log.Log(r.ctx, level, "more requests were refused in a minute before", "requests", held)
	}
	if ok {
		s.log.Log(r.ctx, level, "request refused", "request", r.id, "address", r.addr.String(), "method", r.method,
			"path", clip(r.path, 200), "status", p.status, "problem", p.slug, "err", err)
	}
}

// noticed reports whether a refusal is logged: one that comes before anybody was
// let in, or of a client at the token endpoints. What callers are refused later
// is in the line of their operation.
func (s *Server) noticed(r *request, p problem) bool {
	if r.odd {
		return true
	}
	if s.admin || r.route == nil || r.caller.App.ID != "" {
		return false
	}
	switch p.fault.Kind {
	case fault.Unauthenticated, fault.Forbidden, fault.Limited:
		return true
	default:
		return r.route.guard == guardClient && p.status >= http.StatusBadRequest
	}
}
