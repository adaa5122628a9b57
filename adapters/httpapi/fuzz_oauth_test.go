package httpapi

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

const (
	goodCall = "grant_type=authorization_code&client_id={pk}&code={code}&redirect_uri={back}&code_verifier={verifier}"
	alsoTo   = "https://app.example/other?x=1"
)

// FuzzAuthorize: a browser is sent to X, or back to a redirect URI that was
// presented and is registered byte for byte, or nowhere; and to X only with
// what PKCE wants.
func FuzzAuthorize(f *testing.F) {
	l := newLab(f)
	_, err := l.services.Clients.Change(f.Context(), l.app.ID, func(a client.App) client.App {
		a.RedirectURIs = []string{returnTo, alsoTo}
		return a
	})
	must(f, err)
	f.Fuzz(func(t *testing.T, query string) {
		if query = l.fill(query); splits(query) || strings.Contains(query, " ") {
			t.Skip()
		}
		a := l.line.send(t, "GET /oauth/authorize?"+query+" HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n")
		l.decent(t, a, "")
		_, err := l.store.Authorizations().Sweep(t.Context(), time.Now().Add(time.Hour))
		must(t, err)
		to := a.Header.Get("Location")
		if a.StatusCode != http.StatusFound {
			if to != "" || a.StatusCode < 400 || a.Header.Get("Set-Cookie") != "" {
				t.Errorf("status %d, sent to %q", a.StatusCode, to)
			}
			quotesNothing(t, a, query)
			return
		}
		said, err := url.ParseQuery(query)
		if err != nil || len(said["redirect_uri"]) != 1 || len(said["client_id"]) != 1 || said.Get("client_id") != l.pk {
			t.Fatalf("%q sends to %q", query, to)
		}
		back := said.Get("redirect_uri")
		if back != returnTo && back != alsoTo {
			t.Fatalf("the redirect URI %q is good", back)
		}
		if refusal := strings.HasPrefix(to, back+"?") || back == alsoTo && strings.HasPrefix(to, back+"&"); refusal {
			toldBack(t, to, said.Get("state"))
			return
		}
		l.atX(t, to, said)
	})
}

// quotesNothing fails if a page of ours has markup that came with the query.
func quotesNothing(t *testing.T, a answer, query string) {
	t.Helper()
	said, _ := url.ParseQuery(query)
	for _, values := range said {
		for _, v := range values {
			if len(v) > 12 && strings.ContainsAny(v, "<>\"") && strings.Contains(a.body, v) && strings.Contains(a.Header.Get("Content-Type"), "html") {
				t.Errorf("the page quotes %q", v)
			}
		}
	}
}

// told fails unless the client is told what went wrong as RFC 6749 and RFC 9207
// have it.
func toldBack(t *testing.T, to, state string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatalf("%q: %v", to, err)
	}
	q := u.Query()
	if q.Get("error") == "" || q.Get("code") != "" || q.Get("iss") == "" || u.Host != "app.example" ||
		len(state) <= 1000 && q.Get("state") != state {
		t.Errorf("the client is told %q", to)
	}
}

// atX fails unless the browser goes to X on behalf of Perch, with a state and a
// challenge that are not the client's.
func (l *lab) atX(t *testing.T, to string, said url.Values) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil || u.Path != "/i/oauth2/authorize" || u.Host != strings.TrimPrefix(l.xAt, "http://") {
		t.Fatalf("%q sends to %q", said, to)
	}
	q := u.Query()
	if said.Get("response_type") != "code" || said.Get("code_challenge_method") != "S256" || len(said.Get("code_challenge")) != 43 {
		t.Errorf("%v goes to X without PKCE", said)
	}
	if q.Get("redirect_uri") != l.public+"/oauth/callback" || q.Get("client_id") != "sim-client" ||
		q.Get("code_challenge") == said.Get("code_challenge") || q.Get("state") == said.Get("state") || q.Get("state") == "" {
		t.Errorf("%v became %v", said, q)
	}
}

