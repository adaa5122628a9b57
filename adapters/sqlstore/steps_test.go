package sqlstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/adapters/sqlstore"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/spend"
	"perch/domain/xapp"
)

func marksOf(day spend.Day, n int) []spend.Mark {
	marks := make([]spend.Mark, n)
	for i := range marks {
		r := spend.Resource{XApp: xapp.ID("x"), Day: day, Kind: "Posts: Read", ID: fmt.Sprintf("%d_%d", day, i)}
		marks[i] = spend.Mark{Resource: r, By: "call"}
	}
	return marks
}

// The longest IDs there are, written out, fit into statements.
func TestALongPageOfLongNamesIsMarked(t *testing.T) { everywhere(t, aLongPageOfLongNamesIsMarked) }

func aLongPageOfLongNamesIsMarked(t *testing.T, d database) {
	s := d.open(t, d.dsn(t))
	marks := marksOf(20261126, 1_000)
	for i := range marks {
		marks[i].ID = fmt.Sprintf("%0200d", i)
		marks[i].ID = strings.Repeat("'", 196) + marks[i].ID[196:]
		marks[i].XApp, marks[i].By = xapp.ID(strings.Repeat("x", 64)), strings.Repeat("c", 26)
	}
	if first, err := s.Usage().First(t.Context(), marks); err != nil || len(first) != len(marks) {
		t.Errorf("%d are the first; %v", len(first), err)
	}
	lines := make([]spend.Line, len(marks))
	for i := range lines {
		lines[i] = spend.Line{
			Day: 20261126, App: "app_aaaaaaaaaaaaaaaaaaaaaaaaaa", Grant: oauth.GrantID(fmt.Sprintf("grant_aaaaaaaaaaaaaaaaaaaaaa%d", i)),
			Action: "createDirectMessagesByParticipantId", Amount: spend.Amount{Calls: 1 << 40, Cost: 1 << 50, Saved: 1 << 50},
		}
	}
	if err := s.Usage().Keep(t.Context(), "aaaaaaaaaaaaaaaaaaaaaaaaaa", lines); err != nil {
		t.Error(err)
	}
}

func TestASweepGoesByStepsToItsEnd(t *testing.T) { everywhere(t, aSweepGoesByStepsToItsEnd) }

func aSweepGoesByStepsToItsEnd(t *testing.T, d database) {
	s := d.open(t, d.dsn(t))
	const old, fresh = 1_050, 3
	for day, n := range map[spend.Day]int{20261125: old, 20261126: fresh} {
		if first, err := s.Usage().First(t.Context(), marksOf(day, n)); err != nil || len(first) != n {
			t.Fatal(len(first), err)
		}
	}
	for _, want := range []int{old, 0} {
		if n, err := s.Usage().SweepMarks(t.Context(), 20261126); err != nil || n != want {
			t.Errorf("a sweep removed %d, want %d; %v", n, want, err)
		}
	}
	var left int
	if err := s.DB().QueryRow("SELECT COUNT(*) FROM billed").Scan(&left); err != nil || left != fresh {
		t.Errorf("%d marks are left; %v", left, err)
	}
}

// Sweeps find what is old by an index, and calls are counted while one waits.
func TestASweepHoldsUpNoCall(t *testing.T) {
	d := databases()[0]
	s := d.open(t, d.dsn(t))
	for _, query := range []string{
		"SELECT 1 FROM billed WHERE day < 20261126",
		"SELECT 1 FROM usage WHERE day < 20261126",
		"SELECT 1 FROM budgets WHERE period < 202601 OR period BETWEEN 1000000 AND 20260101",
	} {
		if plan := planOf(t, s, query); slices.ContainsFunc(plan, func(s string) bool { return strings.HasPrefix(s, "SCAN") }) {
			t.Errorf("%s: %q", query, plan)
		}
	}
	if n, err := s.Usage().First(t.Context(), marksOf(20261125, 600)); err != nil || len(n) != 600 {
		t.Fatal(len(n), err)
	}
	conn, err := s.DB().Conn(t.Context()) // the one that sweeps need
	if err != nil {
		t.Fatal(err)
	}
	swept := make(chan error, 1)
	go func() { _, err := s.Usage().SweepMarks(t.Context(), 20261126); swept <- err }()
	for s.DB().Stats().WaitCount == 0 {
		time.Sleep(time.Millisecond)
	}
	v, err := s.Quota().Spend(t.Context(), time.Now(), []quota.Charge{{Key: "k", Max: 1, Window: time.Hour}})
	if err != nil || !v.Allowed {
		t.Errorf("a call meanwhile: %+v, %v", v, err)
	}
	_ = conn.Close()
	if err := <-swept; err != nil {
		t.Error(err)
	}
}

// planOf lists the steps that SQLite takes.
func planOf(t *testing.T, s *sqlstore.Store, query string) (steps []string) {
	t.Helper()
	rows, err := s.DB().Query("EXPLAIN QUERY PLAN " + query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if len(steps) == 0 || rows.Err() != nil {
		t.Fatal("there is no plan", rows.Err())
	}
	return steps
}
