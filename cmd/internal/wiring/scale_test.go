package wiring_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"perch/adapters/journal"
	"perch/adapters/keyring"
	"perch/adapters/sqlstore"
	"perch/cmd/internal/config"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/migrations"
	"perch/ports"
)

// scaleSizes are how many grants there are, the smallest first.
// PERCH_BENCH_GRANTS adds another size, as 1000000.
func scaleSizes(b *testing.B) []int {
	sizes := []int{1_000}
	if !testing.Short() {
		sizes = append(sizes, 100_000)
	}
	if more := os.Getenv("PERCH_BENCH_GRANTS"); more != "" {
		n, err := strconv.Atoi(more)
		if err != nil || n <= sizes[len(sizes)-1] {
			b.Fatalf("PERCH_BENCH_GRANTS must be a number above %d", sizes[len(sizes)-1])
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// scaleRounds is how often each size has its turn. The sizes take turns, so that
// what else the machine does falls on all of them, and the median counts.
const scaleRounds = 9

// BenchmarkScale measures what each grant costs when there are few and when there
// are many: an access, a place on a page, a refresh but for X, and sealing anew.
// The last number of a line is the dearest size over the cheapest, 1.0 is flat.
func BenchmarkScale(b *testing.B) {
	for _, e := range environments()[1:3] {
		b.Run(e.name, func(b *testing.B) {
			sizes := scaleSizes(b)
			piles := make([]*pile, len(sizes))
			for i, n := range sizes {
				piles[i] = load(b, e, n)
			}
			for _, v := range []struct {
				name  string
				turn  int // grants in a turn
				spend func(p *pile, n int) error
			}{
				{"access", 400, (*pile).access},
				{"list", 2000, (*pile).list},
				{"refresh", 30, (*pile).refresh},
				{"reseal", 100, (*pile).reseal},
			} {
				b.Run(v.name, func(b *testing.B) {
					for range b.N {
						compare(b, piles, v.turn, v.spend)
					}
				})
			}
		})
	}
}

// compare reports the median cost of a grant at each size, and their ratio.
func compare(b *testing.B, piles []*pile, turn int, spend func(p *pile, n int) error) {
	took := make([][]time.Duration, len(piles))
	for round := range scaleRounds + 1 {
		for i, p := range piles {
			began := time.Now()
			if err := spend(p, turn); err != nil {
				b.Fatal(err)
			}
			if round > 0 { // the first is to get warm
				took[i] = append(took[i], time.Since(began)/time.Duration(turn))
			}
		}
	}
	var medians []time.Duration
	for i, p := range piles {
		slices.Sort(took[i])
		medians = append(medians, took[i][scaleRounds/2])
		b.ReportMetric(float64(medians[i].Nanoseconds())/1000, fmt.Sprintf("µs@%d", p.size))
	}
	b.ReportMetric(0, "ns/op") // says nothing here
	b.ReportMetric(float64(slices.Max(medians))/float64(slices.Min(medians)), "ratio")
}

// A pile is a store with so many grants.
type pile struct {
	ctx   context.Context
	size  int
	vault ports.TokenVault
	ring  ports.Keyring
	disk  ports.Journal
	ids   []oauth.GrantID
	next  int           // of the IDs, whose order is none
	after oauth.GrantID // where the page before ended
}

func (p *pile) id() oauth.GrantID {
	p.next = (p.next + 7919) % len(p.ids)
	return p.ids[p.next]
}

func (p *pile) access(n int) error {
	for range n {
		g, err := p.vault.Get(p.ctx, p.id())
		if err != nil {
			return err
		}
		if _, err := p.ring.Open(p.ctx, g.Access, g.Label(oauth.AccessLabel)); err != nil {
			return err
		}
	}
	return nil
}

// page is the next one, from the start again after the last.
func (p *pile) page(n int) ([]oauth.Grant, error) {
	for {
		list, err := p.vault.List(p.ctx, scaleApp, p.after, n)
		switch {
		case err != nil:
			return nil, err
		case len(list) == n:
			p.after = list[n-1].ID
			return list, nil
		}
		p.after = "" // half a page at the end is not worth a turn
	}
}

func (p *pile) list(n int) error {
	for range n / 500 {
		if _, err := p.page(500); err != nil {
			return err
		}
	}
	return nil
}

// refresh is what a refresh does to the store and the disk.
func (p *pile) refresh(n int) error {
	for range n {
		now := time.Now().UTC().Truncate(time.Microsecond)
		attempt := rand.Text()
		g, err := p.vault.Get(p.ctx, p.id())
		if err != nil {
			return err
		}
		leased, err := g.Acquire(attempt, now, 30*time.Second)
		if err != nil {
			return err
		}
		if leased, err = p.vault.Swap(p.ctx, g, leased); err != nil {
			return err
		}
		if err := p.disk.Reserve(p.ctx, attempt); err != nil {
			return err
		}
		r := ports.Renewal{
			Attempt: attempt, Grant: g.ID, App: g.App, User: g.User.ID, Generation: g.Generation, At: now,
			Pair: oauth.Pair{Access: g.Access, Refresh: g.Refresh, Expires: now.Add(2 * time.Hour)},
		}
		if err := p.disk.Keep(p.ctx, r); err != nil {
			return err
		}
		if _, err = p.vault.Swap(p.ctx, leased, leased.Renew(r.Pair, now)); err != nil {
			return err
		}
		if err := p.disk.Drop(p.ctx, attempt); err != nil {
			return err
		}
	}
	return nil
}

func (p *pile) reseal(n int) error {
	list, err := p.page(n)
	if err != nil {
		return err
	}
	for _, g := range list {
		next := g
		for box, kind := range map[*secret.Box]string{&next.Access: oauth.AccessLabel, &next.Refresh: oauth.RefreshLabel} {
			plain, err := p.ring.Open(p.ctx, *box, g.Label(kind))
			if err != nil {
				return err
			}
			if *box, err = p.ring.Seal(p.ctx, plain, g.Label(kind)); err != nil {
				return err
			}
		}
		if _, err := p.vault.Swap(p.ctx, g, next); err != nil {
			return err
		}
	}
	return nil
}

// scaleApp has half of the grants.
const scaleApp = client.AppID("app_scale")

// load fills a store with n grants.
func load(b *testing.B, e environment, n int) *pile {
	b.Helper()
	dir := b.TempDir()
	var cfg config.Config
	e.keep(b, dir, &cfg)
	s, err := sqlstore.Open(b.Context(), cfg.Store)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	schema := migrations.SQLite()
	if e.name == "postgres" {
		schema = migrations.Postgres()
	}
	if _, err := schema.Apply(b.Context(), s.DB()); err != nil {
		b.Fatal(err)
	}
	disk, err := journal.Open(filepath.Join(dir, "journal"))
	if err != nil {
		b.Fatal(err)
	}
	p := &pile{
		ctx: b.Context(), size: n, vault: s.Vault(), ring: keyring.Ephemeral(), disk: disk,
		ids: make([]oauth.GrantID, 0, n),
	}
	began := time.Now()
	if err := p.fill(s.DB(), e.name == "postgres"); err != nil {
		b.Fatal(err)
	}
	b.Logf("%s: loaded %d grants in %v", e.name, n, time.Since(began).Round(time.Millisecond))
	return p
}

// scaleColumns are those of the table, in the order in which fill writes them.
const scaleColumns = "id, app, xapp, user_id, username, display_name, scopes, state, access_box, refresh_box, expires, " +
	"generation, failures, retry, lease_holder, lease_until, created, updated, version"

// fill inserts grants a thousand at a time, in one transaction, and has the
// database look at what it has, as it does by itself in the course of time.
func (p *pile) fill(db *sql.DB, dollars bool) error {
	tx, err := db.BeginTx(p.ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for len(p.ids) < p.size {
		var text strings.Builder
		var args []any
		text.WriteString("INSERT INTO grants (" + scaleColumns + ") VALUES ")
		for i := range min(1000, p.size-len(p.ids)) {
			row, err := p.row()
			if err != nil {
				return err
			}
			if i > 0 {
				text.WriteByte(',')
			}
			for j := range row {
				mark := "?"
				if dollars {
					mark = "$" + strconv.Itoa(len(args)+j+1)
				}
				text.WriteString([]string{",", "("}[max(0, 1-j)] + mark)
			}
			text.WriteByte(')')
			args = append(args, row...)
		}
		if _, err := tx.ExecContext(p.ctx, text.String(), args...); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(p.ctx, "ANALYZE")
	return err
}

// row is a new grant, with tokens as long as those of X.
func (p *pile) row() ([]any, error) {
	g := oauth.Grant{
		ID: oauth.NewGrantID(time.UnixMilli(int64(len(p.ids))), rand.Text()), App: scaleApp, XApp: "default",
		User: user.User{ID: user.ID(strconv.Itoa(len(p.ids)))}, Scopes: oauth.Everything, State: oauth.Active,
	}
	if len(p.ids)%2 == 1 {
		g.App = "app_other"
	}
	token := secret.New(strings.Repeat("x", 91))
	var err error
	if g.Access, err = p.ring.Seal(p.ctx, token, g.Label(oauth.AccessLabel)); err != nil {
		return nil, err
	}
	if g.Refresh, err = p.ring.Seal(p.ctx, token, g.Label(oauth.RefreshLabel)); err != nil {
		return nil, err
	}
	p.ids = append(p.ids, g.ID)
	now := time.Now().UnixMicro()
	return []any{
		string(g.ID), string(g.App), string(g.XApp), string(g.User.ID), "user", "A User", string(g.Scopes),
		string(g.State), string(g.Access), string(g.Refresh), now, 0, 0, 0, "", 0, now, now, 1,
	}, nil
}
