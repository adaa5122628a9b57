package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/ports"
)

// Deliveries is a ports.Deliveries and a ports.DeliveryQueue.
type Deliveries struct {
	rows table[deliveryRow, delivery.Delivery]
}

var (
	_ ports.Deliveries    = (*Deliveries)(nil)
	_ ports.DeliveryQueue = (*Deliveries)(nil)
)

func newDeliveries(s *Store) *Deliveries {
	return &Deliveries{table[deliveryRow, delivery.Delivery]{
		reads: s.reads, writes: s.writes, noun: "delivery", key: "id",
		fixed: []string{"id", "app", "grant_id", "line", "seq", "actor", "action", "idem_key", "created", "until"},
		row:   rowOfDelivery, value: (*deliveryRow).delivery,
	}}
}

// Deliveries returns the store of calls that are performed later.
func (s *Store) Deliveries() ports.Deliveries { return newDeliveries(s) }

// DeliveryQueue hands out deliveries.
func (s *Store) DeliveryQueue() ports.DeliveryQueue { return newDeliveries(s) }

// putTries bounds how often somebody else may come first.
const putTries = 50

// Put takes the place behind the last in line. Of those who take the same place
// one gets it and the others take the next.
func (s *Deliveries) Put(ctx context.Context, d delivery.Delivery, room delivery.Room) (delivery.Delivery, error) {
	var none delivery.Delivery
	d.Version = 1
	row := rowOfDelivery(d)
	if !storable(row) {
		return none, unstorable()
	}
	for range putTries {
		seq, err := s.put(ctx, row, room)
		switch {
		case err != nil && !collides(err):
			return none, unavailable(ctx, err)
		case err == nil && len(seq) == 1:
			row.Seq = seq[0]
			return row.delivery(), nil
		}
		// A key that is there matters more than room that is not.
		was, found := s.rows.get(ctx, "line = ? AND idem_key = ?", row.Line, row.Key)
		switch {
		case found == nil:
			return was, taken(s.rows.noun)
		case fault.KindOf(found) != fault.NotFound:
			return none, found
		case err == nil:
			return none, fault.New(fault.Limited, "there is no room for the delivery")
		}
		if _, found := s.rows.get(ctx, "id = ?", row.ID); fault.KindOf(found) != fault.NotFound || found == nil {
			return none, cmp.Or(found, taken(s.rows.noun))
		}
	}
	return none, fault.New(fault.Unavailable, "many deliveries are put into one line at once; try again").
		After(time.Second)
}

func (s *Deliveries) put(ctx context.Context, r *deliveryRow, room delivery.Room) (seq []int64, err error) {
	const statement = `INSERT INTO deliveries (
			id, app, grant_id, line, seq, actor, action, idem_key, call_box, created, until,
			state, attempts, next_try, doubt, status, problem, detail, reply_type, reply_box, ended,
			lease_holder, lease_until, version)
		SELECT ?0, ?1, ?2, ?3, (SELECT COALESCE(MAX(m.seq), 0) + 1 FROM deliveries AS m WHERE m.line = ?3),
			?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22
		WHERE (SELECT COUNT(*) FROM deliveries AS l WHERE l.line = ?3 AND l.ended = 0) < ?23
			AND (SELECT COUNT(*) FROM deliveries AS a WHERE a.app = ?1 AND a.ended = 0) < ?24
		RETURNING seq`
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = s.rows.writes.NewRaw(statement, r.ID, r.App, r.Grant, r.Line, r.Actor, r.Action, r.Key, r.Call, r.Created,
		r.Until, r.State, r.Attempts, r.Next, r.Doubt, r.Status, r.Problem, r.Detail, r.ReplyType, r.Reply, r.Ended,
		r.Holder, r.LeaseUntil, r.Version, room.Line, room.App).Scan(ctx, &seq)
	return seq, err
}

func (s *Deliveries) Get(ctx context.Context, id delivery.ID) (delivery.Delivery, error) {
	return s.rows.get(ctx, "id = ?", id)
}

