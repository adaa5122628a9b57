package keyset

import (
	"context"
	"slices"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// pageSize is how many rows are read at once.
const pageSize = 500

// slack is how long after the end of a lease its holder may still write, on a
// machine whose clock is late.
const slack = time.Minute

// A shelf is where rows of one kind are kept.
type shelf struct {
	kind string
	page func(ctx context.Context, after string, n int) ([]row, error)
}

// A row is a stored thing and its boxes.
type row struct {
	id    string
	boxes []sealed
	busy  bool // somebody is about to put other boxes in place
	put   func(ctx context.Context, boxes []secret.Box) error
	again func(ctx context.Context) (row, error)
}

// A sealed thing is a box and what it is sealed under.
type sealed struct {
	box   secret.Box
	label string
}

func (s shelf) pages(ctx context.Context, do func(page []row) error) error {
	after := ""
	for {
		page, err := s.page(ctx, after, pageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := do(page); err != nil {
			return err
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].id
	}
}

func rows[V any](values []V, err error, one func(V) row) ([]row, error) {
	out := make([]row, len(values))
	for i, v := range values {
		out[i] = one(v)
	}
	return out, err
}

func grants(vault ports.TokenVault) shelf {
	var one func(g oauth.Grant) row
	one = func(g oauth.Grant) row {
		return row{
			id: string(g.ID),
			boxes: []sealed{
				{g.Access, g.Label(oauth.AccessLabel)}, {g.Refresh, g.Label(oauth.RefreshLabel)},
			},
			busy: g.Leased(time.Now().Add(-slack)),
			put: func(ctx context.Context, boxes []secret.Box) error {
				_, err := vault.Swap(ctx, g, g.Reseal(boxes[0], boxes[1]))
				return err
			},
			again: func(ctx context.Context) (row, error) {
				now, err := vault.Get(ctx, g.ID)
				return one(now), err
			},
		}
	}
	return shelf{"grants", func(ctx context.Context, after string, n int) ([]row, error) {
		page, err := vault.List(ctx, "", oauth.GrantID(after), n)
		return rows(page, err, one)
	}}
}

func xApps(store ports.XApps) shelf {
	var one func(x xapp.App) row
	one = func(x xapp.App) row {
		id := string(x.ID)
		return row{
			id: id,
			boxes: []sealed{
				{x.ClientSecret, secret.Label(xapp.SecretLabel, id)}, {x.Bearer, secret.Label(xapp.BearerLabel, id)},
				{x.APISecret, secret.Label(xapp.APISecretLabel, id)},
			},
			put: func(ctx context.Context, boxes []secret.Box) error {
				_, err := store.Swap(ctx, x, x.Reseal(boxes[0], boxes[1], boxes[2]))
				return err
			},
			again: func(ctx context.Context) (row, error) {
				now, err := store.Get(ctx, x.ID)
				return one(now), err
			},
		}
	}
	return shelf{"X Apps", func(ctx context.Context, after string, n int) ([]row, error) {
		page, err := store.List(ctx, xapp.ID(after), n)
		return rows(page, err, one)
	}}
}

// signingKeys are few, and come in one page.
func signingKeys(store ports.SigningKeys) shelf {
	var one func(k ports.SigningKey) row
	one = func(k ports.SigningKey) row {
		return row{
			id:    k.ID,
			boxes: []sealed{{k.Private, secret.Label(ports.SigningKeyLabel, k.ID)}},
			put: func(ctx context.Context, boxes []secret.Box) error {
				return store.Reseal(ctx, k.ID, k.Private, boxes[0])
			},
			again: func(ctx context.Context) (row, error) {
				all, err := store.List(ctx)
				i := slices.IndexFunc(all, func(o ports.SigningKey) bool { return o.ID == k.ID })
				if err == nil && i < 0 {
					err = fault.New(fault.NotFound, "there is no such signing key")
				}
				if err != nil {
					return row{}, err
				}
				return one(all[i]), nil
			},
		}
	}
	return shelf{"signing keys", func(ctx context.Context, after string, _ int) ([]row, error) {
		if after != "" {
			return nil, nil
		}
		all, err := store.List(ctx)
		return rows(all, err, one)
	}}
}

// renewals are in the journal of this machine. They are only counted: whoever
// keeps the journal brings them to the vault, as grants.
func renewals(journal ports.Journal) shelf {
	one := func(r ports.Renewal) row {
		g := oauth.Grant{ID: r.Grant, App: r.App}
		return row{
			id: "the renewal of " + string(r.Grant),
			boxes: []sealed{
				{r.Pair.Access, g.Label(oauth.AccessLabel)}, {r.Pair.Refresh, g.Label(oauth.RefreshLabel)},
			},
			busy: true,
		}
	}
	return shelf{"renewals", func(ctx context.Context, after string, _ int) ([]row, error) {
		if after != "" {
			return nil, nil
		}
		all, err := journal.Pending(ctx)
		return rows(all, err, one)
	}}
}
