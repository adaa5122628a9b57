package sqlstore

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"perch/domain/operator"
	"perch/ports"
)

// Operators is a ports.Operators.
type Operators struct {
	rows table[operatorRow, operator.Operator]
}

var _ ports.Operators = (*Operators)(nil)

func newOperators(s *Store) *Operators {
	return &Operators{table[operatorRow, operator.Operator]{
		reads: s.reads, writes: s.writes, noun: "operator", key: "id", fixed: []string{"id", "digest"},
		row: rowOfOperator, value: (*operatorRow).operator,
	}}
}

func (s *Operators) Create(ctx context.Context, o operator.Operator) (operator.Operator, error) {
	o.Version = 1
	return s.rows.insert(ctx, o)
}

func (s *Operators) Get(ctx context.Context, id operator.ID) (operator.Operator, error) {
	return s.rows.get(ctx, "id = ?", id)
}

func (s *Operators) ByDigest(ctx context.Context, digests []string) (operator.Operator, error) {
	digests = slices.DeleteFunc(slices.Clone(digests), func(d string) bool { return !fit(d) })
	return s.rows.get(ctx, "digest IN (?)", bun.List(digests))
}

func (s *Operators) Swap(ctx context.Context, old, next operator.Operator) (operator.Operator, error) {
	next.ID, next.Version, next.Digest = old.ID, old.Version+1, old.Digest
	return s.rows.swap(ctx, old.ID, old.Version, next)
}

func (s *Operators) List(ctx context.Context, after operator.ID, n int) ([]operator.Operator, error) {
	return s.rows.list(ctx, after, n, "")
}

type operatorRow struct {
	bun.BaseModel `bun:"table:operators,alias:o"`

	ID      string `bun:"id,pk"`
	Name    string `bun:"name"`
	Role    string `bun:"role"`
	Hint    string `bun:"hint"`
	Digest  string `bun:"digest"`
	Created int64  `bun:"created"`
	Expires int64  `bun:"expires"`
	Revoked int64  `bun:"revoked"`
	Version int64  `bun:"version"`
}

func rowOfOperator(o operator.Operator) *operatorRow {
	return &operatorRow{
		ID: string(o.ID), Name: o.Name, Role: string(o.Role), Hint: o.Hint, Digest: o.Digest,
		Created: micros(o.Created), Expires: micros(o.Expires), Revoked: micros(o.Revoked), Version: o.Version,
	}
}

func (r *operatorRow) operator() operator.Operator {
	return operator.Operator{
		ID: operator.ID(r.ID), Name: r.Name, Role: operator.Role(r.Role), Hint: r.Hint, Digest: r.Digest,
		Created: moment(r.Created), Expires: moment(r.Expires), Revoked: moment(r.Revoked), Version: r.Version,
	}
}
