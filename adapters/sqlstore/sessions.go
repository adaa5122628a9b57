package sqlstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/session"
	"perch/domain/user"
	"perch/ports"
)

// Sessions is a ports.Sessions.
type Sessions struct {
	rows table[sessionRow, session.Session]
}

var _ ports.Sessions = (*Sessions)(nil)

func newSessions(s *Store) *Sessions {
	return &Sessions{table[sessionRow, session.Session]{
		reads: s.reads, writes: s.writes, noun: "session", key: "id", fixed: []string{"id"},
		row: rowOfSession, value: (*sessionRow).session,
	}}
}

func (s *Sessions) Create(ctx context.Context, n session.Session) (session.Session, error) {
	n.Version = 1
	return s.rows.insert(ctx, n)
}

func (s *Sessions) Get(ctx context.Context, id session.ID) (session.Session, error) {
	return s.rows.get(ctx, "id = ?", id)
}

func (s *Sessions) Swap(ctx context.Context, old, next session.Session) (session.Session, error) {
	next.ID, next.Version = old.ID, old.Version+1
	return s.rows.swap(ctx, old.ID, old.Version, next)
}

func (s *Sessions) EndAll(ctx context.Context, grant oauth.GrantID, now time.Time) (int, error) {
	if !fit(grant) {
		return 0, ctx.Err()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	// The version counts this change too, or a swap from before it would undo it.
	// Some databases count what triggers wrote too, so the rows are asked for.
	var ended []string
	_, err := s.rows.writes.NewUpdate().Model((*sessionRow)(nil)).
		Set("revoked = ?", micros(now)).Set("version = version + 1").
		Where("grant_id = ? AND revoked = 0", grant).Returning("id").Exec(ctx, &ended)
	if err != nil {
		return 0, unavailable(ctx, err)
	}
	return len(ended), nil
}

func (s *Sessions) Sweep(ctx context.Context, before time.Time) (int, error) {
	return s.rows.remove(ctx, "expires < ?", micros(before))
}

type sessionRow struct {
	bun.BaseModel `bun:"table:sessions,alias:s"`

	ID       string `bun:"id,pk"`
	App      string `bun:"app"`
	Grant    string `bun:"grant_id"`
	User     string `bun:"user_id"`
	Scopes   string `bun:"scopes"`
	Current  string `bun:"current"`
	Previous string `bun:"previous"`
	JKT      string `bun:"jkt"`
	Cookie   int64  `bun:"cookie"` // 1: yes
	Expires  int64  `bun:"expires"`
	Revoked  int64  `bun:"revoked"`
	Created  int64  `bun:"created"`
	Version  int64  `bun:"version"`
}

func rowOfSession(s session.Session) *sessionRow {
	return &sessionRow{
		ID: string(s.ID), App: string(s.App), Grant: string(s.Grant), User: string(s.User), Scopes: string(s.Scopes),
		Current: s.Current, Previous: s.Previous, JKT: s.JKT, Cookie: flag(s.Cookie),
		Expires: micros(s.Expires), Revoked: micros(s.Revoked), Created: micros(s.Created), Version: s.Version,
	}
}

func (r *sessionRow) session() session.Session {
	return session.Session{
		ID: session.ID(r.ID), App: client.AppID(r.App), Grant: oauth.GrantID(r.Grant), User: user.ID(r.User),
		Scopes: oauth.Scopes(r.Scopes), Current: r.Current, Previous: r.Previous, JKT: r.JKT, Cookie: r.Cookie == 1,
		Expires: moment(r.Expires), Revoked: moment(r.Revoked), Created: moment(r.Created), Version: r.Version,
	}
}
