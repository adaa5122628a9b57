package xsim

import (
	"crypto/subtle"
	"net/http"
)

// revoke ends a token: an access token alone, a refresh token with its whole family.
// A token nobody knows is as good as revoked (RFC 7009, 2.2).
func (s *Sim) revoke(c *call) reply {
	if c.r.Method != http.MethodPost {
		return blank(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app, refused, ok := s.client(c)
	if !ok {
		return refused
	}
	token := c.form.Get("token")
	if token == "" {
		return badToken("Missing required parameter [token].")
	}
	c.executed = true
	f := s.familyOf(token)
	if f == nil {
		return reply{status: http.StatusOK, body: object{"revoked": true}}
	}
	if f.app != app.ClientID {
		return badToken("Value passed for the token was invalid.")
	}
	c.cred.user = f.user
	if a, ok := s.oauth.access[token]; ok {
		a.revoked = true
		s.note("token.revoked", f.app, f.user, f.id, details{"access_fp": Fingerprint(token), "family": f.id})
	} else {
		s.note("token.revoked", f.app, f.user, f.id, details{"refresh_fp": Fingerprint(token), "family": f.id})
		s.kill(f, "its refresh token was revoked")
	}
	return reply{status: http.StatusOK, body: object{"revoked": true}}
}

func (s *Sim) familyOf(token string) *family {
	if a, ok := s.oauth.access[token]; ok {
		return a.family
	}
	if r, ok := s.oauth.refresh[token]; ok {
		return r.family
	}
	return nil
}

// appToken answers with the app's one bearer, always the same until it is invalidated.
func (s *Sim) appToken(c *call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.byAPIKey(c)
	if c.r.Method != http.MethodPost || app == nil || c.form.Get("grant_type") != "client_credentials" {
		return unverified()
	}
	c.executed = true
	s.note("app_token.issued", app.ClientID, "", app.ID, details{"access_fp": Fingerprint(app.Bearer)})
	return reply{status: http.StatusOK, body: object{"token_type": "bearer", "access_token": app.Bearer}}
}

// appInvalidate ends the app's bearer; the next call of appToken mints another.
func (s *Sim) appInvalidate(c *call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.byAPIKey(c)
	shown := c.form.Get("access_token")
	if c.r.Method != http.MethodPost || app == nil || shown == "" || shown != app.Bearer {
		return unverified()
	}
	c.executed = true
	app.Bearer = mint("bearer")
	s.note("app_token.invalidated", app.ClientID, "", app.ID, details{"access_fp": Fingerprint(shown)})
	return reply{status: http.StatusOK, body: object{"access_token": shown}}
}

func (s *Sim) byAPIKey(c *call) *App {
	key, secret, ok := c.r.BasicAuth()
	if !ok {
		return nil
	}
	for _, a := range s.oauth.apps {
		if a.APIKey == unescaped(key) && a.APIKey != "" &&
			subtle.ConstantTimeCompare([]byte(a.APISecret), []byte(unescaped(secret))) == 1 {
			c.cred.app = a.ClientID
			return a
		}
	}
	return nil
}

// unverified is what the older endpoint says to everything it does not like.
func unverified() reply {
	return reply{status: http.StatusForbidden, body: object{"errors": []object{{
		"code": 99, "label": "authenticity_token_error", "message": "Unable to verify your credentials",
	}}}}
}
