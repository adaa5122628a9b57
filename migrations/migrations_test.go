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

	_ "github.com/jackc/pgx/v5/stdlib" // the databases the files are for
	_ "modernc.org/sqlite"

	"perch/adapters/cloudflare"
	"perch/domain/secret"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
	"perch/ports/conformance/workerd"
)

// A database is one kind of database that migrations are for.
type database struct {
	name   string
	schema Schema
	fresh  func(t *testing.T) opener // makes an empty one
	tables string                    // gives the names of all tables
}

// An opener opens a database as a process of its own does.
type opener func() (*sql.DB, error)

func named(driver, dsn string) opener {
	return func() (*sql.DB, error) { return sql.Open(driver, dsn) }
}

func databases() []database {
	return []database{
		{"sqlite", SQLite(), func(t *testing.T) opener {
			file := filepath.Join(t.TempDir(), "perch.db")
			return named("sqlite", "file:"+file+"?_busy_timeout=5000&_journal_mode=WAL&_txlock=immediate")
		}, "SELECT name, '' FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"},
		{"postgres", Postgres(), func(t *testing.T) opener {
			return named("pgx", pgtest.URL(t)+"&default_query_exec_mode=exec")
		}, "SELECT table_name, '' FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"},
		{"d1", D1(), func(t *testing.T) opener {
			p := workerd.D1(t)
			cfg := cloudflare.Config{URL: p.URL, Account: p.Account, Token: secret.New(p.Token)}
			return func() (*sql.DB, error) { return cloudflare.OpenD1(cfg, p.ID) }
		}, `SELECT name, '' FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
			AND name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY name`},
	}
}

// everywhere runs the test on an empty database of each kind. open opens that
// database as a process of its own would.
func everywhere(t *testing.T, test func(t *testing.T, d database, open func() *sql.DB)) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			conformance.Verified(t, d.name)
			test(t, d, d.opener(t))
		})
	}
}

