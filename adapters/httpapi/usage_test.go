package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/memory"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/spend"
)

// calledOn is a day of which usage is still kept, whenever it is asked; days are
// those around it.
var (
	calledOn = spend.DayOf(time.Now().AddDate(0, 0, -100))
	fromDay  = spend.DayOf(calledOn.Start().AddDate(0, 0, -25))
	toDay    = spend.DayOf(calledOn.Start().AddDate(0, 0, 4))
	days     = fmt.Sprintf("from=%s&to=%s", fromDay, toDay)
)

// called is a house in which two grants, and the application itself, have called
// on that day, and another application too.
func called(t *testing.T) (h *house, mine, other oauth.GrantID, stranger client.AppID) {
	t.Helper()
	store := memory.Open()
	h = build(t, plan{store: store})
	app, err := h.services.Clients.Register(t.Context(), client.App{Name: "Other"})
	must(t, err)
	other = oauth.GrantID(h.adopt("42"))
	var lines []spend.Line
	for i, of := range []struct {
		app   client.AppID
		grant oauth.GrantID
	}{{h.app.ID, h.grant}, {h.app.ID, other}, {h.app.ID, ""}, {app.ID, "grant_x"}} {
		lines = append(lines, spend.Line{
			Day: calledOn, App: of.app, Grant: of.grant, Action: "getUsersMe", Amount: spend.Amount{
				Calls: 1 << i, Resources: 2, Cost: 10_000 << i, Unsure: 1, Includes: 5_000, Hits: 3, Saved: 30_000,
			},
		})
	}
	must(t, store.Usage().Keep(t.Context(), "w", lines))
	return h, h.grant, other, app.ID
}

