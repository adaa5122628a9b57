package xsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is what a rule says in place of X.
func (t *rule) answer(c *call, now time.Time) reply {
	oauth := strings.Contains(c.r.URL.Path, "oauth2/")
	switch t.kind() {
	case "outage":
		return blank(http.StatusServiceUnavailable, "Service Unavailable")
	case "unauthorized":
		if oauth {
			return oauthError(http.StatusUnauthorized, "unauthorized_client", "Missing valid authorization header")
		}
		return blank(http.StatusUnauthorized, "Unauthorized")
	case "rate_limit":
		a := blank(http.StatusTooManyRequests, "Too Many Requests")
		a.header = exhausted(now)
		return a
	case "rate_limit_bare":
		return legacy(http.StatusTooManyRequests, 88, "Rate limit exceeded")
	case "usage_cap":
		return usageCapped(now)
	case "no_credits":
		return problem(http.StatusPaymentRequired, "credits-depleted", "CreditsDepleted",
			"Your enrolled account does not have any credits to fulfill this request.", nil)
	case "html":
		return t.html()
	case "status":
		if oauth && t.Status >= 400 {
			return oauthError(t.Status, "invalid_request", http.StatusText(t.Status))
		}
		return blank(t.Status, http.StatusText(t.Status))
	}
	return reply{status: 0} // refused: nobody will read it
}

func exhausted(now time.Time) http.Header {
	h := http.Header{}
	h.Set("X-Rate-Limit-Limit", "1")
	h.Set("X-Rate-Limit-Remaining", "0")
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(now.Add(15*time.Minute).Unix(), 10))
	return h
}

// usageCapped is a 429 that no window explains.
func usageCapped(now time.Time) reply {
	a := problem(http.StatusTooManyRequests, "usage-capped", "UsageCapExceeded",
		"Usage cap exceeded: Monthly product cap",
		object{"period": "Monthly", "scope": "Product", "account_id": "1", "product_name": "simulated"})
	a.header = exhausted(now)
	a.header.Set("X-Rate-Limit-Limit", "100")
	a.header.Set("X-Rate-Limit-Remaining", "99")
	return a
}

func (t *rule) html() reply {
	status := t.Status
	if status == 0 {
		status = http.StatusBadGateway
	}
	page := "<!doctype html><html><head><title>" + http.StatusText(status) +
		"</title></head><body><h1>Something went wrong.</h1></body></html>\n"
	return reply{status: status, kind: "text/html; charset=utf-8", raw: []byte(page)}
}

// send writes the reply, well or badly.
func (t *rule) send(w http.ResponseWriter, r *http.Request, a reply) {
	switch t.kind() {
	case "refused", "lost":
		panic(http.ErrAbortHandler) // net/http cuts the connection without a word
	case "empty_refresh":
		a = withoutRefresh(a)
	}
	if a.endless != nil {
		if t.kind() == "torn" {
			tear(w, a.status, []byte(`{"data":{"id":"1","te`), 0)
		}
		a.endless(w, r)
		return
	}
	body := a.payload()
	switch t.kind() {
	case "torn":
		tear(w, a.status, body[:len(body)/2], len(body))
	case "wrong_length":
		t.misstate(w, a.status, body)
	case "slow_body":
		t.trickle(w, r, a.status, body)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(a.status)
		_, _ = w.Write(body) // the client may be gone; there is nobody to tell
	}
}

// tear sends half a reply and cuts the connection.
func tear(w http.ResponseWriter, status int, half []byte, whole int) {
	if whole > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(whole))
	}
	w.WriteHeader(status)
	_, _ = w.Write(half)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// misstate declares a length that is not the body's. A shorter one cuts the
// body off and ends cleanly; a longer one leaves the client waiting for more.
func (t *rule) misstate(w http.ResponseWriter, status int, body []byte) {
	by := t.Bytes
	if by == 0 {
		by = 64
	}
	declared := max(0, len(body)+by)
	w.Header().Set("Content-Length", strconv.Itoa(declared))
	w.WriteHeader(status)
	_, _ = w.Write(body[:min(len(body), declared)])
}

// trickle spreads the body over the rule's delay.
func (t *rule) trickle(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	const pieces = 8
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	control := http.NewResponseController(w)
	_ = control.Flush() // the headers come at once
	size := max(1, (len(body)+pieces-1)/pieces)
	for len(body) > 0 {
		if !pause(r, t.Delay/pieces) {
			return
		}
		n := min(size, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return
		}
		body = body[n:]
		_ = control.Flush()
	}
}

// withoutRefresh takes the refresh token out of a token reply.
func withoutRefresh(a reply) reply {
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(a.payload()))
	dec.UseNumber()
	if a.endless != nil || dec.Decode(&fields) != nil {
		return a
	}
	delete(fields, "refresh_token")
	a.body, a.raw = fields, nil
	return a
}
