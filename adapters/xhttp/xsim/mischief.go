package xsim

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"perch/domain/xapi"
)

// Mischief is a rule by which the box misbehaves.
type Mischief struct {
	ID          string        `json:"id,omitempty"`          // given by the box if empty
	Match       string        `json:"match"`                 // action ID, path prefix, token, or * (the default)
	Method      string        `json:"method,omitempty"`      // only this method
	Kind        string        `json:"kind"`                  // one of Kinds
	Status      int           `json:"status,omitempty"`      // of kinds status and html
	Times       int           `json:"times,omitempty"`       // how often; zero: until removed
	After       int           `json:"after,omitempty"`       // let so many matching calls pass first
	Probability float64       `json:"probability,omitempty"` // zero: always
	Seed        uint64        `json:"seed,omitempty"`        // of the dice behind Probability
	Delay       time.Duration `json:"-"`                     // before the reply; on the wire "2s"
	Bytes       int           `json:"bytes,omitempty"`       // of kind wrong_length: added to the true length
	Execute     bool          `json:"execute,omitempty"`     // let kinds that replace the reply execute the call first
}

// A kind of mischief.
type kind string

// Kinds lists every kind of mischief.
func Kinds() []string {
	return []string{
		"status", "outage", "unauthorized", "rate_limit", "rate_limit_bare", "usage_cap", "no_credits", "refused", "html",
		"slow", "slow_body", "torn", "lost", "wrong_length", "empty_refresh",
	}
}

// before reports whether the kind answers in place of X, so that nothing is executed.
func (k kind) before() bool {
	return k != "" && slices.Contains(Kinds()[:9], string(k))
}

// A rule is mischief at work.
type rule struct {
	Mischief
	seen, done int
	dice       *rand.Rand
}

// troubles are the rules of a box, in order.
type troubles struct {
	rules []*rule
	n     int
}

// Mischief adds a rule. It panics if the rule makes no sense, such as an unknown
// kind or a match that no call has. Rules that cut the connection need a real server: they end the handler
// with http.ErrAbortHandler, which a recorder does not catch.
func (s *Sim) Mischief(m Mischief) {
	if _, err := s.addMischief(m); err != nil {
		panic(err)
	}
}

// ClearMischief removes every rule.
func (s *Sim) ClearMischief() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble.rules = nil
}

func (s *Sim) addMischief(m Mischief) (Mischief, error) {
	if !slices.Contains(Kinds(), m.Kind) {
		return m, fmt.Errorf("xsim: there is no mischief of kind %q; there are %s", m.Kind, strings.Join(Kinds(), ", "))
	}
	if m.Kind == "status" && (m.Status < 200 || m.Status > 599) {
		return m, fmt.Errorf("xsim: mischief of kind status needs a status from 200 to 599")
	}
	if (m.Kind == "slow" || m.Kind == "slow_body") && m.Delay <= 0 {
		return m, fmt.Errorf("xsim: mischief of kind %s needs a delay such as 2s", m.Kind)
	}
	if m.Match == "" {
		m.Match = "*"
	}
	if !known(m.Match) {
		return m, fmt.Errorf("xsim: mischief matches %q, which no call is named; write an operation ID such as createPosts, "+
			"a path prefix such as /2/users, token, token.refresh_token, token.authorization_code, revoke, app_token, "+
			"app_invalidate or *", m.Match)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble.n++
	if m.ID == "" {
		m.ID = "m" + strconv.Itoa(s.trouble.n)
	}
	dice := rand.New(rand.NewPCG(m.Seed, m.Seed)) //nolint:gosec // dice that repeat are the point
	s.trouble.rules = append(s.trouble.rules, &rule{Mischief: m, dice: dice})
	return m, nil
}

// known reports whether there can be a call of that name.
func known(match string) bool {
	for _, h := range oauthEndpoints() {
		if h.name == match {
			return true
		}
	}
	_, action := xapi.ByID(match)
	return action || match == "*" || strings.HasPrefix(match, "/") || strings.HasPrefix(match, "token.")
}

// pick returns the first rule that wants this call. Every matching rule counts it.
func (s *Sim) pick(c *call) *rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var chosen *rule
	for _, t := range s.trouble.rules {
		if !t.matches(c) {
			continue
		}
		t.seen++
		if chosen != nil || t.seen <= t.After || (t.Times > 0 && t.done >= t.Times) {
			continue
		}
		if t.Probability > 0 && t.dice.Float64() >= t.Probability {
			continue
		}
		t.done++
		taken := *t // the reply is written without the lock
		chosen = &taken
	}
	return chosen
}

func (t *rule) matches(c *call) bool {
	if t.Method != "" && !strings.EqualFold(t.Method, c.r.Method) {
		return false
	}
	switch t.Match {
	case "*", c.name:
		return true
	case "token":
		return c.r.URL.Path == "/2/oauth2/token"
	}
	return strings.HasPrefix(t.Match, "/") && strings.HasPrefix(c.r.URL.Path, t.Match)
}

// kind is the kind of a rule; no rule has none.
func (t *rule) kind() kind {
	if t == nil {
		return ""
	}
	return kind(t.Kind)
}

// hold waits as long as the rule says, and reports whether the client is still there.
func (s *Sim) hold(r *http.Request, t *rule) bool {
	if t.Delay <= 0 || t.Kind == "slow_body" {
		return true
	}
	return pause(r, t.Delay)
}

// pause waits unless the client leaves first.
func pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
