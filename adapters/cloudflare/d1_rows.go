package cloudflare

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// widest is the largest whole number that JavaScript, which D1 is written in,
// does not round.
const widest = 1<<53 - 1

// A result is what one statement gave.
type result struct {
	Success *bool `json:"success"`
	Results struct {
		Columns []string `json:"columns"`
		Rows    [][]any  `json:"rows"`
	} `json:"results"`
}

// send performs the statements in one transaction. Reading may be repeated.
func (c *conn) send(ctx context.Context, list []statement) ([]result, error) {
	var request any = list[0]
	if len(list) > 1 {
		request = map[string]any{"batch": list}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	reads := !slices.ContainsFunc(list, func(s statement) bool { return s.verb != selects })
	var raw json.RawMessage
	call := Call{Method: http.MethodPost, Path: c.at.path, Body: body, Repeat: reads}
	if err := c.at.client.Ask(ctx, call, &raw, nil); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var results []result
	if err := d.Decode(&results); err != nil {
		return nil, unreadable(err)
	}
	return results, fits(results, len(list))
}

// fits returns nil if there is a whole result for each statement.
func fits(results []result, want int) error {
	if len(results) != want {
		return unreadable(fmt.Errorf("%d results for %d statements", len(results), want))
	}
	for _, r := range results {
		if r.Success == nil || !*r.Success {
			return unreadable(errors.New("a statement that did not succeed"))
		}
		for _, row := range r.Results.Rows {
			if len(row) != len(r.Results.Columns) {
				return unreadable(errors.New("a row that is shorter or longer than the columns"))
			}
		}
	}
	return nil
}

// number is the only value of a result.
func (r result) number() (int64, error) {
	if len(r.Results.Rows) == 1 && len(r.Results.Columns) == 1 {
		v, err := value(r.Results.Rows[0][0])
		if n, ok := v.(int64); err == nil && ok {
			return n, nil
		}
	}
	return 0, unreadable(errors.New("no count of the rows that were changed"))
}

// rows are the results of a query, already here.
type rows struct {
	results []result // the first is the one being read
	next    int
}

var _ driver.RowsNextResultSet = (*rows)(nil)

// Columns implements driver.Rows.
func (r *rows) Columns() []string {
	if len(r.results) == 0 {
		return nil
	}
	return r.results[0].Results.Columns
}

// Close implements driver.Rows.
func (r *rows) Close() error { return nil }

// Next implements driver.Rows.
func (r *rows) Next(into []driver.Value) error {
	if len(r.results) == 0 || r.next == len(r.results[0].Results.Rows) {
		return io.EOF
	}
	row := r.results[0].Results.Rows[r.next]
	r.next++
	for i, cell := range row {
		v, err := value(cell)
		if err != nil {
			return fmt.Errorf("column %s: %w", r.Columns()[i], err)
		}
		into[i] = v
	}
	return nil
}

// HasNextResultSet implements driver.RowsNextResultSet.
func (r *rows) HasNextResultSet() bool { return len(r.results) > 1 }

// NextResultSet implements driver.RowsNextResultSet.
func (r *rows) NextResultSet() error {
	if !r.HasNextResultSet() {
		return io.EOF
	}
	r.results, r.next = r.results[1:], 0
	return nil
}

// value is what a cell of JSON stands for.
func value(cell any) (driver.Value, error) {
	switch v := cell.(type) {
	case nil, string, bool:
		return v, nil
	case json.Number:
		return number(v.String())
	case []any:
		return blob(v)
	}
	return nil, errors.New("D1 has no such values")
}

func number(text string) (driver.Value, error) {
	if strings.ContainsAny(text, ".eE") {
		return strconv.ParseFloat(text, 64)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > widest || n < -widest {
		return nil, errors.New("a whole number beyond 2^53, which was rounded on its way; keep such numbers as text")
	}
	return n, nil
}

// blob is bytes, each of which comes as a number.
func blob(list []any) ([]byte, error) {
	out := make([]byte, len(list))
	for i, item := range list {
		digits, ok := item.(json.Number)
		n, err := strconv.ParseUint(digits.String(), 10, 8)
		if !ok || err != nil {
			return nil, errors.New("a list of something else than bytes")
		}
		out[i] = byte(n)
	}
	return out, nil
}