// opener makes an empty database and returns what opens it.
func (d database) opener(t *testing.T) (open func() *sql.DB) {
	opens := d.fresh(t)
	return func() *sql.DB {
		db, err := opens()
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
}

// files are the names of the files that the database's schema is made of.
func (d database) files(t *testing.T) (names []string) {
	t.Helper()
	steps, err := d.schema.steps()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// numbered returns a schema with a file for each text. What drops a table says so
// in its name.
func (d database) numbered(texts ...string) Schema {
	files := fstest.MapFS{}
	for i, text := range texts {
		name := "000" + string(rune('1'+i)) + "_step.sql"
		if strings.HasPrefix(text, "DROP") {
			name = strings.Replace(name, ".sql", contract, 1)
		}
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Schema{files, d.schema.dialect}
}

func (d database) names(t *testing.T, db *sql.DB) []string {
	t.Helper()
	found, err := query(t.Context(), db, d.tables)
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

func TestFreshAndTwice(t *testing.T) { everywhere(t, freshAndTwice) }

func freshAndTwice(t *testing.T, d database, open func() *sql.DB) {
	db := open()
	s := d.schema
	pending, err := s.Pending(t.Context(), db)
	if err != nil || len(pending) == 0 || pending[0] != "0001_init.sql" {
		t.Fatalf("Pending on a fresh database: got %q, %v", pending, err)
	}
	if got := d.names(t, db); len(got) != 0 {
		t.Errorf("Pending made tables: %q", got)
	}
	wantApplied(t, s, db, pending...)
	for _, name := range []string{
		"grants", "applications", "api_keys", "xapps", "authorizations", "codes", "sessions", "signing_keys", "quotas",
		"heads",
	} {
		if !slices.Contains(d.names(t, db), name) {
			t.Errorf("there is no table %s", name)
		}
	}
	wantApplied(t, s, db)
	if pending, err := s.Pending(t.Context(), db); err != nil || len(pending) != 0 {
		t.Errorf("Pending after Apply: got %q, %v", pending, err)
	}
}

func TestTwoAtOnce(t *testing.T) { everywhere(t, twoAtOnce) }

func twoAtOnce(t *testing.T, d database, open func() *sql.DB) {
	texts := make([]string, 9)
	for i := range texts {
		// Applied twice, each of them fails.
		texts[i] = "CREATE TABLE t" + string(rune('1'+i)) + " (id TEXT); INSERT INTO t1 VALUES ('x');"
	}
	s := d.numbered(texts...)
	handles := []*sql.DB{open(), open()}
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

func TestAFileThatFailsLeavesNothing(t *testing.T) { everywhere(t, aFileThatFailsLeavesNothing) }

func aFileThatFailsLeavesNothing(t *testing.T, d database, open func() *sql.DB) {
	db := open()
	bad := d.numbered(
		"CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT); CREATE TABLE a (id TEXT)", "CREATE TABLE c (id TEXT)")
	applied, err := bad.Apply(t.Context(), db)
	if err == nil || !slices.Equal(applied, []string{"0001_step.sql"}) || !strings.Contains(err.Error(), "0002_step.sql") {
		t.Errorf("Apply: got %q, %v; want the first file, and an error that names the second", applied, err)
	}
	if got := d.names(t, db); !slices.Equal(got, []string{"a", "perch_migrations"}) {
		t.Errorf("tables after the failure: %q", got)
	}
	good := d.numbered("CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT)", "CREATE TABLE c (id TEXT)")
	wantApplied(t, good, db, "0002_step.sql", "0003_step.sql")
}

func TestACancelledApplyLeavesNothing(t *testing.T) { everywhere(t, aCancelledApplyLeavesNothing) }

func aCancelledApplyLeavesNothing(t *testing.T, d database, open func() *sql.DB) {
	db := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.schema.Apply(ctx, db); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply with a cancelled context: got error %v", err)
	}
	if got := d.names(t, db); len(got) != 0 {
		t.Errorf("it left tables: %q", got)
	}
	wantApplied(t, d.schema, db, d.files(t)...)
}

func TestRefused(t *testing.T) { everywhere(t, refused) }

func refused(t *testing.T, d database, _ func() *sql.DB) {
	one, two, other := "CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT)", "CREATE TABLE z (id TEXT)"
	drop := "DROP TABLE a"
	for _, c := range []struct {
		name    string
		was, is Schema
		want    error
	}{
		{"a newer database that lacks something", d.numbered(one, two, drop), d.numbered(one), ErrNewer},
		{"the same, of the version before", d.numbered(one, two, drop), d.numbered(one, two), ErrNewer},
		{"a changed file", d.numbered(one, two), d.numbered(one, other), ErrChanged},
		{"a changed first file, with more to come", d.numbered(one), d.numbered(other, two), ErrChanged},
		{"a file in another's place", d.numbered(one), Schema{fstest.MapFS{
			"0001_other.sql": &fstest.MapFile{Data: []byte(one)},
		}, d.schema.dialect}, ErrChanged},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := d.opener(t)()
			if _, err := c.was.Apply(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			before := d.names(t, db)
			if applied, err := c.is.Apply(t.Context(), db); !errors.Is(err, c.want) || len(applied) != 0 {
				t.Errorf("Apply: got %q, %v; want error %v", applied, err, c.want)
			}
			if _, err := c.is.Pending(t.Context(), db); !errors.Is(err, c.want) {
				t.Errorf("Pending: got error %v, want %v", err, c.want)
			}
			if after := d.names(t, db); !slices.Equal(before, after) {
				t.Errorf("tables were %q and are %q", before, after)
			}
		})
	}
}

func TestTimeAndChecksumAreRecorded(t *testing.T) { everywhere(t, timeAndChecksumAreRecorded) }

func timeAndChecksumAreRecorded(t *testing.T, d database, open func() *sql.DB) {
	db := open()
	wantApplied(t, d.numbered("CREATE TABLE a (id TEXT)"), db, "0001_step.sql")
	var checksum string
	var applied int64
	row := db.QueryRowContext(t.Context(), "SELECT checksum, applied FROM perch_migrations WHERE name = '0001_step.sql'")
	if err := row.Scan(&checksum, &applied); err != nil || len(checksum) != 64 || applied < 1.7e15 {
		t.Errorf("recorded: checksum %q, time %d, %v", checksum, applied, err)
	}
}

// While versions are exchanged, the old one starts on what the new one added.
func TestANewerDatabaseWithNothingTakenAway(t *testing.T) { everywhere(t, aNewerDatabase) }

func aNewerDatabase(t *testing.T, d database, open func() *sql.DB) {
	db := open()
	older, newer := d.numbered("CREATE TABLE a (id TEXT)"), d.numbered("CREATE TABLE a (id TEXT)", "CREATE TABLE b (id TEXT)")
	wantNewer := func(s Schema, want ...string) {
		t.Helper()
		if got, err := s.Newer(t.Context(), db); err != nil || !slices.Equal(got, want) {
			t.Errorf("Newer: got %q, %v; want %q", got, err, want)
		}
	}
	wantNewer(older)
	wantApplied(t, newer, db, "0001_step.sql", "0002_step.sql")
	wantNewer(newer)
	wantNewer(older, "0002_step.sql")
	wantApplied(t, older, db)
	if pending, err := older.Pending(t.Context(), db); err != nil || len(pending) != 0 {
		t.Errorf("Pending of the older version: got %q, %v", pending, err)
	}
}
