package httpapi

import (
	"net/url"
	"strings"
	"time"

	"perch/app/usage"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/spend"
)

// A usageView is a report. Amounts are in US dollars.
type usageView struct {
	From    string       `json:"from"`
	To      string       `json:"to"`
	Data    []lineView   `json:"data"`
	More    bool         `json:"more"` // lines were left out of data; the total has them
	Total   amountView   `json:"total"`
	Budgets []budgetView `json:"budgets"`
}

// A lineView has what lines are told apart by, and leaves out the rest.
type lineView struct {
	Day    string  `json:"day,omitempty"`
	AppID  *string `json:"app_id,omitempty"`
	Grant  *string `json:"grant_id,omitempty"` // empty: of no user
	Action string  `json:"action,omitempty"`
	amountView
}

type amountView struct {
	Calls     int64  `json:"calls"`
	Resources int64  `json:"resources"`
	Cost      string `json:"cost"`
	Unsure    string `json:"unsure"`
	Includes  string `json:"includes"`
	Hits      int64  `json:"hits"`
	Saved     string `json:"saved"`
}

type budgetView struct {
	AppID    string     `json:"app_id"`
	Grant    string     `json:"grant_id,omitempty"`
	Per      string     `json:"per"`
	Budget   string     `json:"budget"`
	Spent    string     `json:"spent"`
	Reserved string     `json:"reserved"`
	Left     string     `json:"left"`
	EndsAt   *time.Time `json:"ends_at"`
}

func viewUsage(r usage.Report) usageView {
	view := usageView{
		From: r.From.String(), To: r.To.String(), Data: []lineView{}, More: r.More, Total: viewAmount(r.Total),
		Budgets: []budgetView{},
	}
	for _, l := range r.Lines {
		one := lineView{Action: l.Action, amountView: viewAmount(l.Amount)}
		if r.By.Day {
			one.Day = l.Day.String()
		}
		if app := string(l.App); r.By.App {
			one.AppID = &app
		}
		if grant := string(l.Grant); r.By.Grant {
			one.Grant = &grant
		}
		view.Data = append(view.Data, one)
	}
	for _, b := range r.Budgets {
		per := "month"
		if b.Daily() {
			per = "day"
		}
		view.Budgets = append(view.Budgets, budgetView{
			AppID: string(b.App), Grant: string(b.Grant), Per: per, Budget: b.Max.String(), Spent: b.Spent.String(),
			Reserved: b.Reserved.String(), Left: b.Left().String(), EndsAt: instant(b.Ends),
		})
	}
	return view
}

func viewAmount(a spend.Amount) amountView {
	return amountView{
		Calls: a.Calls, Resources: a.Resources, Cost: a.Cost.String(), Unsure: a.Unsure.String(),
		Includes: a.Includes.String(), Hits: a.Hits, Saved: a.Saved.String(),
	}
}

// showUsage reports what the caller's calls came to: those of its client
// application, or of the grants it is bound to. How the budgets of the whole
// application stand is not for sessions and keys that are bound to grants.
func (s *Server) showUsage(r *request) error {
	q, err := r.params("from", "to", "by")
	if err != nil {
		return err
	}
	ask, err := askOf(q)
	if err != nil {
		return err
	}
	ask.App, ask.Grants = r.caller.App.ID, r.caller.Grants
	if r.caller.Grant != "" {
		ask.Grants = []oauth.GrantID{r.caller.Grant}
	}
	ask.AppToo = r.caller.SeesApp()
	return s.report(r, ask)
}

// showAllUsage reports what all calls came to, or some of them.
func (s *Server) showAllUsage(r *request) error {
	q, err := r.params("from", "to", "by", "app", "grant", "action")
	if err != nil {
		return err
	}
	ask, err := askOf(q)
	if err != nil {
		return err
	}
	ask.App, ask.Action, ask.AppToo = client.AppID(q.Get("app")), q.Get("action"), true
	r.event.App = ask.App
	if grant := q.Get("grant"); grant != "" {
		ask.Grants = []oauth.GrantID{oauth.GrantID(grant)}
	}
	return s.report(r, ask)
}

func (s *Server) report(r *request, ask usage.Ask) error {
	report, err := s.services.Usage.Report(r.ctx, ask)
	if err != nil {
		return err
	}
	r.json(plainJSON, viewUsage(report))
	return nil
}

// askOf reads the days and what lines are to tell apart: days, unless the query
// says otherwise.
func askOf(q url.Values) (ask usage.Ask, err error) {
	for name, day := range map[string]*spend.Day{"from": &ask.From, "to": &ask.To} {
		if text := q.Get(name); text != "" {
			if *day, err = spend.ParseDay(text); err != nil {
				return ask, err
			}
		}
	}
	if !q.Has("by") {
		ask.By.Day = true
		return ask, nil
	}
	parts := map[string]*bool{
		"day": &ask.By.Day, "app": &ask.By.App, "grant": &ask.By.Grant, "action": &ask.By.Action,
	}
	for name := range strings.FieldsFuncSeq(q.Get("by"), func(c rune) bool { return c == ',' || c == ' ' }) {
		if parts[name] == nil {
			return ask, fault.New(fault.Invalid, "usage cannot be told by %q; use day, app, grant or action, or several "+
				"with commas between them", clip(name, 40)).With("field", "by")
		}
		*parts[name] = true
	}
	return ask, nil
}
