package sqlstore

import (
	"context"

	"github.com/uptrace/bun"

	"perch/domain/fault"
	"perch/ports"
)

// Heads is a ports.Heads.
type Heads struct {
	rows table[headRow, ports.Head]
}

var _ ports.Heads = (*Heads)(nil)

func newHeads(s *Store) *Heads {
	return &Heads{table[headRow, ports.Head]{
		reads: s.reads, writes: s.writes, noun: "record", key: "id", fixed: []string{"id"},
		row: rowOfHead, value: (*headRow).head,
	}}
}

func (s *Heads) Get(ctx context.Context, id string) (ports.Head, error) {
	return s.rows.get(ctx, "id = ?", id)
}

func (s *Heads) Advance(ctx context.Context, version int64, next ports.Head) error {
	if next.Version <= version {
		return fault.New(fault.Invalid, "version %d does not follow version %d", next.Version, version)
	}
	if version == 0 {
		_, err := s.rows.insert(ctx, next)
		return err
	}
	row := rowOfHead(next)
	if !storable(row) {
		return unstorable()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.changed(affected(ctx)(s.rows.writes.NewUpdate().Model(row).ExcludeColumn("id").
		Where("id = ?", next.ID).Where("version = ?", version).Exec(ctx)))
}

func (s *Heads) Settle(ctx context.Context, id string, version int64) error {
	if !fit(id) {
		return overtaken(s.rows.noun)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return s.changed(affected(ctx)(s.rows.writes.NewUpdate().Model((*headRow)(nil)).Set("unsettled = 0").
		Where("id = ?", id).Where("version = ?", version).Exec(ctx)))
}

// changed is nil if the one row that was meant has been changed.
func (s *Heads) changed(n int, err error) error {
	if err == nil && n == 0 {
		return overtaken(s.rows.noun)
	}
	return err
}

func (s *Heads) Unsettled(ctx context.Context, prefix, after string, n int) ([]ports.Head, error) {
	return s.list(ctx, "unsettled = 1", prefix, after, n)
}

func (s *Heads) List(ctx context.Context, prefix, after string, n int) ([]ports.Head, error) {
	return s.list(ctx, "1 = 1", prefix, after, n)
}

// last comes after every character, in the order of bytes.
const last = "\U0010FFFF"

func (s *Heads) list(ctx context.Context, where, prefix, after string, n int) ([]ports.Head, error) {
	if n < 1 || !fit(prefix, after) {
		return nil, ctx.Err()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var rows []headRow
	err := s.rows.reads.NewSelect().Model(&rows).Where(where).
		Where("id > ?", after).Where("id >= ?", prefix).Where("id < ?", prefix+last).
		OrderBy("id", bun.OrderAsc).Limit(int64(n)).Scan(ctx)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	return s.rows.values(rows), nil
}

type headRow struct {
	bun.BaseModel `bun:"table:heads,alias:h"`

	ID        string `bun:"id,pk"`
	Version   int64  `bun:"version"`
	Body      string `bun:"body"`
	Unsettled int64  `bun:"unsettled"`
}

func rowOfHead(h ports.Head) *headRow {
	return &headRow{ID: h.ID, Version: h.Version, Body: h.Body, Unsettled: 1}
}

func (r *headRow) head() ports.Head {
	return ports.Head{ID: r.ID, Version: r.Version, Body: r.Body}
}
