package sqlstore

import (
	"context"
	"sync/atomic"

	"github.com/uptrace/bun"

	"perch/domain/quota"
	"perch/ports"
)

// Every sweepEvery-th call also removes up to sweepMost rows whose windows have
// ended. As a call adds at most one row, rows cannot pile up.
const (
	sweepEvery = 64
	sweepMost  = 256
)

// Quota is a ports.QuotaStore. Windows are those of the database's clock.
type Quota struct {
	db    *bun.DB
	words words
	calls atomic.Int64
}

var _ ports.QuotaStore = (*Quota)(nil)

// Take counts up to one more than the maximum: that one says no.
func (q *Quota) Take(ctx context.Context, key string, limit quota.Limit) (quota.Decision, error) {
	const statement = `INSERT INTO quotas AS q (subject, maximum, span, used, resets)
		VALUES (?0, ?1, ?2, 1, ?3 + ?2)
		ON CONFLICT (subject, maximum, span) DO UPDATE SET
			used = CASE WHEN q.resets <= ?3 THEN 1 WHEN q.used <= q.maximum THEN q.used + 1 ELSE q.used END,
			resets = CASE WHEN q.resets <= ?3 THEN ?3 + ?2 ELSE q.resets END
		RETURNING used, resets`
	if !fit(key) {
		return quota.Decision{}, unstorable()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var used, resets int64
	err := q.db.NewRaw(statement, key, limit.Max, limit.Window.Microseconds(), bun.Safe(q.words.clock)).
		Scan(ctx, &used, &resets)
	if err != nil {
		return quota.Decision{}, unavailable(ctx, err)
	}
	if q.calls.Add(1)%sweepEvery == 0 {
		_ = q.sweep(ctx) // the call is counted; a later sweep makes up for this one
	}
	return quota.Decision{
		Allowed: used <= limit.Max, Limit: limit.Max, Remaining: max(limit.Max-used, 0), Reset: moment(resets),
	}, nil
}

// sweep asks twice whether a window has ended: a call may have started a new one
// since the rows were chosen.
func (q *Quota) sweep(ctx context.Context) error {
	const statement = `DELETE FROM quotas WHERE resets <= ?0 AND (subject, maximum, span) IN (
		SELECT subject, maximum, span FROM quotas WHERE resets <= ?0 LIMIT ?1?2)`
	_, err := q.db.ExecContext(ctx, statement, bun.Safe(q.words.clock), sweepMost, bun.Safe(q.words.claim))
	return err
}
