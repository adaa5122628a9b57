package cloudflare

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
)

// d1Conns is how many calls a database gets at once; it takes them one by one.
const d1Conns = 16

// OpenD1 returns the D1 database with the ID. Nothing is asked of it yet.
//
// A text with several statements is one transaction; transactions that span
// calls do not exist. Whole numbers beyond 2^53 can be written as text and are
// refused where they come back as numbers, because on the way they are rounded.
// Texts that are arguments stay arguments; others become part of the statement.
func OpenD1(cfg Config, database string) (*sql.DB, error) {
	c, err := NewClient(cfg)
	switch {
	case err != nil:
		return nil, err
	case database == "":
		return nil, errors.New("the D1 database has no ID")
	}
	db := sql.OpenDB(&connector{c, "/d1/database/" + url.PathEscape(database) + "/raw"})
	db.SetMaxOpenConns(d1Conns)
	db.SetMaxIdleConns(d1Conns)
	return db, nil
}

// A connector gives connections to one database. They are all alike and hold
// nothing: HTTP has connections of its own.
type connector struct {
	client *Client
	path   string
}

// Connect implements driver.Connector.
func (c *connector) Connect(context.Context) (driver.Conn, error) { return &conn{c}, nil }

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return nameless{} }

// Close is called when the database is closed.
func (c *connector) Close() error {
	c.client.Close()
	return nil
}

// nameless is a driver that opens nothing by name.
type nameless struct{}

// Open implements driver.Driver.
func (nameless) Open(string) (driver.Conn, error) {
	return nil, errors.New("a D1 database is opened by OpenD1")
}

type conn struct{ at *connector }

var (
	_ driver.QueryerContext    = (*conn)(nil)
	_ driver.ExecerContext     = (*conn)(nil)
	_ driver.ConnBeginTx       = (*conn)(nil)
	_ driver.Pinger            = (*conn)(nil)
	_ driver.NamedValueChecker = (*conn)(nil)
)

// Ping asks for a row.
func (c *conn) Ping(ctx context.Context) error {
	_, err := c.QueryContext(ctx, "SELECT 1 AS one", nil)
	return err
}

// QueryContext gives the rows of each statement, one after the other.
func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	list, err := bind(text, args)
	if err != nil || len(list) == 0 {
		return &rows{}, err
	}
	results, err := c.send(ctx, list)
	if err != nil {
		return nil, err
	}
	return &rows{results: results}, nil
}

// ExecContext counts the rows that the statements themselves changed. What D1
// says of a statement has in it what triggers changed, so the database is asked
// for its own count in the same transaction.
func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	list, err := bind(text, args)
	if err != nil {
		return nil, err
	}
	var all []statement
	var counts []int
	for _, s := range list {
		all = append(all, s)
		if s.verb.changes() {
			counts = append(counts, len(all))
			all = append(all, statement{SQL: "SELECT changes() AS changes", verb: selects})
		}
	}
	if len(all) == 0 {
		return driver.RowsAffected(0), nil
	}
	results, err := c.send(ctx, all)
	if err != nil {
		return nil, err
	}
	var sum int64
	for _, at := range counts {
		n, err := results[at].number()
		if err != nil {
			return nil, err
		}
		sum += n
	}
	return driver.RowsAffected(sum), nil
}

// CheckNamedValue implements driver.NamedValueChecker. What cannot be bound is
// refused by bind.
func (c *conn) CheckNamedValue(v *driver.NamedValue) (err error) {
	v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
	return err
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return nil, errors.New("D1 has no transactions that span calls; " +
		"give all statements to one Exec, which is one transaction")
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

// Close implements driver.Conn.
func (c *conn) Close() error { return nil }

// Prepare implements driver.Conn. Nothing is prepared at D1.
func (c *conn) Prepare(text string) (driver.Stmt, error) { return &stmt{c, text}, nil }

type stmt struct {
	*conn
	text string
}

var (
	_ driver.StmtQueryContext = (*stmt)(nil)
	_ driver.StmtExecContext  = (*stmt)(nil)
)

// NumInput implements driver.Stmt: it is not known before the text is read.
func (s *stmt) NumInput() int { return -1 }

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.text, args)
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.text, args)
}

// Query implements driver.Stmt.
func (s *stmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// Exec implements driver.Stmt.
func (s *stmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
