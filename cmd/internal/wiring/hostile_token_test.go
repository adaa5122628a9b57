package wiring_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

// A heist is where client applications steal from each other: one is signed in
// and has a second code in hand, the thief is an application too.
type heist struct {
	house         *house
	victim, thief tenant
	v             *visitor // of the victim
	held, stolen  session  // the victim's, and the thief's own
	code          string   // issued to the victim and not yet presented
}

func newHeist(t *testing.T, h *house) *heist {
	t.Helper()
	he := &heist{house: h, victim: h.wanted(t), thief: h.register(t, pageB, "")}
	he.v = h.visit(t, he.victim)
	he.held = he.v.signIn(t, ada)
	he.stolen = h.visit(t, he.thief).signIn(t, grace)
	he.code = he.v.code(t, ada)
	return he
}

// exchange is the good exchange of the code.
func (he *heist) exchange() url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {he.code}, "redirect_uri": {registered[0]},
		"code_verifier": {he.v.verifier}, "client_id": {he.victim.pk},
	}
}

// refresh is a good exchange of the refresh token.
func (he *heist) refresh() url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {he.held.refresh}, "client_id": {he.victim.pk}}
}

// post sends the form as a server does.
func (he *heist) post(t *testing.T, path string, form url.Values, headers ...string) answer {
	t.Helper()
	headers = append([]string{"Content-Type: application/x-www-form-urlencoded"}, headers...)
	return ask(t, he.house.client, "POST", he.house.public+path, form.Encode(), headers...)
}

// works reports whether the access token is good.
func (h *house) works(t *testing.T, access string) bool {
	t.Helper()
	return ask(t, h.client, "GET", h.public+"/v1/grants", "", "Authorization: Bearer "+access).status == http.StatusOK
}

func basicAuth(id, key string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(key)))
}

// A demand is a request to the token endpoint that must not be granted.
type demand struct {
	name    string
	spoil   func(he *heist, form url.Values)
	headers func(he *heist) []string // besides the usual
	status  int
	code    string
}

func setting(name, value string) func(*heist, url.Values) {
	return func(_ *heist, form url.Values) { form.Set(name, value) }
}

func adding(header func(he *heist) string) func(*heist) []string {
	return func(he *heist) []string { return []string{header(he)} }
}

const (
	badRequest   = http.StatusBadRequest
	unauthorized = http.StatusUnauthorized
)

