package sqlstore

import (
	"context"

	"github.com/uptrace/bun"

	"perch/ports"
)

// Changes is a ports.Changes. It is the schema's triggers that count.
type Changes struct {
	db     *bun.DB
	wakeup *listener
}

var _ ports.Changes = (*Changes)(nil)

func (c *Changes) Count(ctx context.Context) (ports.Counts, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var rows []changeRow
	if err := c.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return ports.Counts{}, unavailable(ctx, err)
	}
	var n ports.Counts
	for _, r := range rows {
		switch r.Kind {
		case "grants":
			n.Grants = r.Number
		case "applications":
			n.Applications = r.Number
		case "api_keys":
			n.Keys = r.Number
		case "xapps":
			n.XApps = r.Number
		case "sessions":
			n.Sessions = r.Number
		}
	}
	return n, nil
}

func (c *Changes) Wait(ctx context.Context) error {
	if c.wakeup != nil {
		return c.wakeup.wait(ctx)
	}
	<-ctx.Done()
	return unavailable(ctx, ctx.Err())
}

type changeRow struct {
	bun.BaseModel `bun:"table:changes,alias:c"`

	Kind   string `bun:"kind,pk"`
	Number int64  `bun:"number"`
}
