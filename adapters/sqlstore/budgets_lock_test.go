package sqlstore_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports/conformance"
)

const budgetDay = spend.Day(20261126)

// sixty is a reservation of 60 in a budget of 100, which may go alone.
func sixty(id string) spend.Reservation {
	return spend.Reservation{
		ID: id, App: "a", Grant: "g", Day: budgetDay, Cost: 60, Least: 60, Budget: money.Budget{Day: 100},
		Expires: time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC),
	}
}

// A holder is a transaction that is held open by hand. Reservations of others
// that begin stop behind it, once they have seen that their budgets have rows and
// before they lock them.
type holder struct {
	t  *testing.T
	s  *sqlstore.Store
	tx *sql.Tx
}

func hold(t *testing.T, s *sqlstore.Store) holder {
	t.Helper()
	for _, q := range []string{
		`CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1126); RETURN NULL; END $$`,
		`CREATE TRIGGER stop AFTER INSERT ON budgets FOR EACH STATEMENT EXECUTE FUNCTION stop()`,
	} {
		if _, err := s.DB().ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := s.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	h := holder{t, s, tx}
	h.do("SELECT pg_advisory_lock(1126)")
	return h
}

func (h holder) do(q string, args ...any) {
	h.t.Helper()
	if _, err := h.tx.ExecContext(h.t.Context(), q, args...); err != nil {
		h.t.Fatal(err)
	}
}

// touch takes the lock of a row.
func (h holder) touch(grant string, period int64) {
	h.t.Helper()
	h.do("UPDATE budgets SET told = told WHERE app = 'a' AND grant_id = $1 AND period = $2", grant, period)
}

// goOn lets the others go on, as far as the holder's rows.
func (h holder) goOn() {
	h.t.Helper()
	h.do("SELECT pg_advisory_unlock(1126)")
}

// waitedFor returns when somebody waits for the holder.
func (h holder) waitedFor() {
	h.t.Helper()
	var pid, n int
	if err := h.tx.QueryRowContext(h.t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		h.t.Fatal(err)
	}
	for ; n == 0; time.Sleep(time.Millisecond) {
		const waits = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
		if err := h.s.DB().QueryRowContext(h.t.Context(), waits, pid).Scan(&n); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h holder) commit() {
	h.t.Helper()
	if err := h.tx.Commit(); err != nil {
		h.t.Fatal(err)
	}
}

// aside is how a reservation went.
type aside struct {
	ok  bool
	err error
}

func reserve(ctx context.Context, s *sqlstore.Store, r spend.Reservation) aside {
	ok, err := s.Budgets().Reserve(ctx, r)
	return aside{ok, err}
}

// What others set aside counts also where it is not committed when a reservation
// looks at its budget.
func TestAReservationCountsWhatOthersSetAsideMeanwhile(t *testing.T) {
	conformance.Verified(t, "postgres")
	s := postgres().fresh(t)
	rows := sixty("rows")
	rows.Cost = 0
	if got := reserve(t.Context(), s, rows); !got.ok {
		t.Fatal(got)
	}
	h := hold(t, s)
	second := make(chan aside, 1)
	go func() { second <- reserve(t.Context(), s, sixty("two")) }()
	h.waitedFor()
	h.do(`INSERT INTO reservations VALUES ('one', 'a', 'g', 20261126, 202611, 60, 60, 100, 0, 0, 0, 0, 0, 0)`)
	h.goOn()
	h.waitedFor()
	h.commit()
	if got := <-second; got != (aside{}) {
		t.Errorf("60 of 100 are set aside, and 60 more are let in: %v, %v", got.ok, got.err)
	}
}

// Reservations take the rows of budgets in one order, and not as they happen to
// lie, so that no two wait for each other.
func TestReservationsTakeTheirRowsInOneOrder(t *testing.T) {
	conformance.Verified(t, "postgres")
	for name, begins := range map[string]bool{"one begins": true, "one ends": false} {
		t.Run(name, func(t *testing.T) {
			// Rows are read as they lie, and the first lies behind the last.
			s := postgres().open(t, postgres().dsn(t)+"&enable_indexscan=off&enable_bitmapscan=off")
			for _, grant := range []string{"g", ""} {
				const row = "INSERT INTO budgets VALUES ('a', $1, $2, 0, 0, 0, 0), ('a', $1, $3, 0, 0, 0, 0)"
				if _, err := s.DB().ExecContext(t.Context(), row, grant, 20261126, 202611); err != nil {
					t.Fatal(err)
				}
			}
			if got := reserve(t.Context(), s, spend.Reservation{ID: "one", App: "a", Grant: "g", Day: budgetDay}); !got.ok {
				t.Fatal(got)
			}
			h := hold(t, s)
			ended := make(chan error, 1)
			if begins {
				go func() { ended <- reserve(t.Context(), s, sixty("two")).err }()
				h.waitedFor()
				h.touch("", 202611)
				h.goOn()
			} else {
				h.touch("", 202611)
				go func() { ended <- s.Budgets().Settle(t.Context(), "one", 6) }()
			}
			h.waitedFor()
			h.touch("g", 20261126)
			h.commit()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
