package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// printable replaces what could steer a terminal: names come from strangers.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// table writes rows under a heading, in columns.
func table(w io.Writer, heading string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, heading)
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
			if row[i] == "" {
				row[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
}

// list writes a table, or where there is nothing to list the sentence.
func (p *program) list(heading string, rows [][]string, nothing string) {
	if len(rows) == 0 {
		p.say("%s\n", nothing)
		return
	}
	table(p.out, heading, rows)
}

// fields writes names and values below each other.
func fields(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		value := printable(row[1])
		if value == "" {
			value = "-"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\n", row[0], value)
	}
	_ = t.Flush()
}

// asJSON writes v indented.
func asJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// each decodes every item of a list.
func each[T any](items []json.RawMessage) ([]T, error) {
	out := make([]T, len(items))
	for i, item := range items {
		if err := json.Unmarshal(item, &out[i]); err != nil {
			return nil, errors.New("an entry of the answer is not what Perch answers; is this perch as new as the server?")
		}
	}
	return out, nil
}

// when shows a time to the minute, "" if there is none.
func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04") + " UTC"
}

// words is a list of words, or one text with spaces between them: OAuth writes
// scopes in both ways.
type words []string

// UnmarshalJSON takes either way.
func (w *words) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*w = strings.Fields(text)
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

func (w words) String() string { return strings.Join(w, " ") }

// split takes words apart that were given with commas or spaces between them,
// and drops empty ones: one empty word empties a list.
func split(list []string) []string {
	return strings.FieldsFunc(strings.Join(list, " "), func(r rune) bool { return r == ' ' || r == ',' })
}
