package sqlstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/idempotency"
	"perch/domain/secret"
	"perch/ports"
)

// Replies is a ports.Replies.
type Replies struct {
	rows table[replyRow, idempotency.Record]
}

var _ ports.Replies = (*Replies)(nil)

func newReplies(s *Store) *Replies {
	return &Replies{table[replyRow, idempotency.Record]{
		reads: s.reads, writes: s.writes, noun: "call", key: "scope",
		row: rowOfReply, value: (*replyRow).record,
	}}
}

func (s *Replies) Create(ctx context.Context, r idempotency.Record) error {
	_, err := s.rows.insert(ctx, r)
	return err
}

func (s *Replies) Get(ctx context.Context, scope string) (idempotency.Record, error) {
	return s.rows.get(ctx, "scope = ?", scope)
}

// still is the condition that a record is the one it was.
const still = "scope = ? AND attempt = ? AND state = ?"

func (s *Replies) Swap(ctx context.Context, old, next idempotency.Record) error {
	row := rowOfReply(next)
	switch {
	case !fit(old.Scope, old.Attempt, string(old.State)):
		return missing(s.rows.noun)
	case !storable(row):
		return unstorable()
	}
	bound, cancel := bounded(ctx)
	defer cancel()
	n, err := affected(bound)(s.rows.writes.NewUpdate().Model(row).ExcludeColumn("scope").
		Where(still, old.Scope, old.Attempt, string(old.State)).Exec(bound))
	return s.came(ctx, old, n, err)
}

func (s *Replies) Remove(ctx context.Context, old idempotency.Record) error {
	n, err := s.rows.remove(ctx, still, old.Scope, old.Attempt, string(old.State))
	return s.came(ctx, old, n, err)
}

func (s *Replies) Sweep(ctx context.Context, now time.Time) (int, error) {
	return s.rows.remove(ctx, "kept_until <= ?", micros(now))
}

// came says why no row was changed, if none was.
func (s *Replies) came(ctx context.Context, old idempotency.Record, n int, err error) error {
	if err != nil || n > 0 {
		return err
	}
	if _, err := s.Get(ctx, old.Scope); err != nil {
		return err
	}
	return overtaken(s.rows.noun)
}

type replyRow struct {
	bun.BaseModel `bun:"table:replies,alias:r"`

	Scope       string `bun:"scope,pk"`
	Attempt     string `bun:"attempt"`
	Fingerprint string `bun:"fingerprint"`
	Action      string `bun:"action"`
	State       string `bun:"state"`
	Status      int64  `bun:"status"`
	Request     string `bun:"request"`
	Reply       string `bun:"reply"`
	Created     int64  `bun:"created"`
	Sent        int64  `bun:"sent"`
	Lease       int64  `bun:"lease"`
	Until       int64  `bun:"kept_until"`
}

func rowOfReply(r idempotency.Record) *replyRow {
	return &replyRow{
		Scope: r.Scope, Attempt: r.Attempt, Fingerprint: r.Fingerprint, Action: r.Action, State: string(r.State),
		Status: int64(r.Status), Request: string(r.Request), Reply: string(r.Reply),
		Created: micros(r.Created), Sent: micros(r.Sent), Lease: micros(r.Lease), Until: micros(r.Until),
	}
}

func (r *replyRow) record() idempotency.Record {
	return idempotency.Record{
		Scope: r.Scope, Attempt: r.Attempt, Fingerprint: r.Fingerprint, Action: r.Action,
		State: idempotency.State(r.State), Status: int(r.Status), Request: secret.Box(r.Request), Reply: secret.Box(r.Reply),
		Created: moment(r.Created), Sent: moment(r.Sent), Lease: moment(r.Lease), Until: moment(r.Until),
	}
}
