package cloudflare

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/secret"
	"perch/ports/conformance"
	"perch/ports/conformance/workerd"
)

// engine returns an empty database in Cloudflare's engine.
func engine(t *testing.T) *sql.DB {
	t.Helper()
	conformance.Verified(t, "d1")
	p := workerd.D1(t)
	return opened(t, p.URL, p.Account, p.Token, p.ID)
}

func opened(t *testing.T, url, account, token, id string) *sql.DB {
	t.Helper()
	db, err := OpenD1(Config{URL: url, Account: account, Token: secret.New(token)}, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db *sql.DB, text string, args ...any) int64 {
	t.Helper()
	res, err := db.ExecContext(t.Context(), text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

func TestWhatGoesInComesOut(t *testing.T) {
	db := engine(t)
	exec(t, db, "CREATE TABLE t (a TEXT, b BIGINT, c REAL, d BLOB)")
	var in []any
	for _, text := range []string{"", "'; DROP TABLE t; --", "ünï 🐦 \u2028 <&>", `\"`, "a\nb", "?1 :x", "5"} {
		in = append(in, text, int64(-5), -1.5, []byte{0, 255}, text, int64(1<<53-1), 2.0, []byte{}, text, nil, 1e-9, nil)
	}
	for i := 0; i < len(in); i += 4 {
		if n := exec(t, db, "INSERT INTO t VALUES (?, ?, ?, ?)", in[i:i+4]...); n != 1 {
			t.Errorf("an insert changed %d rows", n)
		}
	}
	rows, err := db.QueryContext(t.Context(), "SELECT a, b, c, d FROM t ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil || !cmp.Equal(columns, []string{"a", "b", "c", "d"}) {
		t.Errorf("columns: %q, %v", columns, err)
	}
	var out []any
	for rows.Next() {
		var a, b, c, d any
		if err := rows.Scan(&a, &b, &c, &d); err != nil {
			t.Fatal(err)
		}
		if whole, ok := c.(int64); ok { // JSON does not tell 2.0 from 2
			c = float64(whole)
		}
		out = append(out, a, b, c, d)
	}
	if diff := cmp.Diff(in, out); rows.Err() != nil || diff != "" {
		t.Errorf("%v, -in +out:\n%s", rows.Err(), diff)
	}
}

// A number that is an argument is compared as a number.
func TestArgumentsKeepTheirTypes(t *testing.T) {
	db := engine(t)
	for text, args := range map[string][]any{
		"SELECT ? < unixepoch()":               {5},
		"SELECT ?1 = ?1 AND ?2 = 'b' AND ?1=1": {int64(1), "b"},
		"SELECT 1-? = 6":                       {-5},
		"SELECT typeof(?) = 'real'":            {2.0},
		"SELECT typeof(?) = 'blob'":            {[]byte("x")},
		"SELECT ? IS NULL":                     {nil},
		"SELECT ?2 || ?1 = 'ba'":               {"a", "b"},
		"SELECT '?' || ? = '?a' -- ? and ?":    {"a"},
		"SELECT ?":                             {true},
	} {
		var yes int64
		if err := db.QueryRowContext(t.Context(), text, args...).Scan(&yes); err != nil || yes != 1 {
			t.Errorf("%s with %v: got %d, %v", text, args, yes, err)
		}
	}
	for text, args := range map[string][]any{
		"SELECT ?":           {},
		"SELECT 1":           {1},
		"SELECT ?2":          {1, 2},
		"SELECT ?0":          {1},
		"SELECT :a":          {sql.Named("a", 1)},
		"SELECT ?1":          {sql.Named("a", 1)},
		"SELECT ?1 AS n":     {time.Now()},
		"SELECT ?1 AS nan":   {math.NaN()},
		"SELECT ?1 AS text":  {"\xff"},
		"SELECT '\xff'":      {},
		"SELECT ?; SELECT ?": {1, 2},
	} {
		if _, err := db.QueryContext(t.Context(), text, args...); err == nil { //nolint:rowserrcheck,sqlclosecheck // there are none
			t.Errorf("%s with %v was sent", text, args)
		}
	}
}

func TestNumbersThatWereRoundedAreRefused(t *testing.T) {
	db := engine(t)
	for _, n := range []string{"9007199254740993", "-9007199254740993", "9223372036854775807"} {
		var got int64
		err := db.QueryRowContext(t.Context(), "SELECT "+n+" AS n").Scan(&got)
		if err == nil || !strings.Contains(err.Error(), "keep such numbers as text") {
			t.Errorf("%s came as %d, %v", n, got, err)
		}
		var text string
		if err := db.QueryRowContext(t.Context(), "SELECT CAST("+n+" AS TEXT) AS n").Scan(&text); err != nil || text != n {
			t.Errorf("%s as text came as %s, %v", n, text, err)
		}
	}
}

func TestRowsOfTriggersAreNotCounted(t *testing.T) {
	db := engine(t)
	exec(t, db, `CREATE TABLE t (id TEXT PRIMARY KEY, v BIGINT);
		CREATE TABLE log (n INTEGER PRIMARY KEY, id TEXT); -- a ; in a comment
		CREATE TRIGGER seen AFTER UPDATE ON t BEGIN
			INSERT INTO log (id) VALUES (new.id || ';');
			INSERT INTO log (id) SELECT CASE WHEN 1 THEN new.id END;
		END;`)
	for _, c := range []struct {
		text string
		want int64
	}{
		{"INSERT INTO t VALUES ('a', 1), ('b', 2)", 2},
		{"UPDATE t SET v = v + 1", 2},
		{"UPDATE t SET v = v + 1 WHERE id = 'none'", 0},
		{"WITH one AS (SELECT 'a' AS id) UPDATE t SET v = 7 WHERE id IN (SELECT id FROM one)", 1},
		{"UPDATE t SET v = 8 WHERE id = 'a'; UPDATE t SET v = 8 WHERE id = 'b'; SELECT 1", 2},
		{"WITH one AS (SELECT 1 AS n) SELECT n FROM one", 0},
		{"-- nothing\n;;", 0},
		{"DELETE FROM t", 2},
	} {
		if got := exec(t, db, c.text); got != c.want {
			t.Errorf("%s: changed %d rows, want %d", c.text, got, c.want)
		}
	}
	var logged int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM log").Scan(&logged); err != nil || logged != 10 {
		t.Errorf("the triggers wrote %d rows, %v; want 10", logged, err)
	}
}

func TestStatementsOfOneExecAreOneTransaction(t *testing.T) {
	db := engine(t)
	exec(t, db, "CREATE TABLE t (id TEXT PRIMARY KEY)")
	_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES ('a'); INSERT INTO t VALUES ('b'); INSERT INTO t VALUES ('a')")
	refusal, ok := errors.AsType[*Error](err)
	if !ok || !refusal.UniqueViolation() {
		t.Errorf("the second a: got %v, want a violation of the key", err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows were left, %v", n, err)
	}
	for _, other := range []string{"INSERT INTO none VALUES (1)", "nonsense", "INSERT INTO t VALUES ('x"} {
		_, err := db.ExecContext(t.Context(), other)
		if refusal, ok := errors.AsType[*Error](err); !ok || refusal.UniqueViolation() || refusal.Status != 400 {
			t.Errorf("%s: got %v", other, err)
		}
	}
	if _, err := db.BeginTx(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "one Exec") {
		t.Errorf("BeginTx: got %v", err)
	}
}

func TestSeveralResults(t *testing.T) {
	db := engine(t)
	rows, err := db.QueryContext(t.Context(), "SELECT 1 AS a; SELECT 'x' AS b, 'y' AS c")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var a int
	var b, c string
	if !rows.Next() || rows.Scan(&a) != nil || rows.Next() || !rows.NextResultSet() ||
		!rows.Next() || rows.Scan(&b, &c) != nil || rows.NextResultSet() || rows.Err() != nil {
		t.Fatal("the results are not one after the other")
	}
	if a != 1 || b != "x" || c != "y" {
		t.Errorf("got %d, %s, %s", a, b, c)
	}
	stmt, err := db.PrepareContext(t.Context(), "SELECT ? || 'z'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stmt.Close() }()
	if err := stmt.QueryRowContext(t.Context(), "a").Scan(&b); err != nil || b != "az" {
		t.Errorf("a prepared statement gave %q, %v", b, err)
	}
}

func TestOneOfManySwapsWins(t *testing.T) {
	db := engine(t)
	exec(t, db, "CREATE TABLE t (id TEXT PRIMARY KEY, version BIGINT); INSERT INTO t VALUES ('a', 1)")
	var won atomic.Int64
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			res, err := db.ExecContext(t.Context(), "UPDATE t SET version = 2 WHERE id = ? AND version = 1", "a")
			if err != nil {
				t.Error(err)
				return
			}
			n, _ := res.RowsAffected()
			won.Add(n)
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d swaps won", won.Load())
	}
}

func TestACancelledCallIsQuick(t *testing.T) {
	db := engine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.ExecContext(ctx, "CREATE TABLE t (id TEXT)"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	const long = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT MAX(i) AS m FROM n`
	var m int
	if err := db.QueryRowContext(ctx, long).Scan(&m); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a long query: got %d, %v", m, err)
	}
}
