package xsim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"perch/domain/xapi"
)

// A call is one request to X on its way through the box.
type call struct {
	r        *http.Request
	name     string // action ID, or the name of an OAuth endpoint
	act      xapi.Action
	params   map[string]string
	query    url.Values
	cred     credential
	body     map[string]any // of a JSON body
	upload   received       // of an upload, already counted and hashed
	form     url.Values     // of an OAuth request
	limits   []tally        // rate windows this call counted in
	stream   *connection    // if the action opened one
	executed bool
}

// user is the caller's ID; empty for an app-only call.
func (c *call) user() string { return c.cred.user }

// text returns a string field of the JSON body, or "".
func (c *call) text(name string) string {
	v, _ := c.body[name].(string)
	return v
}

// ids splits a comma-separated query parameter.
func (c *call) ids(name string) []string {
	var ids []string
	for _, v := range strings.Split(c.query.Get(name), ",") {
		if v = strings.TrimSpace(v); v != "" && !slices.Contains(ids, v) {
			ids = append(ids, v)
		}
	}
	return ids
}

// serve answers a call to X's API or to one of its token endpoints.
func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &call{r: r, query: r.URL.Query()}
	endpoint := s.identify(c)
	defer s.hangUp(c)

	rule := s.pick(c)
	if rule != nil && !s.hold(r, rule) {
		return // the client left while we were slow
	}
	var answer reply
	switch {
	case rule.kind().before() && !rule.Execute:
		s.know(c)
		answer = rule.answer(c, s.clock())
	default:
		answer = endpoint(s, c)
		if rule.kind().before() {
			answer = rule.answer(c, s.clock())
		}
	}
	s.record(c, answer, rule)
	s.heads(w.Header(), c, answer, rule, began)
	rule.send(w, r, answer)
}

// identify finds out what is asked and who answers it.
func (s *Sim) identify(c *call) func(*Sim, *call) reply {
	if h, ok := oauthEndpoints()[c.r.URL.Path]; ok {
		c.name = h.name
		c.readForm()
		if h.name == "token" {
			c.name = "token." + c.form.Get("grant_type")
		}
		return h.answer
	}
	act, params, ok := xapi.Find(c.r.Method, c.r.URL.EscapedPath())
	if ok {
		c.name, c.act, c.params = act.ID, act, params
		return (*Sim).perform
	}
	if allowed := xapi.Methods(c.r.URL.EscapedPath()); len(allowed) > 0 {
		return func(*Sim, *call) reply {
			p := blank(http.StatusMethodNotAllowed, "Method Not Allowed")
			p.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
			return p
		}
	}
	return func(*Sim, *call) reply { return blank(http.StatusNotFound, "Not Found") }
}

// know identifies the caller of a call that is not going to be executed, for the ledger.
func (s *Sim) know(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.cred = s.oauth.identify(c.r.Header.Get("Authorization"), s.now())
}

// perform is the story of every action: who asks, may they, how often, and then what.
func (s *Sim) perform(c *call) reply {
	if refusal, ok := s.admit(c); !ok {
		return refusal
	}
	if refusal, ok := s.read(c); !ok {
		return refusal
	}
	c.executed = true
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.routes[c.act.ID](s, c)
	if answer.status == 0 {
		answer.status = c.act.Status()
	}
	s.bill(c, answer)
	return answer
}

// admit checks the credential, the scopes, the windows and the caller's own ID.
func (s *Sim) admit(c *call) (reply, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.act.Public() {
		return reply{}, true
	}
	c.cred = s.oauth.identify(c.r.Header.Get("Authorization"), s.now())
	switch {
	case c.cred.kind == oauth1:
		return legacy(http.StatusUnauthorized, 89, "Invalid or expired token"), false
	case c.cred.kind == nobody:
		return blank(http.StatusUnauthorized, "Unauthorized"), false
	case c.cred.kind == byUser && !c.act.ByUser(), c.cred.kind == byApp && !c.act.ByApp():
		return wrongKind(c.cred.kind, c.act), false
	}
	if full, ok := s.spend(c); !ok {
		return tooMany(full), false
	}
	if c.cred.kind == byUser {
		if missing := lacking(c.cred.scopes, c.act.Needs()); len(missing) > 0 {
			return missingScopes(missing), false
		}
	}
	if c.act.Self != "" && c.params[c.act.Self] != c.user() {
		return invalid(param{c.act.Self, c.params[c.act.Self],
			"The `" + c.act.Self + "` path parameter must be the same as the authenticating user"}), false
	}
	return reply{}, true
}

// lacking lists what is needed and not granted.
func lacking(granted, needed []string) []string {
	var missing []string
	for _, n := range needed {
		if !slices.Contains(granted, n) {
			missing = append(missing, n)
		}
	}
	return missing
}

// clock is now for callers that do not hold the lock.
func (s *Sim) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}
