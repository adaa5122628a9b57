package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

type xVerb struct{ remote }

// hold is something for which X is left alone, as the REST API shows it.
type hold struct {
	XApp    string     `json:"x_app"`
	Group   string     `json:"group"`
	Event   string     `json:"event"`
	Refuses bool       `json:"refuses"`
	Say     string     `json:"say"`
	Cause   string     `json:"cause"`
	Since   *time.Time `json:"since"`
	NextTry *time.Time `json:"next_try"`
	Until   *time.Time `json:"until"`
}

// Run shows for what the Perch that answers leaves X alone.
func (v xVerb) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	var page struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := o.call(ctx, http.MethodGet, "/admin/v1/x", nil, &page); err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, page.Data)
	}
	holds, err := each[hold](page.Data)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, h := range holds {
		rows = append(rows, h.columns())
	}
	p.list("X APP\tGROUP\tEVENT\tREFUSES\tSINCE\tNEXT TRY\tUNTIL", rows,
		"The Perch that answered leaves X alone for nothing. Other replicas may; ask each with perch x --server.")
	for _, h := range holds {
		p.say("\n%s: %s.\n  %s\n", h.Event, printable(h.Say), printable(h.Cause))
	}
	if len(holds) > 0 {
		p.say("\nThis is what the Perch that answered knows; ask each replica with --server.\n")
	}
	if slices.ContainsFunc(holds, func(h hold) bool { return h.NextTry != nil }) {
		p.say("The first call after NEXT TRY goes to X, and if X performs it, so do all.\n")
	}
	if slices.ContainsFunc(holds, func(h hold) bool { return h.NextTry == nil }) {
		p.say("Where there is no NEXT TRY, each call goes to X once its window has ended; where X did not say when, that " +
			"may be after UNTIL,\nand after its line is gone from here.\n")
	}
	return nil
}

func (h hold) columns() []string {
	group, refuses, until := h.Group, "all", second(h.Until)
	if group == "" {
		group = "all"
	}
	if !h.Refuses {
		refuses = "closed windows"
	}
	if until == "" {
		until = "X answers"
	}
	return []string{h.XApp, group, h.Event, refuses, second(h.Since), cmp.Or(second(h.NextTry), "-"), until}
}

// second shows a time to the second, "" if there is none.
func second(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}
