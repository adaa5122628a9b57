package wiring_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

// One line each: what makes a good authorization request a bad one, and what the
// page says that the browser then stays on. Nobody is told by redirection, for it
// is not certain who asks.
func TestAuthorizationRequestsThatStayOnAPage(t *testing.T) {
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	cfg := settings(t, environments()[0], at)
	cfg.TrustedProxies = []string{"127.0.0.1"}
	h := open(t, cfg)
	app, other := h.wanted(t), h.register(t, pageB, "")
	keys := "/admin/v1/apps/" + app.id + "/keys"
	revoked := h.operator(t, http.StatusCreated, "POST", keys, object{"kind": "publishable"})
	h.operator(t, http.StatusNoContent, "DELETE", "/admin/v1/keys/"+revoked.text("id"), nil)
	expired := h.ending(t, keys)
	eventually(t, "the key expires", func() bool {
		q := asking(app)
		q.Set("client_id", expired)
		return h.authorize(t, "/oauth/authorize", q.Encode()).status != http.StatusFound
	})
	suspended := h.register(t, pageA, "")
	h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+suspended.id, object{"status": "suspended"})

	client := func(id string) func(url.Values) { return func(q url.Values) { q.Set("client_id", id) } }
	twice := func(name string) func(url.Values) { return func(q url.Values) { q.Add(name, q.Get(name)) } }
	for name, line := range map[string]struct {
		spoil   func(url.Values)
		problem string
	}{
		"no client_id":                            {client(""), "invalid-client"},
		"a client_id that nobody has":             {client("pk_AAAAAAAAAAAAAAAAAAAAAAAAAA"), "invalid-client"},
		"a client_id that is no key":              {client("perch"), "invalid-client"},
		"the ID of the application":               {client(app.id), "invalid-client"},
		"a secret key as client_id":               {client(app.sk), "invalid-client"},
		"the publishable key in lower case":       {client(strings.ToLower(app.pk)), "invalid-client"},
		"the publishable key without its end":     {client(app.pk[:len(app.pk)-1]), "invalid-client"},
		"the publishable key and a space":         {client(app.pk + " "), "invalid-client"},
		"the publishable key and NUL":             {client(app.pk + "\x00"), "invalid-client"},
		"two publishable keys in one":             {client(app.pk + " " + other.pk), "invalid-client"},
		"a revoked publishable key":               {client(revoked.text("key")), "invalid-client"},
		"an expired publishable key":              {client(expired), "invalid-client"},
		"SQL as client_id":                        {client("pk_' OR '1'='1"), "invalid-client"},
		"a client_id of 7,000 characters":         {client("pk_" + strings.Repeat("A", 7000)), "invalid-client"},
		"a suspended application":                 {func(q url.Values) { q.Set("client_id", suspended.pk); q.Set("redirect_uri", pageA+"/back") }, "app-suspended"},
		"no redirect_uri where there are several": {func(q url.Values) { q.Del("redirect_uri") }, "invalid-redirect-uri"},
		"an empty redirect_uri":                   {func(q url.Values) { q.Set("redirect_uri", "") }, "invalid-redirect-uri"},
		"another application's redirect_uri":      {func(q url.Values) { q.Set("redirect_uri", pageB+"/back") }, "invalid-redirect-uri"},
		"another application's client_id":         {client(other.pk), "invalid-redirect-uri"},
		"two redirect_uri":                        {func(q url.Values) { q.Add("redirect_uri", "https://evil.example/") }, "invalid-request"},
		"client_id twice":                         {twice("client_id"), "invalid-request"},
		"response_type twice":                     {twice("response_type"), "invalid-request"},
		"state twice":                             {twice("state"), "invalid-request"},
		"scope twice":                             {twice("scope"), "invalid-request"},
		"code_challenge twice":                    {twice("code_challenge"), "invalid-request"},
		"two methods":                             {func(q url.Values) { q.Add("code_challenge_method", "plain") }, "invalid-request"},
	} {
		for _, path := range []string{"/oauth/authorize", "/i/oauth2/authorize"} {
			t.Run(name+" at "+path, func(t *testing.T) {
				q := asking(app)
				line.spoil(q)
				a := h.authorize(t, path, q.Encode())
				leadsNowhere(t, a, line.problem)
				if strings.Contains(a.body, app.sk) || strings.Contains(a.body, app.sk[3:20]) {
					t.Errorf("the page shows the key: %s", a.body)
				}
			})
		}
	}
	for _, query := range []string{asking(app).Encode() + "&x=%zz", asking(app).Encode() + ";client_id=x", "%", "&&&=;"} {
		leadsNowhere(t, h.authorize(t, "/oauth/authorize", query), "invalid-request")
	}
}

