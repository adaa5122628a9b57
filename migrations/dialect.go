package migrations

// A dialect is where databases differ in keeping account of migrations.
type dialect struct {
	begin  string // a transaction that no other migrator's overlaps; see leap for D1, which has none
	exists string // gives a row if something was recorded ever
	record string // takes name, checksum and time
}

func sqlite() dialect {
	return dialect{
		begin:  "BEGIN IMMEDIATE",
		exists: "SELECT name, '' FROM sqlite_master WHERE type = 'table' AND name = 'perch_migrations'",
		record: "INSERT INTO perch_migrations (name, checksum, applied) VALUES (?, ?, ?)",
	}
}

// d1 keeps account as SQLite does.
func d1() dialect {
	d := sqlite()
	d.begin, d.record = "", ""
	return d
}

// postgres takes a lock that ends with the transaction, and so with whoever
// holds it. The number is the name of Perch in ASCII. Only with this isolation
// does a statement after the lock see what was committed while waiting for it.
func postgres() dialect {
	return dialect{
		begin:  "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(482738332520)",
		exists: "SELECT 'perch_migrations', '' WHERE to_regclass('perch_migrations') IS NOT NULL",
		record: "INSERT INTO perch_migrations (name, checksum, applied) VALUES ($1, $2, $3)",
	}
}
