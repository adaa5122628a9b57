package xsim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// object is a JSON object.
type object = map[string]any

// A reply is what the box has decided to say, before mischief has its turn.
type reply struct {
	status  int
	header  http.Header // in addition to the usual ones
	kind    string      // content type; empty means application/json
	body    any         // marshalled as JSON, unless raw is set
	raw     []byte
	empty   bool                                         // no body at all
	endless func(w http.ResponseWriter, r *http.Request) // a stream, instead of a body
}

// data is a reply with the action's own status of success.
func data(v any) reply { return reply{body: object{"data": v}} }

// payload is the body as it goes out.
func (a reply) payload() []byte {
	switch {
	case a.empty:
		return nil
	case a.raw != nil:
		return a.raw
	}
	b, err := json.Marshal(a.body)
	if err != nil {
		panic(fmt.Sprintf("xsim: a reply cannot be marshalled: %v", err))
	}
	return b
}

func (a reply) contentType() string {
	if a.kind == "" {
		return "application/json; charset=utf-8"
	}
	return a.kind
}

// heads sets the headers X sends with every reply.
func (s *Sim) heads(h http.Header, c *call, a reply, rule *rule, began time.Time) {
	h.Set("X-Transaction-Id", transaction())
	h.Set("X-Response-Time", strconv.FormatInt(time.Since(began).Milliseconds(), 10))
	h.Set("Api-Version", "2.167")
	h.Set("Server", "cloudflare envoy")
	h.Add("Set-Cookie", "guest_id=v1%3A"+transaction()+"; Max-Age=34214400; Path=/; Secure; SameSite=None")
	h.Add("Set-Cookie", "__cf_bm="+transaction()+"; Path=/; HttpOnly; Secure; SameSite=None")
	h.Set("Cache-Control", "no-cache, no-store, max-age=0")
	if !a.empty {
		h.Set("Content-Type", a.contentType())
	}
	if rule.kind() != "rate_limit_bare" {
		s.limitHeaders(h, c)
	}
	for name, values := range a.header {
		h[name] = values
	}
}

// transaction is a name for one reply, as X puts into x-transaction-id.
func transaction() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x", b)
}

// stamp is a time as X prints it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
