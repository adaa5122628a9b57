package wiring_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

// registered are the redirect URIs of an application that strangers would like
// to have their own instead of.
var registered = []string{
	"https://app.example/back", "https://app.example/back?keep=1", "https://login.app.example/deep/back",
	"https://xn--bcher-kva.example/back", "http://127.0.0.1:8123/back",
}

// A stranger is a redirect URI that was never registered.
type stranger struct {
	line      int // of testdata/redirects.txt
	text      string
	permitted bool // an operator may register it
}

func corpus(t *testing.T) (all []stranger) {
	t.Helper()
	b, err := os.ReadFile("testdata/redirects.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if line == "#" || strings.HasPrefix(line, "# ") {
			continue
		}
		mark, quoted, _ := strings.Cut(line, " ")
		text, err := strconv.Unquote(`"` + quoted + `"`)
		if err != nil || (mark != "+" && mark != "-") || slices.Contains(registered, text) {
			t.Fatalf("line %d of the corpus, %q: %v", i+1, line, err)
		}
		all = append(all, stranger{i + 1, text, mark == "+"})
	}
	if len(all) < 300 {
		t.Fatalf("the corpus has %d lines", len(all))
	}
	return all
}

// wanted is an application with all the registered redirect URIs.
func (h *house) wanted(t *testing.T) tenant {
	t.Helper()
	app := h.register(t, "https://app.example", "")
	h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"redirect_uris": registered})
	return app
}

// asking is a good authorization request of the application.
func asking(app tenant) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {app.pk}, "redirect_uri": {registered[0]}, "state": {"a state"},
		"scope": {"tweet.read"}, "code_challenge": {oauth.Challenge(strings.Repeat("v", 43))}, "code_challenge_method": {"S256"},
	}
}

// authorize opens the authorization endpoint at the path, as browsers do.
func (h *house) authorize(t *testing.T, path, query string) answer {
	t.Helper()
	return browse(t, h.client, h.public+path+"?"+query, "X-Forwarded-For: "+somewhere())
}

// somewhere is an address that nobody has come from yet, for houses that trust
// this machine as a proxy: who sends wrong keys from one address is slowed.
func somewhere() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return fmt.Sprintf("2001:db8:%x:%x::1", b[:2], b[2:4])
}

// browse opens a URL as browsers do that are sent there.
func browse(t *testing.T, c *http.Client, url string, headers ...string) answer {
	t.Helper()
	return ask(t, c, "GET", url, "", append(headers, "Accept: text/html,*/*;q=0.8", "Sec-Fetch-Mode: navigate",
		"Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document")...)
}

// leadsNowhere fails the test unless the answer is a page that says what is wrong
// and sends the browser to nobody.
func leadsNowhere(t *testing.T, a answer, problem string) {
	t.Helper()
	if a.status/100 != 4 || a.header.Get("Location") != "" || a.header.Get("Refresh") != "" ||
		len(a.header.Values("Set-Cookie")) > 0 ||
		!strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(a.body, "<code>"+problem+" ") ||
		strings.Contains(a.body, "<a") || strings.Contains(a.body, "<script") {
		t.Errorf("got %d %v %s, want a page that says %s", a.status, a.header, a.body, problem)
	}
}

// stepUp returns the link by which a user would allow the application more.
func (h *house) stepUp(t *testing.T, app tenant) *url.URL {
	t.Helper()
	access := h.visit(t, app).signIn(t, ada).access // may post and like, no more
	a := ask(t, h.client, "GET", h.public+"/2/users/"+ada+"/bookmarks", "", "Authorization: Bearer "+access)
	link, err := url.Parse(a.text("step_up_url"))
	if err != nil || a.status != http.StatusForbidden || link.Path != "/oauth/extend" {
		t.Fatalf("an action without its scope: %d %s %v", a.status, a.body, err)
	}
	q := link.Query()
	q.Set("redirect_uri", registered[1])
	want(t, http.StatusFound, h.authorize(t, link.Path, q.Encode())) // this one leads to X
	return link
}

func TestRedirectURIsThatWereNeverRegistered(t *testing.T) {
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	h := open(t, settings(t, environments()[0], at))
	app := h.wanted(t)
	for _, uri := range registered { // these do lead somewhere
		q := asking(app)
		q.Set("redirect_uri", uri)
		want(t, http.StatusFound, h.authorize(t, "/oauth/authorize", q.Encode()))
	}
	more := h.stepUp(t, app)
	for _, s := range corpus(t) {
		t.Run("line "+strconv.Itoa(s.line), func(t *testing.T) {
			q := asking(app)
			q.Set("redirect_uri", s.text)
			leadsNowhere(t, h.authorize(t, "/oauth/authorize", q.Encode()), "invalid-redirect-uri")
			q.Set("response_type", "token") // an error that the application would be told by redirection
			leadsNowhere(t, h.authorize(t, "/i/oauth2/authorize", q.Encode()), "invalid-redirect-uri")
			leadsNowhere(t, h.authorize(t, "/v1/session/sign-in", q.Encode()), "invalid-redirect-uri")

			q = more.Query()
			q.Set("redirect_uri", s.text)
			leadsNowhere(t, h.authorize(t, more.Path, q.Encode()), "invalid-redirect-uri")

			v := h.visit(t, app)
			code := v.code(t, ada)
			a := v.token(t, "/oauth/token", url.Values{
				"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.text}, "code_verifier": {v.verifier},
			})
			if a.status != http.StatusBadRequest || a.text("error") != "invalid_grant" || a.text("access_token") != "" {
				t.Errorf("the token endpoint answers %d %s", a.status, a.body)
			}

			body := object{"name": "stranger", "redirect_uris": []string{s.text}}
			a = ask(t, h.client, "POST", h.admin+"/admin/v1/apps", jsonOf(t, body), "Authorization: Bearer "+adminToken,
				"Content-Type: application/json")
			switch {
			case s.permitted && (a.status != http.StatusCreated || a.text("redirect_uris.0") != s.text):
				t.Errorf("registering it: %d %s", a.status, a.body)
			case !s.permitted && a.status != http.StatusBadRequest:
				t.Errorf("registering it: %d %s, want 400", a.status, a.body)
			}
		})
	}
}
