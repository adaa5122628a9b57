package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/quota"
	"perch/ports"
)

// After every sweepEvery-th row that may be new, up to sweepMost rows are removed
// whose windows have ended, every sweepTheirs-th time X's: they cannot pile up.
const (
	sweepEvery  = 64
	sweepTheirs = 8
	sweepMost   = 256
)

// memoryOfX is for how long after a window's end it is remembered what X said
// its maximum is.
const memoryOfX = 24 * time.Hour

// Quota is a ports.QuotaStore. Windows of ours are those of the database's clock.
type Quota struct {
	db      *bun.DB
	words   words
	touched atomic.Int64 // how many rows
}

var _ ports.QuotaStore = (*Quota)(nil)

// Spend needs one statement where the rows are there, and something is left.
func (q *Quota) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	charges, err := quota.Complete(charges)
	if err != nil || len(charges) == 0 {
		return quota.Verdict{Allowed: err == nil}, err
	}
	for _, c := range charges {
		if !fit(c.Key) {
			return quota.Verdict{}, unstorable()
		}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	v, err := q.spend(ctx, charges, rowsOf(charges, at))
	if err != nil {
		return quota.Verdict{}, unavailable(ctx, err)
	}
	q.tidy(ctx, len(charges))
	return v, nil
}

// tries bounds how often a charge is begun again because rows came and went
// meanwhile.
const tries = 20

func (q *Quota) spend(ctx context.Context, charges []quota.Charge, rows []bucketRow) (quota.Verdict, error) {
	take := q.takeLocked
	if q.words.claim == "" {
		take = q.takeAlone
	}
	for range tries {
		found, err := take(ctx, rows)
		if err != nil {
			return quota.Verdict{}, err
		}
		if len(found) == len(rows) {
			return verdict(charges, found), nil
		}
	}
	return quota.Verdict{}, errors.New("the counts changed too often meanwhile")
}

// shared is how both kinds of database see the charges: c has them, l the rows
// that are there, g what each bucket would give, and whether all have enough.
const shared = `s AS (SELECT c.i, c.subject, c.maximum, c.span, c.wanted, c.least, c.share,
			l.subject IS NULL AS absent, COALESCE(l.noted, -1) AS noted,
			CASE WHEN l.noted >= 0 THEN l.noted ELSE c.most END AS most,
			CASE WHEN l.resets > c.clock THEN l.used ELSE 0 END AS used,
			CASE WHEN l.resets > c.clock THEN l.resets ELSE c.clock + c.lasts END AS resets,
			CASE WHEN l.resets > c.clock THEN l.guessed WHEN c.span < 0 THEN 1 ELSE 0 END AS guessed
		FROM c LEFT JOIN l ON l.subject = c.subject AND l.maximum = c.maximum AND l.span = c.span),
	r AS (SELECT s.*, most / 100 * share + most % 100 * share / 100 - used AS room FROM s),
	g AS (SELECT r.*, CASE WHEN room < wanted THEN room ELSE wanted END AS gives,
			MIN(CASE WHEN room >= least THEN 1 ELSE 0 END) OVER () AS fits,
			MAX(CASE WHEN absent THEN 1 ELSE 0 END) OVER () AS lacking FROM r)`

// takeLocked locks the rows in one order, so that no two calls wait for each
// other, and looks at them as they are then. It returns nothing if it had to make
// rows first.
func (q *Quota) takeLocked(ctx context.Context, rows []bucketRow) ([]bucketRow, error) {
	const statement = `WITH c (?0) AS (VALUES ?1), l AS MATERIALIZED (SELECT q.* FROM quotas AS q
			JOIN c ON q.subject = c.subject AND q.maximum = c.maximum AND q.span = c.span
			ORDER BY q.subject, q.maximum, q.span FOR UPDATE OF q), ` + shared + `,
		u AS (UPDATE quotas AS q SET used = g.used + g.gives, resets = g.resets, guessed = g.guessed, gave = g.gives
			FROM g WHERE g.fits = 1 AND g.lacking = 0
			AND q.subject = g.subject AND q.maximum = g.maximum AND q.span = g.span)
		SELECT i, used, resets, noted, gives AS gave, fits, lacking FROM g ORDER BY i`
	var found []bucketRow
	if err := q.db.NewRaw(statement, bun.Safe(columns), q.values(rows)).Scan(ctx, &found); err != nil {
		return nil, err
	}
	if len(found) != len(rows) || found[0].Fits == 0 {
		return found, nil
	}
	if found[0].Lacking == 1 {
		return nil, q.begin(ctx, rows)
	}
	for i := range found {
		found[i].Used += found[i].Gave
	}
	return found, nil
}

// begin makes the rows that are not there.
func (q *Quota) begin(ctx context.Context, rows []bucketRow) error {
	const statement = `WITH c (?0) AS (VALUES ?1)
		INSERT INTO quotas (subject, maximum, span, used, resets, guessed)
		SELECT subject, maximum, span, 0, clock + lasts, CASE WHEN span < 0 THEN 1 ELSE 0 END FROM c
		ORDER BY subject COLLATE "C", maximum, span ON CONFLICT DO NOTHING`
	_, err := q.db.ExecContext(ctx, statement, bun.Safe(columns), q.values(rows))
	return err
}

// takeAlone is for databases in which nothing else is written meanwhile. A refusal
// writes nothing; how full the buckets are is then read. It returns nothing if
// they have room by that time.
func (q *Quota) takeAlone(ctx context.Context, rows []bucketRow) ([]bucketRow, error) {
	const looks = `WITH c (?0) AS (VALUES ?1), l AS (SELECT * FROM quotas), ` + shared
	const statement = looks + ` INSERT INTO quotas AS q (subject, maximum, span, used, resets, guessed, gave)
		SELECT subject, maximum, span, used + gives, resets, guessed, gives FROM g WHERE fits = 1
		ON CONFLICT (subject, maximum, span) DO UPDATE SET
			used = excluded.used, resets = excluded.resets, guessed = excluded.guessed, gave = excluded.gave
		RETURNING subject, maximum, span, used, resets, noted, gave, 1 AS fits`
	const full = looks + ` SELECT i, used, resets, noted, gives AS gave, fits FROM g WHERE fits = 0 ORDER BY i`
	var found []bucketRow
	if err := q.db.NewRaw(statement, bun.Safe(columns), q.values(rows)).Scan(ctx, &found); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return found, q.db.NewRaw(full, bun.Safe(columns), q.values(rows)).Scan(ctx, &found)
	}
	for i := range found {
		found[i].I = slices.IndexFunc(rows, found[i].same)
	}
	slices.SortFunc(found, func(a, b bucketRow) int { return a.I - b.I })
	return found, nil
}
