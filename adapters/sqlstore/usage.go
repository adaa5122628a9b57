package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/domain/xapp"
	"perch/ports"
)

// How many rows one statement writes or asks for. Statements on D1 may have
// 100,000 bytes; SQLite bounds how many conditions one has.
const (
	mostRows     = 500
	mostRowsOnD1 = 100
	mostAsked    = 25
)

// Usage is a ports.Usage.
type Usage struct {
	reads, writes *bun.DB
	sweeps        *bun.DB // other than writes, so that no call waits for a sweep's turn
	claim         string  // see words
	rows          int     // how many one statement writes
}

var _ ports.Usage = (*Usage)(nil)

func (s *Usage) Keep(ctx context.Context, writer string, totals []spend.Line) error {
	rows := make([]usageRow, len(totals))
	for i, l := range totals {
		rows[i] = usageRow{
			Writer: writer, App: string(l.App), Grant: string(l.Grant), Action: l.Action, Day: int64(l.Day),
			Calls: l.Calls, Resources: l.Resources, Cost: int64(l.Cost), Unsure: int64(l.Unsure),
			Includes: int64(l.Includes), Hits: l.Hits, Saved: int64(l.Saved),
		}
		if !storable(&rows[i]) {
			return unstorable()
		}
	}
	for chunk := range slices.Chunk(rows, s.rows) {
		if err := s.keep(ctx, chunk); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Usage) keep(ctx context.Context, rows []usageRow) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	q := s.writes.NewInsert().Model(&rows).On("CONFLICT (day, app, grant_id, action, writer) DO UPDATE")
	for _, column := range []string{"calls", "resources", "cost", "unsure", "includes", "hits", "saved"} {
		q = q.Set("?0 = CASE WHEN excluded.?0 > u.?0 THEN excluded.?0 ELSE u.?0 END", bun.Ident(column))
	}
	if _, err := q.Exec(ctx); err != nil {
		return unavailable(ctx, err)
	}
	return nil
}

func (s *Usage) First(ctx context.Context, marks []spend.Mark) (first []spend.Mark, err error) {
	for _, m := range marks {
		if !fit(string(m.XApp), m.Kind, m.ID, m.By) {
			return nil, unstorable()
		}
	}
	marks = slices.SortedFunc(slices.Values(marks), spend.OrderMarks) // so that no two wait for each other
	for chunk := range slices.Chunk(marks, s.rows) {
		more, err := s.first(ctx, chunk)
		if err != nil {
			return nil, err
		}
		first = append(first, more...)
	}
	return first, ctx.Err()
}

// first leaves a row that is there as it is. One of the call's own is returned
// too: its statement may have been made before, and its answer lost.
func (s *Usage) first(ctx context.Context, marks []spend.Mark) ([]spend.Mark, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows := make([]billedRow, len(marks))
	for i, m := range marks {
		rows[i] = billedRow{XApp: string(m.XApp), Day: int64(m.Day), Kind: m.Kind, ID: m.ID, Call: m.By}
	}
	var first []billedRow
	err := s.writes.NewInsert().Model(&rows).On("CONFLICT (xapp, day, kind, id) DO UPDATE").
		Set("call = excluded.call").Where("b.call = excluded.call").Returning("*").Scan(ctx, &first)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	out := make([]spend.Mark, len(first))
	for i, r := range first {
		out[i] = spend.Mark{
			Resource: spend.Resource{XApp: xapp.ID(r.XApp), Day: spend.Day(r.Day), Kind: r.Kind, ID: r.ID}, By: r.Call,
		}
	}
	return out, nil
}

func (s *Usage) List(ctx context.Context, q spend.Query) ([]spend.Line, error) {
	if q.Most < 1 || !fit(string(q.App), string(q.Grant), q.Action) {
		return nil, ctx.Err()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	query := s.reads.NewSelect().Model((*usageRow)(nil)).Where("day BETWEEN ? AND ?", int64(q.From), int64(q.To))
	var by []string
	for _, c := range []struct {
		column, is string
		by         bool
	}{
		{"day", "", q.By.Day}, {"app", string(q.App), q.By.App},
		{"grant_id", string(q.Grant), q.By.Grant}, {"action", q.Action, q.By.Action},
	} {
		if c.is != "" {
			query = query.Where("? = ?", bun.Ident(c.column), c.is)
		}
		if c.by {
			query, by = query.Column(c.column), append(by, c.column)
		}
	}
	for _, sum := range []string{"calls", "resources", "cost", "unsure", "includes", "hits", "saved"} {
		query = query.ColumnExpr("CAST(SUM(?) AS BIGINT) AS ?", bun.Ident(sum), bun.Ident(sum))
	}
	if len(by) > 0 {
		columns := bun.Safe(strings.Join(by, ", "))
		query = query.GroupExpr("?", columns).OrderExpr("?", columns)
	} else {
		query = query.Having("COUNT(*) > 0")
	}
	var rows []usageRow
	if err := query.Limit(int64(q.Most)).Scan(ctx, &rows); err != nil {
		return nil, unavailable(ctx, err)
	}
	lines := make([]spend.Line, len(rows))
	for i := range rows {
		lines[i] = rows[i].line()
	}
	return lines, nil
}

func (s *Usage) Sweep(ctx context.Context, before spend.Day) (int, error) {
	return s.sweep(ctx, "usage", "day, app, grant_id, action, writer", before)
}

func (s *Usage) SweepMarks(ctx context.Context, before spend.Day) (int, error) {
	return s.sweep(ctx, "billed", "xapp, day, kind, id", before)
}

// sweep goes by steps. The key is the table's primary one.
func (s *Usage) sweep(ctx context.Context, table, key string, before spend.Day) (int, error) {
	return inSteps(ctx, func(ctx context.Context) (int, error) {
		return affected(ctx)(s.sweeps.ExecContext(ctx, `DELETE FROM ?0 WHERE (?1) IN (
			SELECT ?1 FROM ?0 WHERE day < ?2 LIMIT ?3?4)`,
			bun.Ident(table), bun.Safe(key), int64(before), stepMost, bun.Safe(s.claim)))
	})
}

type usageRow struct {
	bun.BaseModel `bun:"table:usage,alias:u"`

	Day       int64  `bun:"day,pk"`
	App       string `bun:"app,pk"`
	Grant     string `bun:"grant_id,pk"`
	Action    string `bun:"action,pk"`
	Writer    string `bun:"writer,pk"`
	Calls     int64  `bun:"calls"`
	Resources int64  `bun:"resources"`
	Cost      int64  `bun:"cost"`
	Unsure    int64  `bun:"unsure"`
	Includes  int64  `bun:"includes"`
	Hits      int64  `bun:"hits"`
	Saved     int64  `bun:"saved"`
}

func (r *usageRow) line() spend.Line {
	return spend.Line{
		Day: spend.Day(r.Day), App: client.AppID(r.App), Grant: oauth.GrantID(r.Grant), Action: r.Action,
		Amount: spend.Amount{
			Calls: r.Calls, Resources: r.Resources, Cost: money.Micros(r.Cost), Unsure: money.Micros(r.Unsure),
			Includes: money.Micros(r.Includes), Hits: r.Hits, Saved: money.Micros(r.Saved),
		},
	}
}

type billedRow struct {
	bun.BaseModel `bun:"table:billed,alias:b"`

	XApp string `bun:"xapp,pk"`
	Day  int64  `bun:"day,pk"`
	Kind string `bun:"kind,pk"`
	ID   string `bun:"id,pk"`
	Call string `bun:"call"`
}
