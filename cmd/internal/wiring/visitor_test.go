package wiring_test

import (
	"crypto/rand"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"perch/domain/oauth"
)

// A visitor is somebody's browser: it keeps cookies and goes where it is sent
// one step at a time.
type visitor struct {
	client   *http.Client
	house    *house
	app      tenant
	verifier string
	state    string
}

func (h *house) visit(t *testing.T, app tenant) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{
		client: &http.Client{Jar: jar, CheckRedirect: stay, Transport: h.client.Transport}, house: h, app: app,
		verifier: rand.Text() + rand.Text(), state: rand.Text(),
	}
}

// step follows one redirect and returns where the next one leads.
func (v *visitor) step(t *testing.T, to string) *url.URL {
	t.Helper()
	a := ask(t, v.client, "GET", to, "")
	next, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound || next.Host == "" {
		t.Fatalf("GET %s: %d %s %v", to, a.status, a.body, err)
	}
	return next
}

// decide goes to X by way of Perch and decides there as the user. It returns
// where X sends the browser back to.
func (v *visitor) decide(t *testing.T, user, decision string) *url.URL {
	t.Helper()
	x := v.step(t, v.house.public+"/oauth/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {v.app.pk}, "redirect_uri": {v.app.origin + "/back"}, "state": {v.state},
		"scope": {"tweet.write like.write"}, "code_challenge": {oauth.Challenge(v.verifier)},
		"code_challenge_method": {"S256"},
	}.Encode())
	if n := len(v.cookies(t)); n != 1 {
		t.Fatalf("the browser is bound by %d cookies", n)
	}
	q := x.Query()
	q.Set("_sim_user", user)
	q.Set("_sim_decision", decision)
	x.RawQuery = q.Encode()
	return v.step(t, x.String())
}

// cookies are those the browser would send to the callback.
func (v *visitor) cookies(t *testing.T) []*http.Cookie {
	t.Helper()
	callback, err := url.Parse(v.house.public + "/oauth/callback")
	if err != nil {
		t.Fatal(err)
	}
	return v.client.Jar.Cookies(callback)
}

// at is the URL at the house's own door, where it is known to browsers by
// another name.
func (v *visitor) at(to *url.URL) string { return v.house.public + to.RequestURI() }

// code goes all the way to the application with a code of Perch.
func (v *visitor) code(t *testing.T, user string) string {
	t.Helper()
	back := v.step(t, v.at(v.decide(t, user, "approve")))
	q := back.Query()
	if q.Get("state") != v.state || q.Get("code") == "" || !strings.HasPrefix(back.String(), v.app.origin+"/back?") {
		t.Fatalf("the browser came back to %s", back)
	}
	return q.Get("code")
}

// token calls an OAuth endpoint from the application's page.
func (v *visitor) token(t *testing.T, path string, fields url.Values, headers ...string) answer {
	t.Helper()
	fields.Set("client_id", v.app.pk)
	headers = append([]string{
		"Content-Type: application/x-www-form-urlencoded", "Origin: " + v.app.origin, "Sec-Fetch-Mode: cors",
	}, headers...)
	return ask(t, v.client, "POST", v.house.public+path, fields.Encode(), headers...)
}

// exchange presents a code.
func (v *visitor) exchange(t *testing.T, code string, headers ...string) answer {
	t.Helper()
	return v.token(t, "/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {v.app.origin + "/back"},
		"code_verifier": {v.verifier},
	}, headers...)
}

// refresh presents a refresh token.
func (v *visitor) refresh(t *testing.T, token string) answer {
	t.Helper()
	return v.token(t, "/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// A session is what the page holds after a sign-in.
type session struct{ access, refresh, grant string }

func sessionOf(t *testing.T, a answer) session {
	t.Helper()
	s := session{a.text("access_token"), a.text("refresh_token"), a.text("grant_id")}
	if a.status != http.StatusOK || s.access == "" || s.refresh == "" || s.grant == "" {
		t.Fatalf("token endpoint: %d %s", a.status, a.body)
	}
	return s
}

// signIn goes from the button to the session.
func (v *visitor) signIn(t *testing.T, user string) session {
	t.Helper()
	return sessionOf(t, v.exchange(t, v.code(t, user)))
}

// page performs an action as a script of the page at the origin does.
func (v *visitor) page(t *testing.T, origin, access, method, path, body string) answer {
	t.Helper()
	headers := []string{
		"Authorization: Bearer " + access, "Origin: " + origin, "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site",
		"Sec-Fetch-Dest: empty", "Referer: " + origin + "/", "User-Agent: Mozilla/5.0", "Accept-Language: en",
	}
	if body != "" {
		headers = append(headers, "Content-Type: application/json")
	}
	return ask(t, v.client, method, v.house.public+path, body, headers...)
}
