package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// leap is next for databases in which no transaction spans two calls, but all
// statements of one are a transaction. Of migrators that meet, only one can
// record the file; the others' transactions are undone, and they look again.
func (d dialect) leap(ctx context.Context, conn *sql.Conn, steps []step) (string, error) {
	for {
		done, err := d.recorded(ctx, conn)
		if err != nil {
			return "", err
		}
		left, err := remaining(steps, done)
		if err != nil || len(left) == 0 {
			return "", err
		}
		_, failed := conn.ExecContext(ctx, whole(left[0]))
		if failed == nil {
			return left[0].name, nil
		}
		// The reason does not matter if the file is there now.
		if now, err := d.recorded(ctx, conn); err != nil || !slices.ContainsFunc(now, left[0].same) {
			return "", fmt.Errorf("migration %s: %w", left[0].name, failed)
		}
	}
}

func (st step) same(other step) bool { return st.name == other.name }

// whole is the text that records and applies the step.
func whole(st step) string {
	record := fmt.Sprintf("INSERT INTO perch_migrations (name, checksum, applied) VALUES ('%s', '%s', %d)",
		strings.ReplaceAll(st.name, "'", "''"), st.checksum, time.Now().UnixMicro())
	return account + ";\n" + record + ";\n" + st.sql
}