// One line each: what makes a good authorization request a bad one, and what the
// application is told for it, at its own redirect URI. Nobody comes to X.
func TestAuthorizationRequestsThatAreRefused(t *testing.T) {
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	h := open(t, settings(t, environments()[0], at))
	app := h.wanted(t)
	h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"scopes": []string{"tweet.read", "tweet.write"}})

	setting := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for name, line := range map[string]struct {
		spoil func(url.Values)
		code  string
	}{
		"PKCE left out":                    {func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request"},
		"the method left out":              {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
		"the challenge left out":           {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"the method plain":                 {setting("code_challenge_method", "plain"), "invalid_request"},
		"the method PLAIN":                 {setting("code_challenge_method", "PLAIN"), "invalid_request"},
		"the method none":                  {setting("code_challenge_method", "none"), "invalid_request"},
		"an empty method":                  {setting("code_challenge_method", ""), "invalid_request"},
		"the method S512":                  {setting("code_challenge_method", "S512"), "invalid_request"},
		"the method SHA-256":               {setting("code_challenge_method", "SHA-256"), "invalid_request"},
		"S256 and a space":                 {setting("code_challenge_method", "S256 "), "invalid_request"},
		"S256 and NUL":                     {setting("code_challenge_method", "S256\x00"), "invalid_request"},
		"S256 and plain":                   {setting("code_challenge_method", "S256 plain"), "invalid_request"},
		"an S that is none":                {setting("code_challenge_method", "\u017f256"), "invalid_request"},
		"an empty challenge":               {setting("code_challenge", ""), "invalid_request"},
		"a challenge of 42 characters":     {setting("code_challenge", strings.Repeat("a", 42)), "invalid_request"},
		"a challenge of 44 characters":     {setting("code_challenge", strings.Repeat("a", 44)), "invalid_request"},
		"a challenge with padding":         {setting("code_challenge", strings.Repeat("a", 43)+"="), "invalid_request"},
		"a challenge in another alphabet":  {setting("code_challenge", strings.Repeat("a", 42)+"+"), "invalid_request"},
		"a challenge in hexadecimal":       {setting("code_challenge", strings.Repeat("0a", 32)), "invalid_request"},
		"a challenge with NUL":             {setting("code_challenge", strings.Repeat("a", 42)+"\x00"), "invalid_request"},
		"no response_type":                 {setting("response_type", ""), "unsupported_response_type"},
		"response_type token":              {setting("response_type", "token"), "unsupported_response_type"},
		"response_type id_token":           {setting("response_type", "id_token"), "unsupported_response_type"},
		"response_type code token":         {setting("response_type", "code token"), "unsupported_response_type"},
		"response_type code id_token":      {setting("response_type", "code id_token"), "unsupported_response_type"},
		"response_type none":               {setting("response_type", "none"), "unsupported_response_type"},
		"response_type CODE":               {setting("response_type", "CODE"), "unsupported_response_type"},
		"response_type code and a space":   {setting("response_type", "code "), "unsupported_response_type"},
		"a scope X does not have":          {setting("scope", "tweet.read everything"), "invalid_scope"},
		"a scope the application may not":  {setting("scope", "tweet.read dm.read"), "invalid_scope"},
		"a scope with a line end":          {setting("scope", "tweet.read\r\ndm.read"), "invalid_scope"},
		"a scope with a quote":             {setting("scope", `tweet.read "`), "invalid_scope"},
		"a scope in upper case":            {setting("scope", "TWEET.READ"), "invalid_scope"},
		"scopes with commas":               {setting("scope", "tweet.read,tweet.write"), "invalid_scope"},
		"a state of 10,000 characters":     {setting("state", strings.Repeat("s", 10000)), "invalid_request"},
		"a state of 1,001 characters":      {setting("state", strings.Repeat("s", 1001)), "invalid_request"},
		"a long state that ends in a rune": {setting("state", strings.Repeat("s", 999)+"€"), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			q := asking(app)
			q.Set("redirect_uri", registered[1])
			line.spoil(q)
			a := h.authorize(t, "/oauth/authorize", q.Encode())
			back, query := landed(t, a)
			state := q.Get("state")
			if back != registered[1] || query.Get("error") != line.code || query.Get("iss") != h.public || query.Has("code") ||
				!strings.HasPrefix(state, query.Get("state")) || len(a.header.Values("Set-Cookie")) > 0 {
				t.Errorf("got %d %s %v", a.status, a.header.Get("Location"), a.header)
			}
		})
	}
}

// landed splits where an answer sends the browser into a redirect URI and what
// was added to it.
func landed(t *testing.T, a answer) (uri string, added url.Values) {
	t.Helper()
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound || len(a.header.Values("Location")) != 1 {
		t.Fatalf("got %d %v, want a redirection", a.status, a.header)
	}
	added = to.Query()
	kept := url.Values{}
	if added.Has("keep") {
		kept.Set("keep", added.Get("keep"))
		added.Del("keep")
	}
	to.RawQuery = kept.Encode()
	return to.String(), added
}

// goes takes an authorization request to Perch and on to X, decides there, and
// returns where X sends the browser back to.
func (v *visitor) goes(t *testing.T, request url.Values, decision string) *url.URL {
	t.Helper()
	x := v.step(t, v.house.public+"/oauth/authorize?"+request.Encode())
	q := x.Query()
	if x.Path != "/i/oauth2/authorize" || q.Get("redirect_uri") != v.house.public+"/oauth/callback" {
		t.Fatalf("the browser is sent to %s", x)
	}
	q.Set("_sim_user", ada)
	q.Set("_sim_decision", decision)
	x.RawQuery = q.Encode()
	return v.step(t, x.String())
}

// What Perch does not know it does not do, and does not ask anybody about.
func TestParametersThatWouldChangeWhereTheAnswerGoesAreIgnored(t *testing.T) {
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	h := open(t, settings(t, environments()[0], at))
	app := h.wanted(t)
	var fetched atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer trap.Close()
	const evil = "https://evil.example/"
	for name, more := range map[string]url.Values{
		"response_mode fragment":    {"response_mode": {"fragment"}},
		"response_mode form_post":   {"response_mode": {"form_post"}},
		"response_mode web_message": {"response_mode": {"web_message"}, "web_message_uri": {evil}},
		"response_mode jwt":         {"response_mode": {"query.jwt"}},
		"a request object":          {"request": {"eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2V2aWwuZXhhbXBsZS8ifQ."}},
		"a request_uri":             {"request_uri": {trap.URL + "/request.jwt"}},
		"a pushed request":          {"request_uri": {"urn:ietf:params:oauth:request_uri:x"}},
		"other spellings":           {"Redirect_uri": {evil}, "redirect_uri[]": {evil}, "redirecturi": {evil}, "REDIRECT_URI": {evil}},
		"X's own parameters":        {"callback_url": {evil}, "oauth_callback": {evil}, "force_login": {"true"}},
		"other places to go":        {"return_to": {evil}, "next": {evil}, "continue": {evil}, "post_logout_redirect_uri": {evil}},
		"another issuer":            {"iss": {evil}, "issuer": {evil}, "code": {"x"}, "error": {"x"}},
		"claims and registration":   {"claims": {`{"userinfo":{}}`}, "registration": {`{"redirect_uris":["` + evil + `"]}`}},
	} {
		t.Run(name, func(t *testing.T) {
			v := h.visit(t, app)
			q := asking(app)
			q.Set("code_challenge", oauth.Challenge(v.verifier))
			for name, values := range more {
				q[name] = values
			}
			a := ask(t, v.client, "GET", v.goes(t, q, "approve").String(), "")
			if uri, added := landed(t, a); uri != registered[0] || added.Get("code") == "" || len(added) != 3 ||
				added.Get("iss") != h.public {
				t.Errorf("the browser ends at %s", a.header.Get("Location"))
			}
		})
	}
	if n := fetched.Load(); n > 0 {
		t.Errorf("Perch fetched what a request named, %d times", n)
	}
}

// The application's state comes back byte for byte, and stays a value.
func TestAStateStaysAValue(t *testing.T) {
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	h := open(t, settings(t, environments()[0], at))
	app := h.wanted(t)
	for i, state := range []string{
		"a\r\nSet-Cookie: evil=1", "a\nLocation: https://evil.example/", "\r\n\r\n<script>alert(1)</script>", "\x00", "a\x00b",
		`"><img src=x onerror=alert(1)>`, `' OR '1'='1`, `\`, `\"`, "a&code=stolen&x=", "a=b&iss=https://evil.example", "a#b", "#",
		"?", "%", "%0d%0a", "%2500", "+", " ", "a b", "\t", "é", "\u202e", "\U0001f426", "\xff\xfe", "\u2028", "{{7*7}}", "${jndi:x}",
		strings.Repeat("s", 1000), strings.Repeat(`"`, 1000),
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			v := h.visit(t, app)
			q := asking(app)
			q.Set("state", state)
			for _, decision := range []string{"approve", "deny"} {
				a := ask(t, v.client, "GET", v.goes(t, q, decision).String(), "")
				uri, added := landed(t, a)
				if uri != registered[0] || added.Get("state") != state || len(added["state"]) != 1 || len(added["iss"]) != 1 ||
					added.Get("iss") != h.public || len(added["code"]) > 1 || added.Get("code") == "stolen" ||
					strings.ContainsAny(a.header.Get("Location"), "\r\n\x00 <>\"") || strings.Contains(a.body, "<script") {
					t.Errorf("%s: the browser is sent to %q", decision, a.header.Get("Location"))
				}
				for _, cookie := range a.header.Values("Set-Cookie") {
					if !strings.HasPrefix(cookie, "perch_auth_") {
						t.Errorf("%s: a cookie is set: %s", decision, cookie)
					}
				}
			}
		})
	}
}
