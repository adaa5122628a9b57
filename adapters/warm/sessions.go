package warm

import (
	"context"
	"time"

	"perch/domain/oauth"
	"perch/domain/session"
	"perch/ports"
)

// Sessions is a ports.Sessions that reads the store it stands before. What is
// written through it is known at once to those who read through Warm.
type Sessions struct {
	ports.Sessions
	sessions *shelf[session.ID, session.Session]
}

var _ ports.Sessions = (*Sessions)(nil)

// Sessions returns a store of sessions before s.
func (w *Watch) Sessions(s ports.Sessions) *Sessions {
	good := func(s session.Session, now time.Time) bool { return s.Good(now) }
	count := func(n ports.Counts) int64 { return n.Sessions }
	return &Sessions{s, newShelf[session.ID](w, count, good, nil)}
}

func (s *Sessions) Create(ctx context.Context, n session.Session) (session.Session, error) {
	defer s.sessions.drop(n.ID)
	return s.Sessions.Create(ctx, n)
}

func (s *Sessions) Swap(ctx context.Context, old, next session.Session) (session.Session, error) {
	defer s.sessions.drop(old.ID)
	return s.Sessions.Swap(ctx, old, next)
}

func (s *Sessions) EndAll(ctx context.Context, grant oauth.GrantID, now time.Time) (int, error) {
	defer s.sessions.clear()
	return s.Sessions.EndAll(ctx, grant, now)
}

// Warm returns the sessions as the hot path reads them.
func (s *Sessions) Warm() ports.Sessions { return warmSessions{s} }

type warmSessions struct{ *Sessions }

func (s warmSessions) Get(ctx context.Context, id session.ID) (session.Session, error) {
	return s.sessions.get(ctx, id, func(ctx context.Context) (session.Session, error) {
		return s.Sessions.Get(ctx, id)
	})
}
