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
	"perch/domain/xapi"
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
	Lost     string     `json:"lost"`
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
			Lost: b.Lost.String(),
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
	return s.report(r, ask, nil)
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
	wrong, err := s.unknown(r, &ask)
	if err != nil {
		return err
	}
	return s.report(r, ask, wrong)
}

// unknown says what of the ask is not there, if anything; what was removed may
// still have usage. A grant that is there says which application is asked about.
func (s *Server) unknown(r *request, ask *usage.Ask) (wrong, err error) {
	if _, ok := xapi.ByID(ask.Action); !ok && ask.Action != "" {
		wrong = fault.New(fault.Invalid, "X API v2 has no operation %q, and no call of it was counted; perch usage "+
			"--by action lists those that were, and docs.x.com all, as createPosts", clip(ask.Action, 60)).
			With("field", "action")
	}
	if ask.App != "" {
		_, err := s.services.Clients.Get(r.ctx, ask.App)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			wrong = fault.New(fault.NotFound, "there is no client application %q, and no call of it was counted; "+
				"perch apps list shows those there are", clip(string(ask.App), 60)).With("field", "app")
		case err != nil:
			return nil, err
		}
	}
	for _, id := range ask.Grants {
		g, err := s.services.Grants.Get(r.ctx, ask.App, id)
		switch {
		case err == nil:
			ask.App = g.App
		case fault.KindOf(err) != fault.NotFound:
			return nil, err
		case wrong == nil:
			wrong = fault.New(fault.NotFound, "there is no grant %q, or it is of another client application, and no call "+
				"of it was counted; perch grants list shows those there are", clip(string(id), 60)).
				Named("no-such-grant").With("field", "grant")
		}
	}
	return wrong, nil
}

// report answers with the report, or with what is wrong where nothing is in it.
func (s *Server) report(r *request, ask usage.Ask, wrong error) error {
	report, err := s.services.Usage.Report(r.ctx, ask)
	if err == nil && report.Total == (spend.Amount{}) {
		err = wrong
	}
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
