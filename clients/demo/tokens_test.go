package demo_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
)

// A ledger is what really happened at X.
type ledger []xsim.Entry

func ledgerOf(t *testing.T, xURL string) ledger {
	t.Helper()
	r, err := http.Get(xURL + "/_sim/ledger") // #nosec G107 -- X in a box on this machine
	if err != nil {
		t.Fatalf("ask X in a box: %v", err)
	}
	defer func() { _ = r.Body.Close() }()
	var all ledger
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e xsim.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("read the ledger: %v in %s", err, lines.Text())
		}
		all = append(all, e)
	}
	if err := lines.Err(); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("read the ledger: status %d, %v", r.StatusCode, err)
	}
	return all
}

// count returns how often the kind of event happened.
func (l ledger) count(kind string) int {
	n := 0
	for _, e := range l {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// fingerprints returns the names of all tokens X has issued or been shown.
func (l ledger) fingerprints() map[string]bool {
	all := map[string]bool{}
	for _, e := range l {
		for name, value := range e.Details {
			if strings.HasSuffix(name, "access_fp") || strings.HasSuffix(name, "refresh_fp") {
				all[value] = true
			}
		}
	}
	return all
}

var (
	run  = regexp.MustCompile(`[A-Za-z0-9._~+/=-]{16,}`)
	word = regexp.MustCompile(`[A-Za-z0-9_-]{16,}`) // a run without what may stand around a token
)

// leaks returns the fingerprints of X's tokens that occur in the texts: as they are, percent-encoded,
// or in base64, as the parts of a JWT are.
func leaks(texts []string, known map[string]bool) []string {
	found := map[string]bool{}
	look := func(s string) {
		sum := sha256.Sum256([]byte(s))
		if fp := hex.EncodeToString(sum[:6]); known[fp] {
			found[fp] = true
		}
	}
	for _, text := range texts {
		for _, form := range unwrap(text) {
			for _, s := range run.FindAllString(form, -1) {
				look(s)
				look(s[strings.LastIndexByte(strings.TrimRight(s, "="), '=')+1:])
			}
			for _, s := range word.FindAllString(form, -1) {
				look(s)
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// unwrap returns the text and what is wrapped in it.
func unwrap(text string) []string {
	forms := []string{text}
	if plain, err := url.QueryUnescape(text); err == nil && plain != text {
		forms = append(forms, plain)
	}
	for _, s := range run.FindAllString(text, -1) {
		for _, part := range strings.FieldsFunc(s, func(c rune) bool { return c == '.' || c == '=' }) {
			for _, code := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
				if b, err := code.DecodeString(part); err == nil {
					forms = append(forms, string(b))
				}
			}
		}
	}
	return forms
}

// adaID is one of the people X in a box has.
const adaID = "1500000000000000001"

// ownToken gets a token from X in a box by hand, through an app of the test's own.
func ownToken(t *testing.T, xURL string) string {
	t.Helper()
	const app, redirect = "planted-app", "https://planted.example/"
	const verifier = "a-verifier-long-enough-for-everyone-who-reads-it"
	post(t, xURL+"/_sim/apps", "application/json", `{"client_id":"`+app+`"}`)
	query := url.Values{
		"response_type": {"code"}, "client_id": {app}, "redirect_uri": {redirect}, "state": {"s"},
		"scope": {"tweet.read users.read offline.access"}, "code_challenge": {verifier},
		"code_challenge_method": {"plain"}, "_sim_user": {adaID}, "_sim_decision": {"approve"},
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.Get(xURL + "/i/oauth2/authorize?" + query.Encode())
	if err != nil {
		t.Fatalf("approve at X in a box: %v", err)
	}
	_ = r.Body.Close()
	to, err := r.Location()
	if err != nil {
		t.Fatalf("X in a box did not approve: status %d", r.StatusCode)
	}
	var token struct {
		Access string `json:"access_token"`
	}
	body := post(t, xURL+"/2/oauth2/token", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {app}, "redirect_uri": {redirect},
		"code": {to.Query().Get("code")}, "code_verifier": {verifier},
	}.Encode())
	if err := json.Unmarshal(body, &token); err != nil || token.Access == "" {
		t.Fatalf("X in a box gave no token: %s", body)
	}
	return token.Access
}

func post(t *testing.T, to, kind, body string) []byte {
	t.Helper()
	r, err := http.Post(to, kind, strings.NewReader(body)) // #nosec G107 -- X in a box on this machine
	if err != nil {
		t.Fatalf("POST %s: %v", to, err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode >= 300 {
		t.Fatalf("POST %s: status %d, %v: %s", to, r.StatusCode, err, b)
	}
	return b
}

// The search must find a token wherever it hides, or finding none means nothing.
func TestLeaksFindsATokenWhereverItHides(t *testing.T) {
	x := httptest.NewServer(xsim.New(xsim.Options{}))
	defer x.Close()
	token := ownToken(t, x.URL)
	known := ledgerOf(t, x.URL).fingerprints()
	jwt := "eyJhbGciOiJFZERTQSJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"x":"`+token+`"}`)) + ".c2ln"
	for name, text := range map[string]string{
		"bare": token, "header": `{"Authorization":"Bearer ` + token + `"}`, "cookie": "t=" + token + "; Path=/",
		"query": "https://app.example/?access_token=" + token + "&x=1", "form": "token=" + token,
		"encoded": "u=https%3A%2F%2Fapp.example%2F%3Ft%3D" + token, "path": "/a/" + token + "/b",
		"html": `<p data-t="` + token + `">`, "jwt": jwt, "sentence": "The token is " + token + ".",
	} {
		if got := leaks([]string{"before", text, "after"}, known); len(got) != 1 {
			t.Errorf("%s: found %d tokens in %q, want 1", name, len(got), text)
		}
	}
	if got := leaks([]string{token[1:], strings.ToUpper(token), "nothing of that kind is here"}, known); len(got) != 0 {
		t.Errorf("found %v where there is none", got)
	}
}
