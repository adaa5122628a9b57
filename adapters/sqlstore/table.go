package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"
)

// A table keeps values V as rows R. Its methods are the statements that all
// stores have in common.
type table[R, V any] struct {
	reads, writes *bun.DB

	noun  string
	key   string   // the column of the ID
	fixed []string // columns a swap leaves as they are, the ID among them
	row   func(V) *R
	value func(*R) V
}

func (t table[R, V]) insert(ctx context.Context, v V) (V, error) {
	var none V
	row := t.row(v)
	if !storable(row) {
		return none, unstorable()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	switch _, err := t.writes.NewInsert().Model(row).Exec(ctx); {
	case collides(err):
		return none, taken(t.noun)
	case err != nil:
		return none, unavailable(ctx, err)
	}
	return t.value(row), nil
}

// get returns the one value that the condition holds for. Text that cannot be
// stored is found nowhere.
func (t table[R, V]) get(ctx context.Context, where string, args ...any) (V, error) {
	var none V
	if !fit(args...) {
		return none, missing(t.noun)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	row := new(R)
	switch err := t.reads.NewSelect().Model(row).Where(where, args...).Limit(1).Scan(ctx); {
	case errors.Is(err, sql.ErrNoRows):
		return none, missing(t.noun)
	case err != nil:
		return none, unavailable(ctx, err)
	}
	return t.value(row), nil
}

// swap replaces the row with the ID if it still has the version. next has both
// already: the ID, and the version after this one.
func (t table[R, V]) swap(ctx context.Context, id any, version int64, next V) (V, error) {
	var none V
	row := t.row(next)
	switch {
	case !fit(id):
		return none, missing(t.noun)
	case !storable(row):
		return none, unstorable()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	n, err := affected(ctx)(t.writes.NewUpdate().Model(row).ExcludeColumn(t.fixed...).
		Where("? = ?", bun.Ident(t.key), id).Where("version = ?", version).Exec(ctx))
	switch {
	case err != nil:
		return none, err
	case n > 0: // some databases count what triggers wrote too
		return t.value(row), nil
	}
	if _, err := t.get(ctx, "? = ?", bun.Ident(t.key), id); err != nil {
		return none, err
	}
	return none, overtaken(t.noun)
}

// list returns up to n values with IDs after the given one, in order; those of
// one application, or of all where app is empty.
func (t table[R, V]) list(ctx context.Context, after any, n int, app string) ([]V, error) {
	if n < 1 || !fit(after, app) {
		return nil, ctx.Err()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var rows []R
	q := t.reads.NewSelect().Model(&rows).Where("? > ?", bun.Ident(t.key), after).
		OrderBy(t.key, bun.OrderAsc).Limit(int64(n))
	if app != "" {
		q = q.Where("app = ?", app)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, unavailable(ctx, err)
	}
	return t.values(rows), nil
}

func (t table[R, V]) values(rows []R) []V {
	out := make([]V, len(rows))
	for i := range rows {
		out[i] = t.value(&rows[i])
	}
	return out
}

// remove deletes the rows that the condition holds for and returns how many.
func (t table[R, V]) remove(ctx context.Context, where string, args ...any) (int, error) {
	if !fit(args...) {
		return 0, ctx.Err()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return affected(ctx)(t.writes.NewDelete().Model((*R)(nil)).Where(where, args...).Exec(ctx))
}

// affected turns what a statement gave into the number of rows it changed.
func affected(ctx context.Context) func(sql.Result, error) (int, error) {
	return func(res sql.Result, err error) (int, error) {
		if err != nil {
			return 0, unavailable(ctx, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, unavailable(ctx, err)
		}
		return int(n), nil
	}
}

// micros is t as columns hold it: microseconds since 1970, 0 for no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func flag(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
