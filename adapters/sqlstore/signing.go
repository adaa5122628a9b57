package sqlstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/secret"
	"perch/ports"
)

// SigningKeys is a ports.SigningKeys.
type SigningKeys struct {
	rows table[signingRow, ports.SigningKey]
}

var _ ports.SigningKeys = (*SigningKeys)(nil)

func newSigningKeys(s *Store) *SigningKeys {
	return &SigningKeys{table[signingRow, ports.SigningKey]{
		reads: s.reads, writes: s.writes, noun: "signing key", key: "id",
		row: rowOfSigningKey, value: (*signingRow).key,
	}}
}

// Add numbers the key by those that are there, so that of two that do not see
// each other one takes the number of the other and collides.
func (s *SigningKeys) Add(ctx context.Context, k ports.SigningKey) error {
	const statement = `INSERT INTO signing_keys (id, number, private_box, created, retires)
		SELECT ?, COALESCE(MAX(number), 0) + 1, ?, ?, ? FROM signing_keys
		HAVING COUNT(*) = 0 OR MAX(retires) < ?`
	row := rowOfSigningKey(k)
	if !storable(row) {
		return unstorable()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	res, err := s.rows.writes.ExecContext(ctx, statement, row.ID, row.Private, row.Created, row.Retires, row.Retires)
	if collides(err) {
		return taken("signing key")
	}
	n, err := affected(ctx)(res, err)
	if err == nil && n == 0 {
		return taken("signing key")
	}
	return err
}

func (s *SigningKeys) List(ctx context.Context) ([]ports.SigningKey, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var rows []signingRow
	if err := s.rows.reads.NewSelect().Model(&rows).OrderBy("number", bun.OrderDesc).Scan(ctx); err != nil {
		return nil, unavailable(ctx, err)
	}
	return s.rows.values(rows), nil
}

func (s *SigningKeys) Reseal(ctx context.Context, id string, old, next secret.Box) error {
	switch {
	case !fit(id):
		return missing("signing key")
	case !fit(old):
		return overtaken("signing key")
	case !fit(next):
		return unstorable()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	n, err := affected(ctx)(s.rows.writes.NewUpdate().Model((*signingRow)(nil)).
		Set("private_box = ?", next).Where("id = ? AND private_box = ?", id, old).Exec(ctx))
	if err != nil || n == 1 {
		return err
	}
	if _, err := s.rows.get(ctx, "id = ?", id); err != nil {
		return err
	}
	return overtaken("signing key")
}

func (s *SigningKeys) Sweep(ctx context.Context, before time.Time) (int, error) {
	return s.rows.remove(ctx, "retires < ?", micros(before))
}

type signingRow struct {
	bun.BaseModel `bun:"table:signing_keys,alias:k"`

	ID      string `bun:"id,pk"`
	Number  int64  `bun:"number"`
	Private string `bun:"private_box"`
	Created int64  `bun:"created"`
	Retires int64  `bun:"retires"`
}

func rowOfSigningKey(k ports.SigningKey) *signingRow {
	return &signingRow{
		ID: k.ID, Private: string(k.Private), Created: micros(k.Created), Retires: micros(k.Retires),
	}
}

func (r *signingRow) key() ports.SigningKey {
	return ports.SigningKey{
		ID: r.ID, Private: secret.Box(r.Private), Created: moment(r.Created), Retires: moment(r.Retires),
	}
}
