package migrations

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// odd lists what is odd: columns of other types than text and whole
// numbers, those that may be NULL, and what things are known by where it does
// not sort by bytes.
func (d database) odd() string {
	if d.name == "postgres" {
		return `SELECT table_name || '.' || column_name, data_type FROM information_schema.columns
			WHERE table_schema = current_schema() AND table_name <> 'perch_migrations' AND (
				data_type NOT IN ('text', 'bigint') OR is_nullable = 'YES' OR
				(column_name IN ('id', 'app', 'digest', 'subject') AND collation_name IS DISTINCT FROM 'C'))`
	}
	return `SELECT m.name || '.' || c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND m.name NOT LIKE '\_cf\_%' ESCAPE '\'
			AND (c.type NOT IN ('TEXT', 'BIGINT') OR c."notnull" = 0)`
}

func TestColumnsAreTextAndWholeNumbers(t *testing.T) {
	everywhere(t, func(t *testing.T, d database, open func() *sql.DB) {
		db := open()
		if _, err := d.schema.Apply(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if odd, err := query(t.Context(), db, d.odd()); err != nil || len(odd) != 0 {
			t.Errorf("odd columns: %v, %v", odd, err)
		}
	})
}

// rooms are the lines about where rows are put. They are no business of columns.
func rooms() []string { return []string{"ALTER TABLE grants SET (fillfactor = 70);", "SELECT 1;"} }

func TestEachDatabaseHasTheSameColumns(t *testing.T) {
	words := func(s Schema) []string {
		steps, err := s.steps()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, st := range steps {
			// Triggers, which come after the tables, are each database's own.
			tables := st.sql
			for _, trigger := range []string{"CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", "CREATE TRIGGER", "DROP TRIGGER"} {
				tables, _, _ = strings.Cut(tables, "\n"+trigger)
			}
			text := strings.ReplaceAll(tables, `COLLATE "C"`, "")
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "--") && !slices.Contains(rooms(), strings.TrimSpace(line)) {
					all = append(all, strings.Fields(line)...)
				}
			}
		}
		return all
	}
	if a, b := words(SQLite()), words(Postgres()); !slices.Equal(a, b) {
		t.Errorf("apart from collations the files differ:\n%q\n%q", a, b)
	}
}

// postgresOnly returns an empty PostgreSQL.
func postgresOnly(t *testing.T, test func(t *testing.T, d database, open func() *sql.DB)) {
	everywhere(t, func(t *testing.T, d database, open func() *sql.DB) {
		if d.name == "postgres" {
			test(t, d, open)
		}
	})
}

// A migrator whose connection is cut leaves neither half a file nor its lock.
func TestAMigratorThatDiesLeavesNothing(t *testing.T) {
	postgresOnly(t, func(t *testing.T, d database, open func() *sql.DB) {
		dying := d.numbered("CREATE TABLE a (id TEXT); SELECT pg_terminate_backend(pg_backend_pid()); SELECT pg_sleep(1)")
		if applied, err := dying.Apply(t.Context(), open()); err == nil || len(applied) != 0 {
			t.Fatalf("the dying migrator: got %q, %v", applied, err)
		}
		db := open()
		if got := d.names(t, db); len(got) != 0 {
			t.Errorf("it left tables: %q", got)
		}
		wantApplied(t, d.numbered("CREATE TABLE a (id TEXT)"), db, "0001_step.sql")
	})
}

func TestWhoWaitsForAnotherMigratorCanGiveUp(t *testing.T) {
	postgresOnly(t, func(t *testing.T, d database, open func() *sql.DB) {
		tx, err := open().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(strings.SplitAfter(d.schema.begin, ";")[1]); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		db := open() // whoever did not give up would wait for ever: the lock is let go below
		if _, err := d.schema.Apply(ctx, db); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another migrates: got %v", err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		wantApplied(t, d.schema, db, d.files(t)...)
	})
}
