package sqlstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"perch/ports"
)

// Uses is a ports.Uses.
type Uses struct{ reads, writes *bun.DB }

var _ ports.Uses = (*Uses)(nil)

// most is how many rows one statement takes or asks for: D1 binds at most 100
// parameters, and a statement's text has its limit too.
const most = 40

func (s *Uses) Note(ctx context.Context, used map[string]time.Time) error {
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(used)), func(id string) bool { return !fit(id) })
	for chunk := range slices.Chunk(ids, most) {
		rows := make([]useRow, len(chunk))
		for i, id := range chunk {
			rows[i] = useRow{ID: id, Used: micros(used[id])}
		}
		if err := s.note(ctx, rows); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Uses) note(ctx context.Context, rows []useRow) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := s.writes.NewInsert().Model(&rows).On("CONFLICT (id) DO UPDATE").
		Set("used = excluded.used").Where("u.used < excluded.used").Exec(ctx)
	if err != nil {
		return unavailable(ctx, err)
	}
	return nil
}

func (s *Uses) Last(ctx context.Context, ids []string) (map[string]time.Time, error) {
	last := map[string]time.Time{}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !fit(id) })
	for chunk := range slices.Chunk(ids, most) {
		rows, err := s.last(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			last[r.ID] = moment(r.Used)
		}
	}
	return last, ctx.Err()
}

func (s *Uses) last(ctx context.Context, ids []string) (rows []useRow, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.reads.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, unavailable(ctx, err)
	}
	return rows, nil
}

type useRow struct {
	bun.BaseModel `bun:"table:uses,alias:u"`

	ID   string `bun:"id,pk"`
	Used int64  `bun:"used"`
}
