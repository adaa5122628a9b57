package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type usageVerb struct {
	remote
	App    string   `placeholder:"ID" help:"Only calls of this client application."`
	Grant  string   `placeholder:"ID" help:"Only calls of this grant."`
	Action string   `placeholder:"ID" help:"Only this operation of X, as createPosts."`
	By     []string `default:"day" placeholder:"WHAT" help:"What to tell apart: day, app, grant, action, or several with commas; an empty one for the total alone."`
	From   string   `placeholder:"DAY" help:"The first UTC day, as 2026-11-01; without it, the first of the month."`
	To     string   `placeholder:"DAY" help:"The last UTC day; without it, today."`
}

// spent is what calls came to, in US dollars.
type spent struct {
	Calls     int64  `json:"calls"`
	Resources int64  `json:"resources"`
	Cost      string `json:"cost"`
	Unsure    string `json:"unsure"`
	Includes  string `json:"includes"`
	Hits      int64  `json:"hits"`
	Saved     string `json:"saved"`
}

// report is what the REST API says of usage.
type report struct {
	From string `json:"from"`
	To   string `json:"to"`
	Data []struct {
		Day    string  `json:"day"`
		App    *string `json:"app_id"`
		Grant  *string `json:"grant_id"`
		Action string  `json:"action"`
		spent
	} `json:"data"`
	More    bool  `json:"more"`
	Total   spent `json:"total"`
	Budgets []struct {
		App      string     `json:"app_id"`
		Grant    string     `json:"grant_id"`
		Per      string     `json:"per"`
		Budget   string     `json:"budget"`
		Spent    string     `json:"spent"`
		Reserved string     `json:"reserved"`
		Left     string     `json:"left"`
		EndsAt   *time.Time `json:"ends_at"`
		Lost     string     `json:"lost"`
	} `json:"budgets"`
}

// Run shows what calls came to, and what is left of budgets.
func (v usageVerb) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, value := range map[string]string{
		"app": v.App, "grant": v.Grant, "action": v.Action, "from": v.From, "to": v.To,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	query["by"] = []string{strings.Join(some(v.By), ",")}
	var raw json.RawMessage
	if err := o.call(ctx, http.MethodGet, "/admin/v1/usage?"+query.Encode(), nil, &raw); err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, raw)
	}
	var r report
	if err := json.Unmarshal(raw, &r); err != nil {
		return errors.New("the answer is not what Perch answers; is this perch as new as the server?")
	}
	r.show(p)
	return nil
}

func (r report) show(p *program) {
	if len(r.Data) == 0 {
		p.say("Nothing was asked of X from %s to %s.\n", r.From, r.To)
	} else {
		r.lines(p)
	}
	if r.Total.Unsure != "0.00" && len(r.Data) > 0 {
		p.say("\n%s of the cost may not have been billed: X's answers to those calls did not come, or not whole.\n",
			r.Total.Unsure)
	}
	if r.More {
		p.say("\nThere are more lines than are shown; the total has them all. Ask for fewer days, or for one application.\n")
	}
	if len(r.Budgets) > 0 {
		p.say("\n")
		r.budgets(p)
	}
}

// lines writes a line for each part, those columns first that tell them apart,
// and the total where there are several.
func (r report) lines(p *program) {
	first, heading := r.Data[0], ""
	if first.Day != "" {
		heading += "DAY\t"
	}
	if first.App != nil {
		heading += "APPLICATION\t"
	}
	if first.Grant != nil {
		heading += "GRANT\t"
	}
	if first.Action != "" {
		heading += "ACTION\t"
	}
	var rows [][]string
	for _, l := range r.Data {
		var row []string
		for _, part := range []*string{text(l.Day), l.App, l.Grant, text(l.Action)} {
			if part != nil {
				row = append(row, *part)
			}
		}
		rows = append(rows, append(row, l.columns()...))
	}
	if parts := len(rows[0]) - len(r.Total.columns()); parts > 0 && len(rows) > 1 {
		total := make([]string, parts)
		total[0] = "total"
		for i := range total[1:] {
			total[i+1] = " "
		}
		rows = append(rows, append(total, r.Total.columns()...))
	}
	table(p.out, heading+"CALLS\tRESOURCES\tCOST (USD)\tINCLUDES AT MOST\tFROM MEMORY\tSAVED AT MOST", rows)
}

func (s spent) columns() []string {
	return []string{
		strconv.FormatInt(s.Calls, 10), strconv.FormatInt(s.Resources, 10), s.Cost, s.Includes,
		strconv.FormatInt(s.Hits, 10), s.Saved,
	}
}

func (r report) budgets(p *program) {
	var rows [][]string
	for _, b := range r.Budgets {
		whose := b.App
		if b.Grant != "" {
			whose = b.Grant
		}
		rows = append(rows, []string{whose, "a " + b.Per, b.Budget, b.Spent, b.Reserved, b.Left, when(b.EndsAt)})
	}
	table(p.out, "BUDGET OF\tPER\tBUDGET (USD)\tSPENT\tSET ASIDE\tLEFT\tENDS", rows)
	for _, b := range r.Budgets {
		if b.Lost != "" && b.Lost != "0.00" {
			p.say("\nSome of what is spent was set aside by a replica that stopped before it knew what its calls cost, and "+
				"is in no line of usage: %s a %s of %s.\n", b.Lost, b.Per, cmp.Or(b.Grant, b.App))
		}
	}
}

// text is nil for none.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
