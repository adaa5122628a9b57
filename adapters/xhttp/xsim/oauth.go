package xsim

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// An oauthEndpoint answers under a fixed path; its name is what mischief and the ledger call it.
type oauthEndpoint struct {
	name   string
	answer func(*Sim, *call) reply
}

func oauthEndpoints() map[string]oauthEndpoint {
	return map[string]oauthEndpoint{
		"/2/oauth2/token":          {"token", (*Sim).tokenEndpoint},
		"/2/oauth2/revoke":         {"revoke", (*Sim).revoke},
		"/oauth2/token":            {"app_token", (*Sim).appToken},
		"/oauth2/invalidate_token": {"app_invalidate", (*Sim).appInvalidate},
	}
}

// readForm takes the fields of an OAuth request, form or JSON; both are in use.
func (c *call) readForm() {
	c.form = url.Values{}
	raw, err := io.ReadAll(io.LimitReader(c.r.Body, 64<<10))
	if err != nil {
		return
	}
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if kind != "application/json" {
		if form, err := url.ParseQuery(string(raw)); err == nil {
			c.form = form
		}
		return
	}
	var fields map[string]any
	if json.Unmarshal(raw, &fields) != nil {
		return
	}
	for k, v := range fields {
		if text, ok := v.(string); ok {
			c.form.Set(k, text)
		}
	}
}

// client authenticates the app: a confidential one by HTTP Basic, a public one by its client_id.
func (s *Sim) client(c *call) (*App, reply, bool) {
	refused := oauthError(http.StatusUnauthorized, "unauthorized_client", "Missing valid authorization header")
	id, secret, basic := c.r.BasicAuth()
	if !basic {
		app, ok := s.oauth.apps[c.form.Get("client_id")]
		if !ok || !app.public() {
			return nil, refused, false
		}
		c.cred.app = app.ClientID
		return app, reply{}, true
	}
	app, ok := s.oauth.apps[unescaped(id)]
	if !ok || app.public() || subtle.ConstantTimeCompare([]byte(app.ClientSecret), []byte(unescaped(secret))) != 1 {
		return nil, refused, false
	}
	c.cred.app = app.ClientID
	return app, reply{}, true
}

// unescaped undoes the form encoding RFC 6749 asks for inside HTTP Basic.
func unescaped(v string) string {
	if u, err := url.QueryUnescape(v); err == nil {
		return u
	}
	return v
}

func (s *Sim) tokenEndpoint(c *call) reply {
	if c.r.Method != http.MethodPost {
		return blank(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app, refused, ok := s.client(c)
	if !ok {
		return refused
	}
	c.executed = true
	switch grant := c.form.Get("grant_type"); grant {
	case "authorization_code":
		return s.exchange(c, app)
	case "refresh_token":
		return s.rotate(c, app)
	case "":
		return badToken("Missing required parameter [grant_type].")
	default:
		return oauthError(http.StatusBadRequest, "unsupported_grant_type",
			"Value passed for the grant_type was invalid.")
	}
}

func badToken(description string) reply {
	return oauthError(http.StatusBadRequest, "invalid_request", description)
}

// exchange turns an authorization code into the first tokens of a family.
func (s *Sim) exchange(c *call, app *App) reply {
	for _, name := range []string{"code", "redirect_uri", "code_verifier"} {
		if c.form.Get(name) == "" {
			return badToken("Missing required parameter [" + name + "].")
		}
	}
	code, ok := s.oauth.codes[c.form.Get("code")]
	const invalidCode = "Value passed for the authorization code was invalid."
	if !ok || code.app != app.ClientID {
		return badToken(invalidCode)
	}
	c.cred.user = code.user
	switch {
	case code.used:
		s.note("code.replayed", app.ClientID, code.user, "", nil)
		return badToken(invalidCode)
	case !s.now().Before(code.expires):
		s.note("code.expired", app.ClientID, code.user, "", nil)
		return badToken(invalidCode)
	case code.redirect != c.form.Get("redirect_uri"):
		return badToken("Value passed for the redirect uri did not match the uri of the authorization code.")
	case !proves(c.form.Get("code_verifier"), code.challenge, code.method):
		return badToken("Value passed for the code verifier did not match the code challenge.")
	}
	code.used = true
	f := s.found(app.ClientID, code.user, code.scopes)
	t := s.issue(f)
	s.note("token.issued", app.ClientID, code.user, f.id, traces(t, f))
	return granted(t)
}

// proves checks a PKCE verifier against its challenge (RFC 7636, 4.6).
func proves(verifier, challenge, method string) bool {
	if method == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(verifier), []byte(challenge)) == 1
}

// rotate spends a refresh token. Whoever shows it again loses the whole family.
func (s *Sim) rotate(c *call, app *App) reply {
	shown := c.form.Get("refresh_token")
	if shown == "" {
		return badToken("Missing required parameter [refresh_token].")
	}
	const invalidToken = "Value passed for the token was invalid."
	old, ok := s.oauth.refresh[shown]
	if !ok || old.family.app != app.ClientID {
		return badToken(invalidToken)
	}
	f := old.family
	c.cred.user = f.user
	if old.spent {
		s.note("token.replayed", f.app, f.user, f.id, details{"refresh_fp": Fingerprint(shown), "family": f.id})
		s.kill(f, "a spent refresh token was shown again")
		return badToken(invalidToken)
	}
	if f.dead {
		return badToken(invalidToken)
	}
	old.spent = true
	t := s.issue(f)
	more := traces(t, f)
	more["old_refresh_fp"] = Fingerprint(shown)
	s.note("token.refreshed", f.app, f.user, f.id, more)
	return granted(t)
}

// granted is the body of a successful token reply.
func granted(t Token) reply {
	body := object{"token_type": "bearer", "expires_in": t.ExpiresIn, "access_token": t.Access, "scope": t.Scope}
	if t.Refresh != "" {
		body["refresh_token"] = t.Refresh
	}
	return reply{status: http.StatusOK, body: body}
}
