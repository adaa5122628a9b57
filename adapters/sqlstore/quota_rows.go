package sqlstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/quota"
)

// columns are those of the charges in a statement.
const columns = "i, subject, maximum, span, clock, lasts, most, wanted, least, share"

// A bucketRow is a charge on its way to the database, and what came of it.
type bucketRow struct {
	bun.BaseModel `bun:"table:quotas"`

	I       int    `bun:"i"`
	Subject string `bun:"subject"`
	Maximum int64  `bun:"maximum"`
	Span    int64  `bun:"span"`

	Used    int64 `bun:"used"`
	Resets  int64 `bun:"resets"`
	Noted   int64 `bun:"noted"`
	Gave    int64 `bun:"gave"`
	Fits    int   `bun:"fits"`
	Lacking int   `bun:"lacking"`

	charge quota.Charge
	at     time.Time
}

func rowsOf(charges []quota.Charge, at time.Time) []bucketRow {
	rows := make([]bucketRow, len(charges))
	for i, c := range charges {
		name := c.Name()
		rows[i] = bucketRow{I: i, Subject: name.Key, Maximum: name.Max, Span: span(name), charge: c, at: at}
	}
	return rows
}

func span(n quota.Name) int64 {
	if n.Window < 0 {
		return -1
	}
	return n.Window.Microseconds()
}

func (r bucketRow) same(other bucketRow) bool {
	return r.Subject == other.Subject && r.Maximum == other.Maximum && r.Span == other.Span
}

// values are the rows as a statement lists them.
func (q *Quota) values(rows []bucketRow) bun.Safe {
	texts := make([]string, len(rows))
	for i, r := range rows {
		clock := any(bun.Safe(q.words.clock))
		if r.charge.Theirs {
			clock = micros(r.at)
		}
		texts[i] = q.db.QueryGen().FormatQuery("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			r.I, r.Subject, r.Maximum, r.Span, clock, r.charge.Window.Microseconds(),
			r.charge.Max, r.charge.Cost, r.charge.Least, r.charge.Share)
	}
	return bun.Safe(strings.Join(texts, ", "))
}

// verdict reads what the database did. The rows are in the order of the charges.
func verdict(charges []quota.Charge, found []bucketRow) quota.Verdict {
	v := quota.Verdict{Allowed: found[0].Fits == 1, Grips: make([]quota.Grip, len(found))}
	full := -1
	for i, r := range found {
		g := &v.Grips[i]
		g.Limit, g.Reset = charges[i].Max, moment(r.Resets)
		if charges[i].Theirs && r.Noted >= 0 {
			g.Limit = r.Noted
		}
		g.Remaining = max(g.Limit-r.Used, 0)
		if v.Allowed {
			g.Allowed, g.Given = true, r.Gave
			continue
		}
		if g.Allowed = r.Gave >= charges[i].Least; !g.Allowed && full < 0 {
			full = i
		}
	}
	v.Full = max(full, 0)
	return v
}

// Refund gives back to rows in the order in which Spend locks them.
func (q *Quota) Refund(ctx context.Context, returns []quota.Return) error {
	const statement = `WITH c (subject, maximum, span, resets, gave) AS (VALUES ?0),
		l AS (SELECT q.subject, q.maximum, q.span FROM quotas AS q
			JOIN c ON q.subject = c.subject AND q.maximum = c.maximum AND q.span = c.span
			ORDER BY q.subject, q.maximum, q.span?1)
		UPDATE quotas AS q SET used = CASE WHEN q.used > c.gave THEN q.used - c.gave ELSE 0 END
		FROM c JOIN l ON l.subject = c.subject AND l.maximum = c.maximum AND l.span = c.span
		WHERE q.subject = c.subject AND q.maximum = c.maximum AND q.span = c.span AND q.resets = c.resets`
	type window struct {
		name  quota.Name
		reset int64
	}
	given := map[window]int64{}
	for _, r := range returns {
		if r.Given > 0 && fit(r.Charge.Key) {
			given[window{r.Charge.Name(), micros(r.Reset)}] += r.Given
		}
	}
	var values []string
	for w, n := range given {
		values = append(values, q.db.QueryGen().FormatQuery("(?, ?, ?, ?, ?)",
			w.name.Key, w.name.Max, span(w.name), w.reset, n))
	}
	if len(values) == 0 {
		return nil
	}
	lock := ""
	if q.words.claim != "" {
		lock = " FOR UPDATE OF q"
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := affected(ctx)(q.db.ExecContext(ctx, statement,
		bun.Safe(strings.Join(values, ", ")), bun.Safe(lock)))
	return err
}

// Note writes nothing where X said what is known already.
func (q *Quota) Note(ctx context.Context, at time.Time, notes []quota.Note) error {
	const slack = "1000000" // quota.Slack
	const statement = `INSERT INTO quotas AS q (subject, maximum, span, used, resets, noted) VALUES ?0
		ON CONFLICT (subject, maximum, span) DO UPDATE SET
			used = CASE WHEN (q.guessed = 1 AND (q.resets <= ?1 OR excluded.resets - q.resets > q.resets - ?1))
					OR (q.guessed = 0 AND excluded.resets > q.resets + ` + slack + `)
				OR excluded.used > q.used THEN excluded.used ELSE q.used END,
			resets = excluded.resets, noted = excluded.noted, guessed = 0
		WHERE (q.guessed = 1 OR excluded.resets >= q.resets - ` + slack + `)
			AND (q.guessed = 1 OR excluded.used > q.used OR excluded.resets <> q.resets OR excluded.noted <> q.noted)`
	notes = quota.Believable(notes, at)
	slices.SortStableFunc(notes, func(a, b quota.Note) int { return strings.Compare(a.Key, b.Key) })
	var values []string
	for i, n := range notes {
		if fit(n.Key) && (i == 0 || notes[i-1].Key != n.Key) {
			values = append(values, q.db.QueryGen().FormatQuery("(?, -1, -1, ?, ?, ?)",
				n.Key, n.Used, micros(n.Reset), n.Max))
		}
	}
	if len(values) == 0 {
		return nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := affected(ctx)(q.db.ExecContext(ctx, statement, bun.Safe(strings.Join(values, ", ")), micros(at)))
	if err == nil {
		q.tidy(ctx, len(values))
	}
	return err
}

// tidy sweeps when the rows make the number of all touched pass the next one to
// sweep after. A later sweep makes up for one that failed.
func (q *Quota) tidy(ctx context.Context, rows int) {
	after := q.touched.Add(int64(rows))
	due := func(every int64) bool { return after/every != (after-int64(rows))/every }
	if due(sweepEvery) {
		_ = q.sweep(ctx, "span >= 0", 0)
	}
	if due(sweepEvery * sweepTheirs) {
		_ = q.sweep(ctx, "span < 0", memoryOfX)
	}
}

// sweep asks twice whether a window has ended: a call may have started a new one
// since the rows were chosen.
func (q *Quota) sweep(ctx context.Context, kind string, after time.Duration) error {
	const statement = `DELETE FROM quotas WHERE resets <= ?0 - ?1 AND (subject, maximum, span) IN (
		SELECT subject, maximum, span FROM quotas WHERE resets <= ?0 - ?1 AND ?2 LIMIT ?3?4)`
	_, err := q.db.ExecContext(ctx, statement, bun.Safe(q.words.clock), after.Microseconds(), bun.Safe(kind),
		sweepMost, bun.Safe(q.words.claim))
	return err
}