// FuzzTokenCall: the token endpoint gives tokens for a code only with the right
// client, redirect URI and verifier, and for a refresh token only to its client,
// however the call is written; all else is an error of RFC 6749.
func FuzzTokenCall(f *testing.F) {
	l := newLab(f)
	f.Fuzz(func(t *testing.T, at, contentType, authorization, body string) {
		if splits(at, contentType, authorization) || strings.ContainsAny(at, " ?#%") {
			t.Skip()
		}
		code, refresh := l.prepare(t)
		usual := at == "oauth/token" && contentType == "application/x-www-form-urlencoded" && authorization == "" && body == goodCall
		fill := strings.NewReplacer("{code}", code, "{refresh}", refresh, "{verifier}", verifier, "{back}", returnTo, "{pk}", l.pk, "{sk}", l.sk)
		authorization = basicOf(fill.Replace(authorization))
		body = fill.Replace(body)
		head := "POST /" + at + " HTTP/1.1\r\nHost: a\r\nContent-Type: " + contentType + "\r\n"
		if authorization != "" {
			head += "Authorization: " + authorization + "\r\n"
		}
		a := l.line.send(t, head+"Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		defer l.sweep(t)
		if strings.Contains(a.body, verifier) || strings.Contains(a.body, code) {
			t.Errorf("the reply quotes what was sent: %s", a.body)
		}
		l.decent(t, a, "")
		if !slices.Contains([]string{"oauth/token", "2/oauth2/token", "oauth/revoke", "2/oauth2/revoke"}, at) {
			return
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(a.body), &m); err != nil {
			t.Fatalf("%d %q: %v", a.StatusCode, a.body, err)
		}
		if a.StatusCode != http.StatusOK {
			if usual {
				t.Errorf("a good call is refused: %s", a.body)
			}
			if code, _ := m["error"].(string); m["type"] != typePrefix+"malformed-request" && !slices.Contains(errorCodes, code) || m["access_token"] != nil {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			return
		}
		if m["access_token"] == nil {
			return // revoked
		}
		said := parameters(contentType, body)
		id := said["client_id"]
		if user, _, ok := basic(authorization); ok {
			id = user
		}
		good := said["grant_type"] == "refresh_token" && said["refresh_token"] == refresh ||
			said["grant_type"] == "authorization_code" && said["code"] == code && said["code_verifier"] == verifier &&
				said["redirect_uri"] == returnTo
		if !good || id != l.pk || authorization != "" && !strings.HasPrefix(strings.ToLower(authorization), "basic ") {
			t.Errorf("%q with %q, %q gives tokens", body, contentType, authorization)
		}
		if key := said["client_secret"]; key != "" && key != l.sk && key != l.appOnly {
			t.Errorf("%q: a wrong client secret gives tokens", body)
		}
	})
}

var errorCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"invalid_dpop_proof", "use_dpop_nonce",
}

// parameters are what another reader takes from the body: the last of each name.
func parameters(contentType, body string) map[string]string {
	m := map[string]string{}
	if mediaType, _, _ := strings.Cut(contentType, ";"); strings.Contains(strings.ToLower(mediaType), "json") {
		_ = json.Unmarshal([]byte(body), &m)
		return m
	}
	form, _ := url.ParseQuery(body)
	for name, values := range form {
		m[name] = values[len(values)-1]
	}
	return m
}

// basicOf encodes what stands in braces: Basic {user:password}.
func basicOf(header string) string {
	scheme, rest, ok := strings.Cut(header, "{")
	pair, ok2 := strings.CutSuffix(rest, "}")
	if !ok || !ok2 {
		return header
	}
	return scheme + base64.StdEncoding.EncodeToString([]byte(pair))
}

// prepare stores a code, and a session with its refresh token.
func (l *lab) prepare(t *testing.T) (code, refresh string) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	code, id := rand.Text(), "ses_"+rand.Text()
	made, err := l.ring.Digests(t.Context(), secret.New(code), "code.proof")
	must(t, err)
	code += "." + made[0]
	must(t, l.store.Codes().Put(t.Context(), session.Code{
		Digest: oauth.Digest(code), App: l.app.ID, Redirect: returnTo, Challenge: oauth.Challenge(verifier), Grant: l.grant,
		User: ada, Scopes: oauth.Everything, Session: session.ID(id + "_new"), Expires: now.Add(time.Minute),
	}))
	refresh = "rt_" + id + "." + rand.Text()
	proofs, err := l.ring.Digests(t.Context(), secret.New(refresh), "refresh.proof")
	must(t, err)
	refresh += "." + proofs[0]
	_, err = l.store.Sessions().Create(t.Context(), session.Session{
		ID: session.ID(id), App: l.app.ID, Grant: l.grant, User: ada, Scopes: oauth.Everything,
		Current: oauth.Digest(refresh), Created: now, Expires: now.Add(time.Hour),
	})
	must(t, err)
	return code, refresh
}

// sweep forgets the codes and sessions of one call.
func (l *lab) sweep(t *testing.T) {
	t.Helper()
	_, err := l.store.Codes().Sweep(t.Context(), time.Now().Add(time.Hour))
	must(t, err)
	_, err = l.store.Sessions().Sweep(t.Context(), time.Now().Add(2*session.SessionTTL))
	must(t, err)
}
