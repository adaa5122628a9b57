package memory

import (
	"context"
	"time"

	"perch/domain/oauth"
	"perch/domain/session"
	"perch/ports"
)

// Sessions is a ports.Sessions.
type Sessions struct {
	sessions table[session.ID, session.Session]
}

var _ ports.Sessions = (*Sessions)(nil)

// NewSessions returns an empty store of sessions.
func NewSessions() *Sessions {
	return &Sessions{sessions: table[session.ID, session.Session]{
		noun:    "session",
		id:      func(s *session.Session) *session.ID { return &s.ID },
		version: func(s *session.Session) *int64 { return &s.Version },
		copied: func(s session.Session) session.Session {
			s.Expires, s.Revoked, s.Created = moment(s.Expires), moment(s.Revoked), moment(s.Created)
			return s
		},
		alters: func(was, next session.Session) bool { return next.Alters(was) },
	}}
}

func (s *Sessions) Create(ctx context.Context, n session.Session) (session.Session, error) {
	return s.sessions.create(ctx, n)
}

func (s *Sessions) Get(ctx context.Context, id session.ID) (session.Session, error) {
	return s.sessions.get(ctx, id)
}

func (s *Sessions) Swap(ctx context.Context, old, next session.Session) (session.Session, error) {
	return s.sessions.swap(ctx, old, next)
}

func (s *Sessions) EndAll(ctx context.Context, grant oauth.GrantID, now time.Time) (int, error) {
	if err := ended(ctx); err != nil {
		return 0, err
	}
	t := &s.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for id, row := range t.rows {
		if row.Grant == grant && row.Revoked.IsZero() {
			row = row.End(moment(now))
			row.Version++
			t.rows[id] = row
			n++
		}
	}
	if n > 0 {
		t.changes.Add(1)
	}
	return n, nil
}

func (s *Sessions) Sweep(ctx context.Context, before time.Time) (int, error) {
	return s.sessions.remove(ctx, func(row session.Session) bool { return row.Expires.Before(moment(before)) })
}
