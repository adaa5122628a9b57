package migrations

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	_ "modernc.org/sqlite" // the database the files are for
)

// handle opens the file as a process of its own would.
func handle(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_busy_timeout=5000&_journal_mode=WAL&_txlock=immediate")
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

func fresh(t *testing.T) *sql.DB {
	t.Helper()
	return handle(t, filepath.Join(t.TempDir(), "perch.db"))
}

// numbered returns a schema with a file for each text.
func numbered(texts ...string) Schema {
	files := fstest.MapFS{}
	for i, text := range texts {
		files["000"+string(rune('1'+i))+"_step.sql"] = &fstest.MapFile{Data: []byte(text)}
	}
	return Schema{files}
}

func tables(t *testing.T, db *sql.DB) []string {
	t.Helper()
	found, err := query(t.Context(), db,
		"SELECT name, '' FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range found {
		names = append(names, f.name)
	}
	return names
}

func wantApplied(t *testing.T, s Schema, db *sql.DB, want ...string) {
	t.Helper()
	if got, err := s.Apply(t.Context(), db); err != nil || !slices.Equal(got, want) {
		t.Errorf("Apply: got %q, %v; want %q", got, err, want)
	}
}

func TestFreshAndTwice(t *testing.T) {
	db := fresh(t)
	s := SQLite()
	pending, err := s.Pending(t.Context(), db)
	if err != nil || len(pending) == 0 || pending[0] != "0001_init.sql" {
		t.Fatalf("Pending on a fresh database: got %q, %v", pending, err)
	}
	if got := tables(t, db); len(got) != 0 {
		t.Errorf("Pending made tables: %q", got)
	}
	wantApplied(t, s, db, pending...)
	for _, name := range []string{
		"grants", "applications", "api_keys", "xapps", "authorizations", "codes", "sessions", "signing_keys", "quotas",
	} {
		if !slices.Contains(tables(t, db), name) {
			t.Errorf("there is no table %s", name)
		}
	}
	wantApplied(t, s, db)
	if pending, err := s.Pending(t.Context(), db); err != nil || len(pending) != 0 {
		t.Errorf("Pending after Apply: got %q, %v", pending, err)
	}
}

func TestColumnsAreTextAndWholeNumbers(t *testing.T) {
	db := fresh(t)
	if _, err := SQLite().Apply(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	odd, err := query(t.Context(), db, `SELECT m.name || '.' || c.name, c.type
		FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND (c.type NOT IN ('TEXT', 'BIGINT') OR c."notnull" = 0)`)
	if err != nil || len(odd) != 0 {
		t.Errorf("columns of other types, or that may be NULL: %v, %v", odd, err)
	}
}

func TestTwoAtOnce(t *testing.T) {
	texts := make([]string, 9)
	for i := range texts {
		// Applied twice, each of them fails.
		texts[i] = "CREATE TABLE t" + string(rune('1'+i)) + " (id TEXT); INSERT INTO t1 VALUES ('x');"
	}
	s, file := numbered(texts...), filepath.Join(t.TempDir(), "perch.db")
	handles := []*sql.DB{handle(t, file), handle(t, file)}
	for _, db := range handles {
		if err := db.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := make([][]string, len(handles))
	var all sync.WaitGroup
	for i, db := range handles {
		all.Go(func() {
			var err error
			if got[i], err = s.Apply(t.Context(), db); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(got[0]) + len(got[1]); n != len(texts) {
		t.Errorf("two migrators applied %d of %d files: %q", n, len(texts), got)
	}
	rows, err := query(t.Context(), handles[0], "SELECT id, '' FROM t1")
	if err != nil || len(rows) != len(texts) {
		t.Errorf("the files ran %d times, %v; want %d", len(rows), err, len(texts))
	}
}

func TestAFileThatFailsLeavesNothing(t *testing.T) {
	db := fresh(t)
	bad := numbered(
		"CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT); CREATE TABLE a (id TEXT)", "CREATE TABLE c (id TEXT)")
	applied, err := bad.Apply(t.Context(), db)
	if err == nil || !slices.Equal(applied, []string{"0001_step.sql"}) || !strings.Contains(err.Error(), "0002_step.sql") {
		t.Errorf("Apply: got %q, %v; want the first file, and an error that names the second", applied, err)
	}
	if got := tables(t, db); !slices.Equal(got, []string{"a", "perch_migrations"}) {
		t.Errorf("tables after the failure: %q", got)
	}
	good := numbered("CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT)", "CREATE TABLE c (id TEXT)")
	wantApplied(t, good, db, "0002_step.sql", "0003_step.sql")
}

func TestACancelledApplyLeavesNothing(t *testing.T) {
	db := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SQLite().Apply(ctx, db); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply with a cancelled context: got error %v", err)
	}
	if got := tables(t, db); len(got) != 0 {
		t.Errorf("it left tables: %q", got)
	}
	wantApplied(t, SQLite(), db, "0001_init.sql")
}

func TestRefused(t *testing.T) {
	one, two, other := "CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT)", "CREATE TABLE z (id TEXT)"
	for _, c := range []struct {
		name    string
		was, is Schema
		want    error
	}{
		{"a newer database", numbered(one, two), numbered(one), ErrNewer},
		{"a changed file", numbered(one, two), numbered(one, other), ErrChanged},
		{"a changed first file, with more to come", numbered(one), numbered(other, two), ErrChanged},
		{"a file in another's place", numbered(one), Schema{fstest.MapFS{
			"0001_other.sql": &fstest.MapFile{Data: []byte(one)},
		}}, ErrChanged},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := fresh(t)
			if _, err := c.was.Apply(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			before := tables(t, db)
			if applied, err := c.is.Apply(t.Context(), db); !errors.Is(err, c.want) || len(applied) != 0 {
				t.Errorf("Apply: got %q, %v; want error %v", applied, err, c.want)
			}
			if _, err := c.is.Pending(t.Context(), db); !errors.Is(err, c.want) {
				t.Errorf("Pending: got error %v, want %v", err, c.want)
			}
			if after := tables(t, db); !slices.Equal(before, after) {
				t.Errorf("tables were %q and are %q", before, after)
			}
		})
	}
}

func TestTimeAndChecksumAreRecorded(t *testing.T) {
	db := fresh(t)
	wantApplied(t, numbered("CREATE TABLE a (id TEXT)"), db, "0001_step.sql")
	var checksum string
	var applied int64
	row := db.QueryRowContext(t.Context(), "SELECT checksum, applied FROM perch_migrations WHERE name = '0001_step.sql'")
	if err := row.Scan(&checksum, &applied); err != nil || len(checksum) != 64 || applied < 1.7e15 {
		t.Errorf("recorded: checksum %q, time %d, %v", checksum, applied, err)
	}
}
