package xsim_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

const (
	callback = "http://127.0.0.1:8080/callback?from=x"
	verifier = "a-verifier-that-is-long-enough-for-rfc-7636-really"
)

func authorization(change func(url.Values)) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"sim-client"}, "redirect_uri": {callback}, "state": {"st"},
		"scope":          {"tweet.read users.read offline.access"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"s256"},
		"_sim_user": {ada}, "_sim_decision": {"approve"},
	}
	if change != nil {
		change(q)
	}
	return "/i/oauth2/authorize?" + q.Encode()
}

// consent approves without a browser and returns the code.
func (b *box) consent(change func(url.Values)) string {
	b.t.Helper()
	a := b.want(http.StatusFound, http.MethodGet, authorization(change), "", "")
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		b.t.Fatal(err)
	}
	q := to.Query()
	if q.Get("state") != "st" || q.Get("from") != "x" || q.Get("code") == "" {
		b.t.Fatalf("redirected to %s", to)
	}
	return q.Get("code")
}

func exchange(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}
}

func renewal(refresh string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
}

func (b *box) token(fields url.Values) answer {
	return b.form("/2/oauth2/token", "sim-client", "sim-secret", fields)
}

func TestConsentToCall(t *testing.T) {
	b := open(t, xsim.Options{})
	a := b.token(exchange(b.consent(nil)))
	if a.status != http.StatusOK || a.text("token_type") != "bearer" || a.text("refresh_token") == "" ||
		a.text("scope") != "tweet.read users.read offline.access" {
		t.Fatalf("token reply: %d %s", a.status, a.raw)
	}
	me := b.want(http.StatusOK, http.MethodGet, "/2/users/me", a.text("access_token"), "")
	if me.text("data.username") != "ada" {
		t.Errorf("me is %s", me.raw)
	}
	if e := b.last("token.issued"); e.Details["access_fp"] != xsim.Fingerprint(a.text("access_token")) || e.User != ada {
		t.Errorf("ledger: %+v", e)
	}
	b.Advance(2 * time.Hour)
	late := b.want(http.StatusUnauthorized, http.MethodGet, "/2/users/me", a.text("access_token"), "")
	if late.text("type") != "about:blank" {
		t.Errorf("expired: %s", late.raw)
	}
}

func TestTokenEndpointTakesJSON(t *testing.T) {
	b := open(t, xsim.Options{})
	code := b.consent(nil)
	req := b.request(http.MethodPost, "/2/oauth2/token", "", `{"grant_type":"authorization_code","code":"`+code+
		`","redirect_uri":"`+callback+`","code_verifier":"`+verifier+`"}`)
	req.SetBasicAuth("sim-client", "sim-secret")
	if a, err := b.send(req); err != nil || a.status != http.StatusOK {
		t.Fatalf("%v %s", err, a.raw)
	}
}

func TestDeny(t *testing.T) {
	b := open(t, xsim.Options{})
	path := authorization(func(q url.Values) { q.Set("_sim_decision", "deny") })
	a := b.want(http.StatusFound, http.MethodGet, path, "", "")
	to, _ := url.Parse(a.header.Get("Location"))
	if to.Query().Get("error") != "access_denied" || to.Query().Get("state") != "st" || to.Query().Has("code") {
		t.Errorf("redirected to %s", to)
	}
	if b.seen("consent.denied") != 1 {
		t.Error("the denial is not in the ledger")
	}
}

func TestConsentPage(t *testing.T) {
	b := open(t, xsim.Options{})
	path := authorization(func(q url.Values) { q.Del("_sim_decision"); q.Set("state", `"><script>`) })
	page := string(b.want(http.StatusOK, http.MethodGet, path, "", "").raw)
	for _, part := range []string{
		`id="approve"`, `id="deny"`, `name="decision"`, `name="user"`, "simulator", "Simulated App", "Ada Quill",
		"Stay connected until you revoke access",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page has no %s", part)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "src=") || strings.Contains(page, "href=") {
		t.Error("the page has a script or loads something")
	}
	u, _ := url.Parse(path)
	fields := u.Query()
	fields.Set("user", grace)
	fields.Set("decision", "approve")
	a := b.form("/i/oauth2/authorize", "", "", fields)
	if a.status != http.StatusFound || !strings.HasPrefix(a.header.Get("Location"), "http://127.0.0.1:8080/callback?") {
		t.Fatalf("approving the form: %d %s", a.status, a.header.Get("Location"))
	}
	if b.last("consent.approved").User != grace {
		t.Error("another user than the chosen one approved")
	}
}

func TestBadAuthorizationNeverRedirects(t *testing.T) {
	b := open(t, xsim.Options{Apps: []xsim.App{{ClientID: "sim-client", RedirectURIs: []string{callback}}}})
	for name, change := range map[string]func(url.Values){
		"unknown client":     func(q url.Values) { q.Set("client_id", "nobody") },
		"other redirect":     func(q url.Values) { q.Set("redirect_uri", callback+"/") },
		"script as redirect": func(q url.Values) { q.Set("redirect_uri", "javascript:alert(1)") },
		"response type":      func(q url.Values) { q.Set("response_type", "token") },
		"no scope":           func(q url.Values) { q.Del("scope") },
		"unknown scope":      func(q url.Values) { q.Set("scope", "tweet.read everything") },
		"long state":         func(q url.Values) { q.Set("state", strings.Repeat("s", 501)) },
		"no challenge":       func(q url.Values) { q.Del("code_challenge") },
		"challenge method":   func(q url.Values) { q.Set("code_challenge_method", "S512") },
		"unknown user":       func(q url.Values) { q.Set("_sim_user", "1") },
		"unknown decision":   func(q url.Values) { q.Set("_sim_decision", "maybe") },
	} {
		t.Run(name, func(t *testing.T) {
			a := b.want(http.StatusBadRequest, http.MethodGet, authorization(change), "", "")
			if a.header.Get("Location") != "" || !strings.Contains(string(a.raw), `id="problem"`) {
				t.Errorf("got %s", a.raw)
			}
		})
	}
}

func TestCodes(t *testing.T) {
	for name, test := range map[string]struct {
		change func(b *box, f url.Values)
		entry  string
	}{
		"expired":        {func(b *box, _ url.Values) { b.Advance(30 * time.Second) }, "code.expired"},
		"replayed":       {func(b *box, f url.Values) { b.token(f) }, "code.replayed"},
		"unknown":        {func(_ *box, f url.Values) { f.Set("code", "guess") }, ""},
		"wrong verifier": {func(_ *box, f url.Values) { f.Set("code_verifier", verifier+"x") }, ""},
		"wrong redirect": {func(_ *box, f url.Values) { f.Set("redirect_uri", callback+"/") }, ""},
		"no verifier":    {func(_ *box, f url.Values) { f.Del("code_verifier") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, xsim.Options{})
			fields := exchange(b.consent(nil))
			test.change(b, fields)
			a := b.token(fields)
			if a.status != http.StatusBadRequest || a.text("error") != "invalid_request" || a.text("error_description") == "" {
				t.Errorf("got %d %s", a.status, a.raw)
			}
			if test.entry != "" && b.seen(test.entry) != 1 {
				t.Errorf("the ledger has no %s", test.entry)
			}
		})
	}
}

func TestPlainChallenge(t *testing.T) {
	b := open(t, xsim.Options{})
	code := b.consent(func(q url.Values) {
		q.Set("code_challenge", verifier)
		q.Set("code_challenge_method", "plain")
	})
	if a := b.token(exchange(code)); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.raw)
	}
}