func TestUsageIsTold(t *testing.T) {
	h, mine, _, _ := called(t)
	a := h.operator("GET", "/admin/v1/usage?"+days+"&by=day,app,grant,action&grant="+string(mine), "")
	amount := `"calls":1,"resources":2,"cost":"0.01","unsure":"0.000001","includes":"0.005","hits":3,"saved":"0.03"`
	want := fmt.Sprintf(`{"from":"%s","to":"%s","data":[{"day":"%s","app_id":%q,"grant_id":%q,`+
		`"action":"getUsersMe",%s}],"more":false,"total":{%s},"budgets":[]}`, fromDay, toDay, calledOn, h.app.ID, mine, amount, amount)
	if diff := cmp.Diff(want, strings.TrimSpace(a.body)); a.StatusCode != http.StatusOK || diff != "" {
		t.Errorf("%d %s", a.StatusCode, diff)
	}
	h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"budget_month":"5","grant_budget_day":"1"}`)
	for query, says := range map[string]string{
		"app=" + string(h.app.ID):                            `"per":"month","budget":"5.00","spent":"0.00","reserved":"0.00","left":"5.00","ends_at":"20`,
		"app=" + string(h.app.ID) + "&grant=" + string(mine): `"grant_id":"` + string(mine) + `","per":"day","budget":"1.00"`,
		"grant=" + string(mine) + "&app=" + string(h.app.ID): `,{"app_id":"` + string(h.app.ID) + `","per":"month","budget":"5.00"`,
		"by=grant&" + days:                                   `{"grant_id":"",`,
		"by=&" + days:                                        `"data":[{"calls":15,`,
		days:                                                 `"data":[{"day":"` + calledOn.String() + `","calls":15,`,
		"action=createPosts&" + days:                         `"data":[]`,
		"by=day&" + days:                                     `"budgets":[{"app_id":"` + string(h.app.ID) + `"`,
		"grant=" + string(mine):                              `"budgets":[{"app_id":"` + string(h.app.ID) + `","grant_id":"` + string(mine) + `"`,
	} {
		if a := h.operator("GET", "/admin/v1/usage?"+query, ""); a.StatusCode != http.StatusOK || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
	for query, says := range map[string]string{
		"by=key": `\"key\"`, "from=yesterday": "2026-11-26", "to=2026-13-01": "2026-11-26", "from=2026-02-02&to=2026-01-01": "after", "day=1": `\"day\"`,
		"from=2026-11-01&from=2026-11-01": "twice",
	} {
		if a := h.operator("GET", "/admin/v1/usage?"+query, ""); a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
}

func TestCallersSeeWhatTheirCallsCameTo(t *testing.T) {
	h, mine, other, _ := called(t)
	h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"budget_month":"5","grant_budget_day":"1"}`)
	_, free := h.make(`{"kind":"secret"}`)
	_, bound := h.make(fmt.Sprintf(`{"kind":"secret","grants":[%q,%q]}`, mine, other))
	_, single := h.make(fmt.Sprintf(`{"kind":"secret","grants":[%q]}`, other))
	named := string(mine)
	for name, v := range map[string]struct {
		key     string
		grant   string // Perch-Grant
		calls   string
		budgets int
	}{
		"a key":                   {free, "", "7", 1},
		"a key that names one":    {free, named, "1", 2},
		"a key for two grants":    {bound, "", "3", 2},
		"one of them by its name": {bound, named, "1", 1},
		"a key for one grant":     {single, "", "2", 1},
	} {
		a := ask(t, "GET", h.public+"/v1/usage?by=&"+days, "", bearing(v.key), "Perch-Grant: "+v.grant)
		m := a.json(t)
		if calls := fmt.Sprint(m["total"].(map[string]any)["calls"]); a.StatusCode != http.StatusOK || calls != v.calls {
			t.Errorf("%s sees %s calls: %d %s", name, calls, a.StatusCode, a.body)
		}
		if n := len(m["budgets"].([]any)); n != v.budgets {
			t.Errorf("%s sees %d budgets: %s", name, n, a.body)
		}
	}
	for _, query := range []string{"app=x", "grant=" + string(other), "action=getUsersMe"} {
		if a := ask(t, "GET", h.public+"/v1/usage?"+query, "", bearing(h.sk)); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
	a := ask(t, "GET", h.public+"/v1/usage?by=grant&"+days, "", bearing(bound))
	if strings.Contains(a.body, "grant_x") || strings.Contains(a.body, `"grant_id":""`) {
		t.Errorf("a bound key sees calls of others: %s", a.body)
	}
}

func TestASessionSeesNoBudgetOfTheApplications(t *testing.T) {
	h, _, _, _ := called(t)
	h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"budget_month":"5","grant_budget_day":"1"}`)
	s := h.signIn()
	a := ask(t, "GET", h.public+"/v1/usage", "", bearing(s["access_token"].(string)))
	budgets := a.json(t)["budgets"].([]any)
	if len(budgets) != 1 || budgets[0].(map[string]any)["grant_id"] != s["grant_id"] {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// What a replica that died had set aside is spent, and in no line.
func TestABudgetTellsWhatUsageDoesNotHave(t *testing.T) {
	store := memory.Open()
	h := build(t, plan{store: store})
	h.operator("PATCH", "/admin/v1/apps/"+string(h.app.ID), `{"budget_month":"5"}`)
	now := time.Now()
	if ok, err := store.Budgets().Reserve(t.Context(), spend.Reservation{
		ID: "dead", App: h.app.ID, Day: spend.DayOf(now), Cost: 15_000, Expires: now,
	}); err != nil || !ok {
		t.Fatal(ok, err)
	}
	_, err := store.Budgets().Expire(t.Context(), now.Add(time.Second))
	must(t, err)
	a := h.operator("GET", "/admin/v1/usage?app="+string(h.app.ID), "")
	if !strings.Contains(a.body, `"spent":"0.015","reserved":"0.00"`) || !strings.Contains(a.body, `"lost":"0.015"`) ||
		!strings.Contains(a.body, `"data":[]`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// A slip of the hand is not taken for something that cost nothing.
func TestUsageOfWhatIsNotThereIsRefused(t *testing.T) {
	store := memory.Open()
	h := build(t, plan{store: store})
	other, err := h.services.Clients.Register(t.Context(), client.App{Name: "Other"})
	must(t, err)
	must(t, store.Usage().Keep(t.Context(), "gone", []spend.Line{{
		Day: calledOn, App: "app_gone", Grant: "grant_gone", Action: "oldOperation", Amount: spend.Amount{Calls: 1},
	}}))
	for query, v := range map[string]struct {
		status int
		says   string
	}{
		"app=app_nope": {http.StatusNotFound, `no client application \"app_nope\"`},
		"grant=ada":    {http.StatusNotFound, `no grant \"ada\"`},
		"action=frob":  {http.StatusBadRequest, `--by action`},
		"app=" + string(other.ID) + "&grant=" + string(h.grant): {http.StatusNotFound, "of another client application"},
		"app=app_gone":        {http.StatusOK, `"calls":1`},
		"grant=grant_gone":    {http.StatusOK, `"calls":1`},
		"action=oldOperation": {http.StatusOK, `"calls":1`},
		"app=" + string(other.ID) + "&action=createPosts": {http.StatusOK, `"data":[]`},
	} {
		if a := h.operator("GET", "/admin/v1/usage?"+days+"&"+query, ""); a.StatusCode != v.status || !strings.Contains(a.body, v.says) {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
}