// whoAsks are spoiled by who asks, whatever for.
var whoAsks = []demand{
	{name: "no client_id", spoil: setting("client_id", ""), status: unauthorized, code: "invalid_client"},
	{name: "an unknown client_id", spoil: setting("client_id", "pk_AAAAAAAAAAAAAAAAAAAAAAAAAA"), status: unauthorized, code: "invalid_client"},
	{name: "SQL as client_id", spoil: setting("client_id", "pk_' OR '1'='1"), status: unauthorized, code: "invalid_client"},
	{name: "the application's ID as client_id", spoil: func(he *heist, f url.Values) { f.Set("client_id", he.victim.id) }, status: unauthorized, code: "invalid_client"},
	{name: "a secret key as client_id", spoil: func(he *heist, f url.Values) { f.Set("client_id", he.victim.sk) }, status: unauthorized, code: "invalid_client"},
	{name: "another application", spoil: func(he *heist, f url.Values) { f.Set("client_id", he.thief.pk) }, status: badRequest, code: "invalid_grant"},
	{name: "another application with its secret key", spoil: func(he *heist, f url.Values) {
		f.Set("client_id", he.thief.pk)
		f.Set("client_secret", he.thief.sk)
	}, status: badRequest, code: "invalid_grant"},
	{name: "another application's secret key", spoil: func(he *heist, f url.Values) { f.Set("client_secret", he.thief.sk) }, status: unauthorized, code: "invalid_client"},
	{name: "the publishable key as secret", spoil: func(he *heist, f url.Values) { f.Set("client_secret", he.victim.pk) }, status: unauthorized, code: "invalid_client"},
	{name: "a secret that is none", spoil: setting("client_secret", "hunter2"), status: unauthorized, code: "invalid_client"},
	{name: "an access token as secret", spoil: func(he *heist, f url.Values) { f.Set("client_secret", he.held.access) }, status: unauthorized, code: "invalid_client"},
	{name: "Basic with another's secret", headers: adding(func(he *heist) string { return basicAuth(he.victim.pk, he.thief.sk) }), status: unauthorized, code: "invalid_client"},
	{name: "Basic with the publishable key twice", headers: adding(func(he *heist) string { return basicAuth(he.victim.pk, he.victim.pk) }), status: unauthorized, code: "invalid_client"},
	{name: "Basic with the secret as user", headers: adding(func(he *heist) string { return basicAuth(he.victim.sk, "") }), status: badRequest, code: "invalid_request"},
	{name: "Basic for another than the body", headers: adding(func(he *heist) string { return basicAuth(he.thief.pk, he.thief.sk) }), status: badRequest, code: "invalid_request"},
	{name: "Basic and another secret in the body", spoil: setting("client_secret", "sk_AAAAAAAAAAAAAAAAAAAAAAAAAA"), headers: adding(func(he *heist) string { return basicAuth(he.victim.pk, he.victim.sk) }), status: badRequest, code: "invalid_request"},
	{name: "Basic that is no base64", headers: adding(func(*heist) string { return "Authorization: Basic !!!" }), status: unauthorized, code: "invalid_client"},
	{name: "Basic without a colon", headers: adding(func(*heist) string { return "Authorization: Basic cGtfQQ==" }), status: unauthorized, code: "invalid_client"},
	{name: "Bearer", headers: adding(func(he *heist) string { return "Authorization: Bearer " + he.victim.sk }), status: unauthorized, code: "invalid_client"},
	{name: "a secret key from a page", spoil: func(he *heist, f url.Values) { f.Set("client_secret", he.victim.sk) }, headers: adding(func(*heist) string { return "Origin: https://app.example" }), status: unauthorized, code: "invalid_client"},
	{name: "a page that nobody registered", headers: adding(func(*heist) string { return "Origin: https://evil.example" }), status: http.StatusForbidden, code: "access_denied"},
	{name: "a page without an origin", headers: adding(func(*heist) string { return "Origin: null" }), status: http.StatusForbidden, code: "access_denied"},
	{name: "client_id twice", spoil: func(he *heist, f url.Values) { f.Add("client_id", he.thief.pk) }, status: badRequest, code: "invalid_request"},
	{name: "grant_type twice", spoil: func(_ *heist, f url.Values) { f.Add("grant_type", f.Get("grant_type")) }, status: badRequest, code: "invalid_request"},
	{name: "no grant_type", spoil: setting("grant_type", ""), status: badRequest, code: "unsupported_grant_type"},
	{name: "grant_type password", spoil: setting("grant_type", "password"), status: badRequest, code: "unsupported_grant_type"},
	{name: "grant_type client_credentials", spoil: setting("grant_type", "client_credentials"), status: badRequest, code: "unsupported_grant_type"},
	{name: "grant_type implicit", spoil: setting("grant_type", "implicit"), status: badRequest, code: "unsupported_grant_type"},
	{name: "grant_type jwt-bearer", spoil: setting("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), status: badRequest, code: "unsupported_grant_type"},
	{name: "grant_type token-exchange", spoil: setting("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), status: badRequest, code: "unsupported_grant_type"},
	{name: "grant_type device_code", spoil: setting("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), status: badRequest, code: "unsupported_grant_type"},
	{name: "grant_type in upper case", spoil: func(_ *heist, f url.Values) { f.Set("grant_type", strings.ToUpper(f.Get("grant_type"))) }, status: badRequest, code: "unsupported_grant_type"},
	{name: "a form that is called JSON", headers: adding(func(*heist) string { return "Content-Type: application/json" }), status: badRequest, code: "invalid_request"},
	{name: "a form that is called text", headers: adding(func(*heist) string { return "Content-Type: text/plain" }), status: badRequest, code: "invalid_request"},
	{name: "a form that is called multipart", headers: adding(func(*heist) string { return "Content-Type: multipart/form-data; boundary=x" }), status: badRequest, code: "invalid_request"},
}

// codes are exchanges of the code that must fail.
var codes = []demand{
	{name: "no code", spoil: setting("code", ""), status: badRequest, code: "invalid_request"},
	{name: "a code that is none", spoil: setting("code", "AAAAAAAAAAAAAAAAAAAAAAAAAA"), status: badRequest, code: "invalid_grant"},
	{name: "a digest of the code", spoil: func(he *heist, f url.Values) { f.Set("code", oauth.Digest(he.code)) }, status: badRequest, code: "invalid_grant"},
	{name: "the code and a space", spoil: func(he *heist, f url.Values) { f.Set("code", he.code+" ") }, status: badRequest, code: "invalid_grant"},
	{name: "the code in lower case", spoil: func(he *heist, f url.Values) { f.Set("code", strings.ToLower(he.code)) }, status: badRequest, code: "invalid_grant"},
	{name: "a refresh token as code", spoil: func(he *heist, f url.Values) { f.Set("code", he.held.refresh) }, status: badRequest, code: "invalid_grant"},
	{name: "code twice", spoil: func(he *heist, f url.Values) { f.Add("code", he.code) }, status: badRequest, code: "invalid_request"},
	{name: "no verifier", spoil: setting("code_verifier", ""), status: badRequest, code: "invalid_request"},
	{name: "a wrong verifier", spoil: setting("code_verifier", strings.Repeat("a", 43)), status: badRequest, code: "invalid_grant"},
	{name: "the challenge as verifier", spoil: func(he *heist, f url.Values) { f.Set("code_verifier", oauth.Challenge(he.v.verifier)) }, status: badRequest, code: "invalid_grant"},
	{name: "the verifier's beginning", spoil: func(he *heist, f url.Values) { f.Set("code_verifier", he.v.verifier[:43]) }, status: badRequest, code: "invalid_grant"},
	{name: "the verifier and a character", spoil: func(he *heist, f url.Values) { f.Set("code_verifier", he.v.verifier+"a") }, status: badRequest, code: "invalid_grant"},
	{name: "the verifier and NUL", spoil: func(he *heist, f url.Values) { f.Set("code_verifier", he.v.verifier+"\x00") }, status: badRequest, code: "invalid_grant"},
	{name: "the verifier in lower case", spoil: func(he *heist, f url.Values) { f.Set("code_verifier", strings.ToLower(he.v.verifier)) }, status: badRequest, code: "invalid_grant"},
	{name: "a verifier of 129 characters", spoil: setting("code_verifier", strings.Repeat("a", 129)), status: badRequest, code: "invalid_grant"},
	{name: "two verifiers", spoil: func(_ *heist, f url.Values) { f.Add("code_verifier", strings.Repeat("a", 43)) }, status: badRequest, code: "invalid_request"},
	{name: "no redirect_uri", spoil: setting("redirect_uri", ""), status: badRequest, code: "invalid_request"},
	{name: "another registered redirect_uri", spoil: setting("redirect_uri", registered[1]), status: badRequest, code: "invalid_grant"},
	{name: "two redirect_uri", spoil: func(_ *heist, f url.Values) { f.Add("redirect_uri", "https://evil.example/") }, status: badRequest, code: "invalid_request"},
}

// refreshes are exchanges of a refresh token that must fail.
var refreshes = []demand{
	{name: "no refresh token", spoil: setting("refresh_token", ""), status: badRequest, code: "invalid_grant"},
	{name: "a refresh token that is none", spoil: setting("refresh_token", "rt_a.b.c"), status: badRequest, code: "invalid_grant"},
	{name: "the access token", spoil: func(he *heist, f url.Values) { f.Set("refresh_token", he.held.access) }, status: badRequest, code: "invalid_grant"},
	{name: "the code", spoil: func(he *heist, f url.Values) { f.Set("refresh_token", he.code) }, status: badRequest, code: "invalid_grant"},
	{name: "a secret key", spoil: func(he *heist, f url.Values) { f.Set("refresh_token", he.victim.sk) }, status: badRequest, code: "invalid_grant"},
	{name: "the refresh token without its end", spoil: func(he *heist, f url.Values) { f.Set("refresh_token", he.held.refresh[:len(he.held.refresh)-1]) }, status: badRequest, code: "invalid_grant"},
	{name: "the refresh token and a character", spoil: func(he *heist, f url.Values) { f.Set("refresh_token", he.held.refresh+"A") }, status: badRequest, code: "invalid_grant"},
	{name: "the victim's session with the thief's proof", spoil: func(he *heist, f url.Values) {
		body := he.held.refresh[:strings.LastIndexByte(he.held.refresh, '.')]
		f.Set("refresh_token", body+he.stolen.refresh[strings.LastIndexByte(he.stolen.refresh, '.'):])
	}, status: badRequest, code: "invalid_grant"},
	{name: "the thief's refresh token", spoil: func(he *heist, f url.Values) { f.Set("refresh_token", he.stolen.refresh) }, status: badRequest, code: "invalid_grant"},
	{name: "refresh_token twice", spoil: func(he *heist, f url.Values) { f.Add("refresh_token", he.held.refresh) }, status: badRequest, code: "invalid_request"},
	{name: "ten kilobytes", spoil: setting("refresh_token", "rt_"+strings.Repeat("A", 10000)), status: badRequest, code: "invalid_grant"},
}

// Each demand is refused with its error, in a document without tokens, and the
// sessions of both applications go on. No secret is in a refusal or in the log.
func TestTokenRequestsOfThieves(t *testing.T) {
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	h := open(t, settings(t, environments()[0], at))
	var said strings.Builder
	var secrets []string
	run := func(kind string, good func(*heist) url.Values, demands []demand) {
		for i, d := range demands {
			t.Run(kind+": "+d.name, func(t *testing.T) {
				he := newHeist(t, h)
				form := good(he)
				if d.spoil != nil {
					d.spoil(he, form)
				}
				var headers []string
				if d.headers != nil {
					headers = d.headers(he)
				}
				path := []string{"/oauth/token", "/2/oauth2/token"}[i%2]
				a := he.post(t, path, form, headers...)
				if a.status != d.status || a.text("error") != d.code || a.text("access_token") != "" || a.text("refresh_token") != "" ||
					a.header.Get("Cache-Control") != "no-store" || a.header.Get("Location") != "" {
					t.Errorf("got %d %s, want %d %s", a.status, a.body, d.status, d.code)
				}
				said.WriteString(a.body)
				secrets = append(secrets, he.victim.sk, he.thief.sk, he.held.access, he.held.refresh, he.v.verifier, he.code)
				if !h.works(t, he.held.access) || !h.works(t, he.stolen.access) {
					t.Error("a session has ended")
				}
			})
		}
	}
	run("code", (*heist).exchange, slices.Concat(whoAsks, codes))
	run("refresh", (*heist).refresh, slices.Concat(whoAsks, refreshes))
	said.Write(h.log.bytes())
	for _, secret := range secrets {
		if strings.Contains(said.String(), secret) {
			t.Errorf("%q is said aloud, in a refusal or in the log", secret)
		}
	}
}
