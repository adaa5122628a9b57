package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A desk answers as the operators' API does, and remembers what it was asked.
type desk struct {
	*httptest.Server
	asked   []string // method, path and body of each request
	answers map[string]string
}

const deskToken = "desk-token-0123456789"

func newDesk(t *testing.T) *desk {
	d := &desk{answers: map[string]string{}}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d.asked = append(d.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		if r.Header.Get("Authorization") != "Bearer "+deskToken {
			refuse(w, http.StatusUnauthorized, "Unauthorized", "send the operators' token")
			return
		}
		answer, ok := d.answers[r.Method+" "+r.URL.RequestURI()]
		switch {
		case !ok:
			refuse(w, http.StatusNotFound, "Not found", "no such thing; look for it with perch apps list")
		case answer == "":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

func refuse(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": title, "detail": detail, "status": status})
}

func (d *desk) environ() []string {
	return []string{"PERCH_ADMIN_URL=" + d.URL, "PERCH_ADMIN_TOKEN=" + deskToken}
}

const (
	app1  = `{"id":"app_1","name":"One\u001b[31m","x_app":"default","status":"active","origins":["https://a.example"],"redirect_uris":["https://a.example/cb"],"actions":["everything"],"scopes":["tweet.read"],"created_at":"2026-01-02T03:04:05Z"}`
	app2  = `{"id":"app_2","limits":["key:10/s","app:900/15m"],"budget_day":"5.00","budget_month":"100.00","grant_budget_month":"0.50"}`
	key1  = `{"id":"key_1","app_id":"app_1","kind":"secret","hint":"sk_ABC…WXYZ","app_only":true,"created_at":"2026-01-02T03:04:05Z","expires_at":null,"revoked_at":null,"key":"sk_SHOWNONCE"}`
	key2  = `{"id":"key_2","app_id":"app_1","kind":"secret","name":"CI","hint":"sk_DEF…WXYZ","grants":["g1","g2"],"actions":["read","tag:Posts"],"addresses":["192.0.2.0/24"],"app_only":false,"created_at":"2026-01-02T03:04:05Z","expires_at":null,"revoked_at":null,"last_used_at":"2026-03-04T05:06:07Z"}`
	hold1 = `{"x_app":"default","group":"reads","event":"x.usage_cap","refuses":true,"say":"X's usage cap is used up","cause":"status 429 from X\u0007",` +
		`"since":"2026-11-26T12:00:00Z","next_try":"2026-11-26T12:01:00Z","until":"2026-11-26T13:00:00Z"}`
	hold2 = `{"x_app":"b","group":"","event":"x.auth_outage","refuses":false,"say":"no","cause":"","since":"2026-11-26T12:00:00Z",` +
		`"next_try":"2026-11-26T12:00:15Z","until":null}`
	hold3 = `{"x_app":"b","group":"writes","event":"x.rate_limit","refuses":false,"say":"no","cause":"","since":"2026-11-26T12:00:00Z",` +
		`"next_try":null,"until":"2026-11-26T12:01:00Z"}`
	usage1 = `{"from":"2026-11-01","to":"2026-11-26","data":[` + spent1 + `,` + spent1 + `],"more":true,"total":{"calls":2,"resources":4,` +
		`"cost":"0.02","unsure":"0.005","includes":"0.00","hits":6,"saved":"0.06"},"budgets":[{"app_id":"app_1","per":"month","budget":"5.00",` +
		`"spent":"0.02","reserved":"0.00","left":"4.98","ends_at":"2026-12-01T00:00:00Z","lost":"0.01"},` +
		`{"app_id":"app_1","grant_id":"grant_1","per":"day"}]}`
	spent1 = `{"day":"2026-11-26","calls":1,"resources":2,"cost":"0.01","unsure":"0.005","includes":"0.00","hits":3,"saved":"0.03"}`
	xapp1  = `{"id":"x1","name":"Mine","client_id":"cid","has_client_secret":true,"has_bearer":false,"has_api_key":false,"created_at":null,"from":"store"}`
	grant1 = `{"id":"grant_1","app_id":"app_1","x_app":"default","user":{"id":"42","username":"ada","name":"Ada"},"scopes":["tweet.read"],"state":"active","expires_at":"2026-01-02T05:04:05Z","created_at":"2026-01-02T03:04:05Z"}`
)

func TestVerbsSpeakTheOperatorsAPI(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		in     string
		asked  string // "METHOD path" of the answer, then the body
		answer string
		say    []string
	}{
		{"apps list", "", "GET /admin/v1/apps?limit=200", `{"data":[` + app1 + `]}`,
			[]string{"ID ", "app_1", "One?[31m", "2026-01-02 03:04 UTC"}},
		{"apps list --json", "", "GET /admin/v1/apps?limit=200", `{"data":[]}`, []string{"[]"}},
		{"apps show app_1", "", "GET /admin/v1/apps/app_1", app1, []string{"Redirect URIs  https://a.example/cb"}},
		{"apps show ../keys", "", "GET /admin/v1/apps/..%2Fkeys", app1, nil},
		{"apps add New --origin=https://a.example --redirect-uri=https://a.example/?a,b --scope=a,b --scope=c --x-app=x1", "",
			`POST /admin/v1/apps {"actions":[],"name":"New","origins":["https://a.example"],` +
				`"redirect_uris":["https://a.example/?a,b"],"scopes":["a","b","c"],"x_app":"x1"}`, app1, []string{"app_1"}},
		{"apps change app_1 --status=suspended --origin=", "",
			`PATCH /admin/v1/apps/app_1 {"origins":[],"status":"suspended"}`, app1, []string{"app_1"}},
		{"apps add New --origin=https://a.example --cookies", "",
			`POST /admin/v1/apps {"actions":[],"cookies":true,"name":"New","origins":["https://a.example"],"redirect_uris":[],"scopes":[]}`,
			strings.Replace(app1, `{`, `{"cookies":true,`, 1), []string{"Sessions       in cookies"}},
		{"apps change app_1 --no-cookies --dpop", "", `PATCH /admin/v1/apps/app_1 {"cookies":false,"dpop":true}`,
			strings.Replace(app1, `{`, `{"dpop":true,`, 1), []string{"Sessions       tokens bound to a key"}},
		{"apps add New --limit=key:10/s --limit= --budget-day=5 --grant-budget-month=0.5", "",
			`POST /admin/v1/apps {"actions":[],"budget_day":"5","grant_budget_month":"0.5","limits":["key:10/s"],"name":"New",` +
				`"origins":[],"redirect_uris":[],"scopes":[]}`, app2,
			[]string{"Limits         key:10/s, app:900/15m", "Budget         5.00 a day, 100.00 a month", "Grant budget   0.50 a month"}},
		{"apps change app_1 --limit= --budget-day=0", "", `PATCH /admin/v1/apps/app_1 {"budget_day":"0","limits":[]}`, app1, nil},
		{"apps list --admin-token=" + deskToken, "", "GET /admin/v1/apps?limit=200", `{"data":[` + app2 + `]}`,
			[]string{"LIMITS ", "key:10/s, app:900/15m", "5.00 a day, 100.00 a month"}},
		{"keys add --app=app_1 --batch", "", `POST /admin/v1/apps/app_1/keys {"batch":true,"kind":"secret"}`,
			strings.Replace(key2, `{`, `{"batch":true,`, 1), []string{"g1 g2, in batches, to read"}},
		{"keys change key_1 --no-batch", "", `PATCH /admin/v1/keys/key_1 {"batch":false}`, key2, nil},
		{"keys add --app=app_1 --app-only --grant=grant_1", "",
			`POST /admin/v1/apps/app_1/keys {"app_only":true,"grants":["grant_1"],"kind":"secret"}`, key1,
			[]string{"sk_SHOWNONCE", "cannot be shown again", "any grant, app-only"}},
		{"keys add --app=app_1 --name=CI --grant=g1 --grant=g2 --action=read,tag:Posts --address=192.0.2.0/24", "",
			`POST /admin/v1/apps/app_1/keys {"actions":["read","tag:Posts"],"addresses":["192.0.2.0/24"],"grants":["g1","g2"],` +
				`"kind":"secret","name":"CI"}`, key2, []string{"g1 g2, to read tag:Posts, from 192.0.2.0/24", "CI"}},
		{"keys list --app=app_1", "", "GET /admin/v1/apps/app_1/keys?limit=200", `{"data":[` + key1 + `,` + key2 + `]}`,
			[]string{"sk_ABC…WXYZ", "good", "LAST USED", "2026-03-04 05:06 UTC"}},
		{"keys change key_1 --name= --grant= --action=post --expires=never", "",
			`PATCH /admin/v1/keys/key_1 {"actions":["post"],"expires_at":null,"grants":[],"name":""}`, key2, []string{"CI"}},
		{"keys change key_1 --address=", "", `PATCH /admin/v1/keys/key_1 {"addresses":[]}`, key2, nil},
		{"keys rotate key_1", "", `POST /admin/v1/keys/key_1/rotate {"overlap":"24h0m0s"}`, key1, []string{"sk_SHOWNONCE", "cannot be shown again"}},
		{"keys rotate key_1 --overlap=0s --json", "", `POST /admin/v1/keys/key_1/rotate {"overlap":"0s"}`, key1, []string{`"key": "sk_SHOWNONCE"`}},
		{"keys revoke key_1", "", "DELETE /admin/v1/keys/key_1", "", []string{"revoked key_1"}},
		{"xapps list", "", "GET /admin/v1/xapps?limit=200", `{"data":[` + xapp1 + `]}`, []string{"Mine", "cid", "yes"}},
		{"xapps add Mine --client-id=cid --client-secret-file=- --api-key=k --api-secret-file=" + secretFile, "typed\n",
			`POST /admin/v1/xapps {"api_key":"k","api_secret":"from-a-file","client_id":"cid","client_secret":"typed","name":"Mine"}`,
			xapp1, []string{"x1"}},
		{"xapps change x1 --name=New --client-secret-file=- --bearer-file= --api-key=k2 --api-secret-file=" + secretFile, "typed\n",
			`PATCH /admin/v1/xapps/x1 {"api_key":"k2","api_secret":"from-a-file","bearer":"","client_secret":"typed","name":"New"}`,
			xapp1, []string{"x1"}},
		{"xapps change x1 --api-key=", "", `PATCH /admin/v1/xapps/x1 {"api_key":"","api_secret":""}`, xapp1, []string{"x1"}},
		{"xapps remove x1 --json", "", "DELETE /admin/v1/xapps/x1", "", []string{`"removed": "x1"`}},
		{"grants list --app=app_1", "", "GET /admin/v1/grants?app=app_1&limit=200", `{"data":[` + grant1 + `]}`,
			[]string{"@ada", "active"}},
		{"deliveries list --app=app_1 --grant=grant_1 --state=queued", "",
			"GET /admin/v1/deliveries?app=app_1&grant=grant_1&limit=200&state=queued",
			`{"data":[{"id":"dlv_1","app_id":"app_1","action":"createPosts","state":"queued","outcome":{"detail":"X does not answer"}}]}`,
			[]string{"dlv_1", "createPosts", "queued", "X does not answer"}},
		{"deliveries list", "", "GET /admin/v1/deliveries?limit=200",
			`{"data":[{"id":"dlv_2","outcome":null},{"id":"dlv_3","in_doubt_since":"2026-03-04T05:06:07Z"}]}`,
			[]string{"dlv_2", "IN DOUBT SINCE", "2026-03-04 05:06 UTC"}},
		{"deliveries list --state=queued", "", "GET /admin/v1/deliveries?limit=200&state=queued",
			`{"data":[{"id":"dlv_4","next_attempt_at":"2026-03-04T05:06:07Z"},{"id":"dlv_5","behind":"dlv_4"}]}`,
			[]string{"NEXT TRY", "2026-03-04 05:06 UTC", "after dlv_4"}},
		{"deliveries list --json", "", "GET /admin/v1/deliveries?limit=200",
			`{"data":[{"id":"dlv_3","in_doubt_since":"2026-03-04T05:06:07Z"}]}`,
			[]string{`"in_doubt_since": "2026-03-04T05:06:07Z"`}},
		{"deliveries cancel dlv_1", "", "DELETE /admin/v1/deliveries/dlv_1", ``, []string{"cancelled dlv_1"}},
		{"grants list --state=suspect", "", "GET /admin/v1/grants?limit=200&state=suspect", `{"data":[]}`,
			[]string{"There are no such grants"}},
		{"usage", "", "GET /admin/v1/usage?by=day", usage1, []string{
			"DAY         CALLS  RESOURCES  COST (USD)  INCLUDES AT MOST  FROM MEMORY  SAVED AT MOST",
			"2026-11-26  1      2          0.01        0.00              3            0.03", "total       2      4          0.02",
			"0.005 of the cost may not have been billed", "There are more lines",
			"app_1      a month  5.00          0.02   0.00       4.98  2026-12-01 00:00 UTC", "grant_1    a day",
			"is in no line of usage: 0.01 a month of app_1.",
		}},
		{"usage --by=app,grant --by=action --app=a --grant=g --action=x --from=2026-11-01 --to=2026-11-26", "",
			"GET /admin/v1/usage?action=x&app=a&by=app%2Cgrant%2Caction&from=2026-11-01&grant=g&to=2026-11-26",
			strings.Replace(usage1, `"day":"2026-11-26"`, `"app_id":"app_1","grant_id":"","action":"createPosts"`, 2),
			[]string{"APPLICATION  GRANT  ACTION       CALLS", "app_1        -      createPosts  1 "}},
		{"usage --by=", "", "GET /admin/v1/usage?by=", strings.Replace(usage1, `"day":"2026-11-26",`, ``, 2), []string{"CALLS  RESOURCES"}},
		{"x", "", "GET /admin/v1/x", `{"data":[` + hold1 + `,` + hold2 + `]}`, []string{
			"X APP    GROUP  EVENT          REFUSES         SINCE                    NEXT TRY                 UNTIL\n",
			"default  reads  x.usage_cap    all             2026-11-26 12:00:00 UTC  2026-11-26 12:01:00 UTC  2026-11-26 13:00:00 UTC\n",
			"b        all    x.auth_outage  closed windows  2026-11-26 12:00:00 UTC  2026-11-26 12:00:15 UTC  X answers\n",
			"\nx.usage_cap: X's usage cap is used up.\n  status 429 from X?\n", "ask each replica with --server.\nThe first call after NEXT TRY",
		}},
		{"x", "", "GET /admin/v1/x", `{"data":[` + hold3 + `]}`, []string{
			"closed windows  2026-11-26 12:00:00 UTC  -         2026-11-26 12:01:00 UTC\n",
			"ask each replica with --server.\nWhere there is no NEXT TRY, each call goes to X once its window has ended",
		}},
		{"x", "", "GET /admin/v1/x", `{"data":[]}`, []string{"leaves X alone for nothing"}},
		{"x --json", "", "GET /admin/v1/x", `{"data":[` + hold1 + `]}`, []string{`"next_try": "2026-11-26T12:01:00Z"`}},
		{"usage --json", "", "GET /admin/v1/usage?by=day", `{"data":[]}`, []string{`"data": []`}},
		{"usage", "", "GET /admin/v1/usage?by=day", `{"from":"2026-11-01","to":"2026-11-26","data":[],"total":{"unsure":"0.00"},"budgets":[]}`,
			[]string{"Nothing was asked of X from 2026-11-01 to 2026-11-26."}},
		{"grants revoke grant_1", "", "DELETE /admin/v1/grants/grant_1", "", []string{"revoked grant_1"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			d := newDesk(t)
			method, rest, _ := strings.Cut(c.asked, " ")
			path, _, _ := strings.Cut(rest, " ")
			d.answers[method+" "+path] = c.answer
			perch(t, d.environ(), c.in, strings.Fields(c.args)...).says(t, exitDone, c.say...)
			if diff := cmp.Diff([]string{c.asked}, d.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommasSeparateActionsAndSpacesBelongToTheirNames(t *testing.T) {
	const list = `["read","tag:Direct Messages"]`
	for _, c := range []struct{ verb, asked string }{
		{"apps add New", `POST /admin/v1/apps {"actions":` + list + `,"name":"New","origins":[],"redirect_uris":[],"scopes":[]}`},
		{"apps change app_1", `PATCH /admin/v1/apps/app_1 {"actions":` + list + `}`},
		{"keys add --app app_1", `POST /admin/v1/apps/app_1/keys {"actions":` + list + `,"kind":"secret"}`},
		{"keys change key_1", `PATCH /admin/v1/keys/key_1 {"actions":` + list + `}`},
	} {
		for _, given := range [][]string{{"--action", "read, tag:Direct Messages"}, {"--action=read", "--action=tag:Direct Messages"}} {
			d := newDesk(t)
			path, _, _ := strings.Cut(c.asked, " {")
			d.answers[path] = `{}`
			perch(t, d.environ(), "", append(strings.Fields(c.verb), given...)...).says(t, exitDone)
			if diff := cmp.Diff([]string{c.asked}, d.asked); diff != "" {
				t.Errorf("%s %q (-want +got):\n%s", c.verb, given, diff)
			}
		}
	}
}

func TestListsAreReadToTheEnd(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[{"id":"a"}],"next":"a"}`
	d.answers["GET /admin/v1/apps?after=a&limit=200"] = `{"data":[{"id":"b"}],"next":"b"}`
	d.answers["GET /admin/v1/apps?after=b&limit=200"] = `{"data":[{"id":"c"}]}`
	r := perch(t, d.environ(), "", "apps", "list", "--json")
	var got []struct{ ID string }
	if err := json.Unmarshal([]byte(r.out.String()), &got); err != nil || r.code != exitDone {
		t.Fatalf("%v; exit code %d, %s", err, r.code, r.err.String())
	}
	if want := "[{a} {b} {c}]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestRefusalsAreSentences(t *testing.T) {
	d := newDesk(t)
	perch(t, d.environ(), "", "apps", "show", "x").
		says(t, exitFailed, "perch: no such thing; look for it with perch apps list (status 404)")

	r := perch(t, []string{"PERCH_ADMIN_URL=" + d.URL, "PERCH_ADMIN_TOKEN=wrong-canary"}, "", "apps", "list")
	r.says(t, exitFailed, "send the operators' token", "PERCH_ADMIN_TOKEN")
	if strings.Contains(r.err.String()+r.out.String(), "canary") {
		t.Error("the token is shown")
	}

	d.answers["GET /admin/v1/apps/odd"] = "<html>"
	perch(t, d.environ(), "", "apps", "show", "odd").says(t, exitFailed, "not what Perch answers")

	const gone = "http://127.0.0.1:1"
	perch(t, []string{"PERCH_ADMIN_URL=" + gone, "PERCH_ADMIN_TOKEN=" + deskToken}, "", "apps", "list").
		says(t, exitFailed, "no Perch answers at "+gone+" (nothing listens there)", "perch serve")
}

func TestAnUnknownGrantIsExplainedToOperators(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"type":"urn:perch:problem:no-such-grant","status":404,"detail":"GET /v1/grants lists those"}`)
	}))
	defer server.Close()
	environ := []string{"PERCH_ADMIN_URL=" + server.URL, "PERCH_ADMIN_TOKEN=t"}
	for _, args := range []string{"grants revoke g", "keys add --app=a --grant=g"} {
		r := perch(t, environ, "", strings.Fields(args)...)
		r.says(t, exitFailed, "perch grants list")
		if strings.Contains(r.err.String(), "/v1/grants") {
			t.Errorf("operators are sent to what clients call: %s", r.err.String())
		}
	}
}

func TestWhereTheOperatorsTokenComesFrom(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[]}`
	t.Chdir(t.TempDir())
	server := []string{"PERCH_ADMIN_URL=" + d.URL}
	perch(t, server, "", "apps", "list").says(t, exitMisuse, "PERCH_ADMIN_TOKEN is not set", "./perch.admin-token")
	if err := os.WriteFile("perch.admin-token", []byte(deskToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	perch(t, server, "", "apps", "list").says(t, exitDone)
	if err := os.Rename("perch.admin-token", "elsewhere"); err != nil {
		t.Fatal(err)
	}
	perch(t, append(server, "PERCH_ADMIN_TOKEN_FILE=elsewhere"), "", "apps", "list").says(t, exitDone)
	perch(t, server, "", "apps", "list", "--admin-token-file=elsewhere").says(t, exitDone)
	perch(t, server, "", "apps", "list", "--admin-token="+deskToken).says(t, exitDone)
}