func (s *Deliveries) Swap(ctx context.Context, old, next delivery.Delivery) (delivery.Delivery, error) {
	kept := old.With(next)
	kept.Version = old.Version + 1
	return s.rows.swap(ctx, old.ID, old.Version, kept)
}

func (s *Deliveries) List(
	ctx context.Context, f delivery.Filter, after delivery.ID, n int,
) ([]delivery.Delivery, error) {
	if n < 1 || !fit(after, f.App, f.State, f.Grants, f.Key) {
		return nil, ctx.Err()
	}
	if f.Key != "" && len(f.Grants) > 0 {
		return s.keyed(ctx, f, after, n)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var rows []deliveryRow
	q := s.rows.reads.NewSelect().Model(&rows).Where("id > ?", after).OrderBy("id", bun.OrderAsc).Limit(int64(n))
	if f.App != "" {
		q = q.Where("app = ?", f.App)
	}
	if len(f.Grants) > 0 {
		q = q.Where("grant_id IN (?)", bun.List(f.Grants))
	}
	if f.State != "" {
		q = q.Where("state = ?", f.State)
	}
	if f.Key != "" {
		q = q.Where("idem_key = ?", f.Key)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, unavailable(ctx, err)
	}
	return s.rows.values(rows), nil
}

// keyed finds the few with the key by their lines alone: with more to go by
// SQLite would go through all of the application.
func (s *Deliveries) keyed(
	ctx context.Context, f delivery.Filter, after delivery.ID, n int,
) ([]delivery.Delivery, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var rows []deliveryRow
	err := s.rows.reads.NewSelect().Model(&rows).Where("line IN (?) AND idem_key = ?", bun.List(f.Lines()), f.Key).
		OrderBy("id", bun.OrderAsc).Scan(ctx)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	all := slices.DeleteFunc(s.rows.values(rows), func(d delivery.Delivery) bool {
		return d.ID <= after || f.App != "" && d.App != f.App || f.State != "" && d.State != f.State
	})
	return all[:min(n, len(all))], nil
}

func (s *Deliveries) Sweep(ctx context.Context, before time.Time) (int, error) {
	return s.rows.remove(ctx, "ended > 0 AND ended < ?", micros(before))
}

// Claim asks twice whether nobody has the turn: somebody may have taken it since
// the rows were chosen. Whoever was in front when they were chosen still is: an
// end is for good, and nobody is put before those who wait.
func (s *Deliveries) Claim(
	ctx context.Context, now time.Time, l delivery.Lease, n int,
) ([]delivery.Delivery, error) {
	if n < 1 || !fit(l.Holder) {
		return nil, ctx.Err()
	}
	const statement = `UPDATE deliveries SET
			doubt = CASE WHEN state = ?0 AND doubt = 0 THEN lease_until ELSE doubt END, state = ?0, attempts = attempts + 1,
			lease_holder = ?2, lease_until = ?3, version = version + 1
		WHERE ended = 0 AND lease_until <= ?1 AND id IN (
			SELECT d.id FROM deliveries AS d
			WHERE d.ended = 0 AND d.lease_until <= ?1 AND (d.doubt = 0 AND d.until <= ?1 OR d.next_try <= ?1 AND NOT EXISTS (
				SELECT 1 FROM deliveries AS e WHERE e.line = d.line AND e.seq < d.seq AND e.ended = 0))
			ORDER BY d.next_try, d.id LIMIT ?4)
		RETURNING *`
	ctx, cancel := bounded(ctx)
	defer cancel()
	var rows []deliveryRow
	err := s.rows.writes.NewRaw(statement, delivery.Sending, micros(now), l.Holder, micros(l.Until), n).Scan(ctx, &rows)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	slices.SortFunc(rows, func(a, b deliveryRow) int {
		return cmp.Or(cmp.Compare(a.Next, b.Next), cmp.Compare(a.ID, b.ID))
	})
	return s.rows.values(rows), nil
}
