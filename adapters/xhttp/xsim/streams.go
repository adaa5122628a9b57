package xsim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	waiting    = 256              // messages a slow reader may fall behind before it is cut
	writeLimit = 10 * time.Second // for one message to leave
)

// A connection is one open stream, or was.
type connection struct {
	id, app, action string
	call            *call
	out             chan []byte
	done            chan struct{}
	opened, closed  time.Time
	reason          string
}

// A switchboard knows the open streams, those of the past, and the rules of each app.
type switchboard struct {
	open  []*connection
	past  []*connection
	rules map[string][]streamRule
}

func newSwitchboard() switchboard { return switchboard{rules: map[string][]streamRule{}} }

// openStream answers an action that does not end by itself.
func openStream(s *Sim, c *call) reply {
	allowed := 1
	if c.act.ID == "activityStream" {
		allowed = 2
	}
	for _, other := range s.streams.open {
		if other.app == c.cred.app && other.action == c.act.ID {
			allowed--
		}
	}
	if allowed <= 0 {
		return problem(http.StatusTooManyRequests, "streaming-connection", "ConnectionException",
			"This stream is currently at the maximum allowed connection limit.",
			object{"connection_issue": "TooManyConnections"})
	}
	if c.act.ID == "streamPosts" && len(s.streams.rules[c.cred.app]) == 0 {
		return problem(http.StatusConflict, "streaming-connection", "ConnectionException",
			"You must define rules before connecting to this stream.",
			object{"connection_issue": "RuleConfigurationIssue"})
	}
	k := &connection{
		id: s.newID(), app: c.cred.app, action: c.act.ID, call: c, opened: s.now(),
		out: make(chan []byte, waiting), done: make(chan struct{}),
	}
	s.streams.open = append(s.streams.open, k)
	s.noteBy(c, "connection.opened", k.id, details{"action": k.action})
	c.stream = k
	pause := s.settings.keepAlive
	return reply{endless: func(w http.ResponseWriter, r *http.Request) { k.relay(w, r, pause) }}
}

// relay sends what comes, and a blank line when nothing does, until either side ends it.
func (k *connection) relay(w http.ResponseWriter, r *http.Request, keepAlive time.Duration) {
	control := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		var line []byte
		select {
		case line = <-k.out:
			quiet.Reset(keepAlive)
		case <-quiet.C:
		case <-k.done:
			return
		case <-r.Context().Done():
			return
		}
		// A server may not support deadlines; then a dead client is found by its context.
		_ = control.SetWriteDeadline(time.Now().Add(writeLimit))
		if _, err := w.Write(append(line, '\r', '\n')); err != nil {
			return
		}
		_ = control.Flush()
	}
}

// hangUp forgets a call's stream once its reply has ended, however it ended.
func (s *Sim) hangUp(c *call) {
	if c.stream == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := c.stream
	s.streams.close(k, "client disconnected")
	k.closed = s.now()
	s.noteBy(c, "connection.closed", k.id, details{"action": k.action, "reason": k.reason})
}

// close ends a stream; the relay notices. It may be called again.
func (b *switchboard) close(k *connection, reason string) bool {
	i := slices.Index(b.open, k)
	if i < 0 {
		return false
	}
	b.open = slices.Delete(b.open, i, i+1)
	b.past = append(b.past, k)
	k.reason = reason
	close(k.done)
	return true
}

// closeAll ends every stream that pass accepts and returns them.
func (b *switchboard) closeAll(pass func(*connection) bool) []*connection {
	var closed []*connection
	for _, k := range slices.Clone(b.open) {
		if pass(k) && b.close(k, "closed by the box") {
			closed = append(closed, k)
		}
	}
	return closed
}

// tell queues a message for a stream and cuts a reader that is too slow.
func (b *switchboard) tell(k *connection, message object) {
	line, err := json.Marshal(message)
	if err != nil {
		return // unreachable: messages are plain values
	}
	select {
	case k.out <- line:
	default:
		b.close(k, "slow reader")
	}
}

// announce tells every stream of an action the same.
func (s *Sim) announce(action string, message object) {
	for _, k := range slices.Clone(s.streams.open) {
		if k.action == action {
			s.streams.tell(k, message)
		}
	}
}

// publish tells every stream of posts about a new one.
func (s *Sim) publish(p *post) {
	for _, k := range slices.Clone(s.streams.open) {
		message := object{"data": s.postView(k.call.authored(), p)}
		if in := s.includes(k.call, []*post{p}); len(in) > 0 {
			message["includes"] = in
		}
		switch {
		case k.action == "streamPosts":
			hits := s.hits(k.app, p)
			if len(hits) == 0 {
				continue
			}
			message["matching_rules"] = hits
		case k.action == "streamPostsFirehose" || k.action == "streamPostsFirehoseEn":
		case strings.HasPrefix(k.action, "streamPostsSample"):
		default:
			continue
		}
		s.streams.tell(k, message)
	}
}
