package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/spend"
	"perch/ports"
)

// Budgets is a ports.Budgets. What is set aside and what is given back is the
// business of triggers, so that each is one statement.
type Budgets struct {
	reads, writes *bun.DB
	claim         string // see words
}

var _ ports.Budgets = (*Budgets)(nil)

// The states of a reservation.
const (
	underWay = iota
	settled
	expired
)

// expireMost is how many reservations one call lets expire.
const expireMost = 500

// Reserve inserts a row, which the trigger leaves out where a budget is full.
func (s *Budgets) Reserve(ctx context.Context, r spend.Reservation) (bool, error) {
	row := &reservationRow{
		ID: r.ID, App: string(r.App), Grant: string(r.Grant), Day: int64(r.Day), Month: int64(r.Day.Month()),
		Cost: int64(r.Cost), Least: int64(r.Least), AppDay: int64(r.Budget.Day), AppMonth: int64(r.Budget.Month),
		GrantDay: int64(r.GrantBudget.Day), GrantMonth: int64(r.GrantBudget.Month), Expires: micros(r.Expires),
	}
	if !storable(row) {
		return false, unstorable()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	res, err := s.writes.NewInsert().Model(row).Exec(ctx)
	if collides(err) {
		return false, taken("reservation")
	}
	n, err := affected(ctx)(res, err)
	return n > 0, err
}

func (s *Budgets) Settle(ctx context.Context, id string, cost money.Micros) error {
	return s.end(ctx, settled, "?", int64(cost), "id = ? AND state <> ?", id, settled)
}

func (s *Budgets) end(ctx context.Context, state int, paid string, cost int64, where string, args ...any) error {
	if !fit(args...) {
		return ctx.Err()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := affected(ctx)(s.writes.NewUpdate().Model((*reservationRow)(nil)).
		Set("state = ?", state).Set("paid = "+paid, cost).Where(where, args...).Exec(ctx))
	return err
}

// Expire takes one reservation after the other: those who change several at once
// would wait for each other.
func (s *Budgets) Expire(ctx context.Context, now time.Time) (n int, err error) {
	ids, err := s.over(ctx, now)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		const alive = "id = ? AND state = ? AND expires <= ?"
		if err := s.end(ctx, expired, "cost + ?", 0, alive, id, underWay, micros(now)); err != nil {
			return n, err
		}
		n++
	}
	return n, s.forget(ctx, now)
}

// over lists reservations that have expired.
func (s *Budgets) over(ctx context.Context, now time.Time) (ids []string, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.reads.NewSelect().Model((*reservationRow)(nil)).Column("id").
		Where("state = ? AND expires <= ?", underWay, micros(now)).Limit(expireMost).Scan(ctx, &ids); err != nil {
		return nil, unavailable(ctx, err)
	}
	return ids, nil
}

// forget removes what has ended long ago, by steps.
func (s *Budgets) forget(ctx context.Context, now time.Time) error {
	const ended = `DELETE FROM reservations WHERE id IN (SELECT id FROM reservations
		WHERE state IN (?, ?) AND expires <= ? LIMIT ??)`
	const over = `DELETE FROM budgets WHERE (app, grant_id, period) IN (SELECT app, grant_id, period FROM budgets
		WHERE period < ? OR period BETWEEN ? AND ? LIMIT ??)`
	day, month := int64(spend.DayOf(now)), int64(spend.DayOf(now).Month())
	_, err := inSteps(ctx, func(ctx context.Context) (int, error) {
		return affected(ctx)(s.writes.ExecContext(ctx, ended, settled, expired, micros(now.Add(-spend.KeepEnded)),
			stepMost, bun.Safe(s.claim)))
	})
	if err != nil {
		return err
	}
	_, err = inSteps(ctx, func(ctx context.Context) (int, error) {
		return affected(ctx)(s.writes.ExecContext(ctx, over, spend.OldestPeriod(month, now), spend.FirstDay,
			spend.OldestPeriod(day, now)-1, stepMost, bun.Safe(s.claim)))
	})
	return err
}

func (s *Budgets) Standing(ctx context.Context, accounts []spend.Account) ([]spend.Standing, error) {
	there := map[spend.Account]spend.Standing{}
	for chunk := range slices.Chunk(accounts, mostAsked) {
		rows, err := s.standing(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			st := r.standing()
			there[st.Account] = st
		}
		if err := s.begin(ctx, chunk, there); err != nil {
			return nil, err
		}
	}
	out := make([]spend.Standing, len(accounts))
	for i, a := range accounts {
		out[i] = there[a]
		out[i].Account = a
	}
	return out, ctx.Err()
}

// begin adds the accounts that are not there, as the trigger would begin them.
func (s *Budgets) begin(ctx context.Context, accounts []spend.Account, there map[spend.Account]spend.Standing) error {
	q := s.reads.NewSelect()
	var missing []spend.Account
	for _, a := range accounts {
		if _, ok := there[a]; ok || !fit(string(a.App), string(a.Grant)) {
			continue
		}
		first, last := a.Days()
		of := s.reads.NewSelect().Model((*usageRow)(nil)).ColumnExpr("CAST(COALESCE(SUM(cost), 0) AS BIGINT)").
			Where("app = ?", string(a.App)).Where("day IN (?)", bun.List(days(first, last)))
		if a.Grant != "" {
			of = of.Where("grant_id = ?", string(a.Grant))
		}
		q, missing = q.ColumnExpr("(?)", of), append(missing, a)
	}
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	spent, into := make([]int64, len(missing)), make([]any, len(missing))
	for i := range spent {
		into[i] = &spent[i]
	}
	if err := q.Scan(ctx, into...); err != nil {
		return unavailable(ctx, err)
	}
	for i, a := range missing {
		there[a] = spend.Standing{Account: a, Spent: money.Micros(spent[i])}
	}
	return nil
}

// days lists them one by one, because rows of usage are found by their day.
func days(first, last spend.Day) (all []int64) {
	for d := first; d <= last; d++ {
		all = append(all, int64(d))
	}
	return all
}

func (s *Budgets) standing(ctx context.Context, accounts []spend.Account) (rows []budgetRow, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	q := s.reads.NewSelect().Model(&rows)
	asked := false
	for _, a := range accounts {
		if fit(string(a.App), string(a.Grant)) {
			q, asked = q.WhereOr("app = ? AND grant_id = ? AND period = ?", string(a.App), string(a.Grant), a.Period), true
		}
	}
	if !asked {
		return nil, nil
	}
	if err := q.Scan(ctx); err != nil {
		return nil, unavailable(ctx, err)
	}
	return rows, nil
}

func (s *Budgets) Tell(ctx context.Context, l spend.Limit, percent int64) (bool, error) {
	if !fit(string(l.App), string(l.Grant)) {
		return false, ctx.Err()
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	n, err := affected(ctx)(s.writes.NewUpdate().Model((*budgetRow)(nil)).
		Set("told = ?", percent).Set("told_for = ?", int64(l.Max)).
		Where("app = ? AND grant_id = ? AND period = ?", string(l.App), string(l.Grant), l.Period).
		Where("(told < ? OR told_for < ?)", percent, int64(l.Max)).Exec(ctx))
	return n > 0, err
}

type reservationRow struct {
	bun.BaseModel `bun:"table:reservations,alias:r"`

	ID         string `bun:"id,pk"`
	App        string `bun:"app"`
	Grant      string `bun:"grant_id"`
	Day        int64  `bun:"day"`
	Month      int64  `bun:"month"`
	Cost       int64  `bun:"cost"`
	Least      int64  `bun:"least"`
	AppDay     int64  `bun:"app_day"`
	AppMonth   int64  `bun:"app_month"`
	GrantDay   int64  `bun:"grant_day"`
	GrantMonth int64  `bun:"grant_month"`
	Expires    int64  `bun:"expires"`
	State      int64  `bun:"state"`
	Paid       int64  `bun:"paid"`
}

type budgetRow struct {
	bun.BaseModel `bun:"table:budgets,alias:b"`

	App      string `bun:"app,pk"`
	Grant    string `bun:"grant_id,pk"`
	Period   int64  `bun:"period,pk"`
	Reserved int64  `bun:"reserved"`
	Spent    int64  `bun:"spent"`
	Lost     int64  `bun:"lost"`
	Told     int64  `bun:"told"`
	ToldFor  int64  `bun:"told_for"`
}

func (r *budgetRow) standing() spend.Standing {
	return spend.Standing{
		Account:  spend.Account{App: client.AppID(r.App), Grant: oauth.GrantID(r.Grant), Period: r.Period},
		Reserved: money.Micros(r.Reserved), Spent: money.Micros(r.Spent), Lost: money.Micros(r.Lost),
		Told: r.Told, ToldFor: money.Micros(r.ToldFor),
	}
}
