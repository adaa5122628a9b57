package httpapi

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/app/sessions"
	"perch/domain/fault"
)

const (
	problemJSON = "application/problem+json"
	plainJSON   = "application/json"
)

// Slugs of faults that are told apart here.
const (
	slowBody          = "slow-request"
	largeHeaders      = "large-headers"
	noCredential      = "no-credential" //nolint:gosec // says that there is none
	insufficientScope = "insufficient-scope"
	originNotAllowed  = "origin-not-allowed"
	xRateLimit        = "x-rate-limit"
	xUsageCap         = "x-usage-cap"
	xOutOfCredits     = "x-out-of-credits"
	noSession         = "no-session"
	keyReused         = "idempotency-key-reused"
)

// typePrefix is what every problem type begins with.
const typePrefix = "urn:perch:problem:"

// A form is how a kind of fault looks from outside.
type form struct {
	status int
	slug   string // where the fault has none
	title  string
}

// forms is the one table from kinds to statuses.
var forms = map[fault.Kind]form{
	fault.Internal:        {http.StatusInternalServerError, "internal", "Something went wrong inside Perch"},
	fault.Invalid:         {http.StatusBadRequest, "invalid-request", "Invalid request"},
	fault.Unauthenticated: {http.StatusUnauthorized, "unauthenticated", "Not authenticated"},
	fault.Forbidden:       {http.StatusForbidden, "forbidden", "Not allowed"},
	fault.NotFound:        {http.StatusNotFound, "not-found", "Not found"},
	fault.WrongMethod:     {http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed"},
	fault.Conflict:        {http.StatusConflict, "conflict", "Conflict"},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, "too-large", "Too large"},
	fault.Limited:         {http.StatusTooManyRequests, "limited", "Limit reached"},
	fault.Upstream:        {http.StatusBadGateway, "upstream", "Unusable answer from X"},
	fault.Unavailable:     {http.StatusServiceUnavailable, "unavailable", "Unavailable"},
}

// slugForms are the faults for which HTTP has a status of its own.
var slugForms = map[string]form{
	slowBody:     {http.StatusRequestTimeout, slowBody, "Request timeout"},
	largeHeaders: {http.StatusRequestHeaderFieldsTooLarge, largeHeaders, "Headers too large"},
	keyReused:    {http.StatusUnprocessableEntity, keyReused, "Idempotency-Key reused"},

	xRateLimit:    {http.StatusTooManyRequests, xRateLimit, "Rate limit of X"},
	xUsageCap:     {http.StatusTooManyRequests, xUsageCap, "Usage cap of X"},
	xOutOfCredits: {http.StatusPaymentRequired, xOutOfCredits, "Out of credits at X"},
}

const internalDetail = "Perch could not do this because of a fault of its own; " +
	"try again, and give the operator the instance if it lasts"

// A problem is an RFC 9457 document on its way.
type problem struct {
	form
	fault *fault.Error
}

func problemOf(err error) problem {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		f = &fault.Error{Kind: fault.KindOf(err)}
	}
	p := problem{forms[f.Kind], f}
	if special, ok := slugForms[f.Slug]; ok {
		p.form = special
	}
	if f.Slug != "" {
		p.slug = f.Slug
	}
	return p
}

// detail is what is said aloud.
func (p problem) detail() string {
	switch {
	case p.fault.Kind == fault.Internal:
		return internalDetail
	case p.fault.Say == "":
		return p.title
	}
	return p.fault.Say
}

// members returns the document.
func (p problem) members(instance string) map[string]any {
	m := map[string]any{}
	if p.fault.Kind != fault.Internal {
		for name, value := range p.fault.Extra {
			m[name] = value
		}
	}
	m["type"], m["title"], m["status"] = typePrefix+p.slug, p.title, p.status
	m["detail"], m["instance"] = p.detail(), instance
	return m
}

// headers sets what belongs to the status.
func (s *Server) headers(r *request, p problem) {
	if p.fault.Wait > 0 {
		r.c.Set(fiber.HeaderRetryAfter, strconv.FormatInt(roundUp(p.fault.Wait), 10))
	}
	for name, value := range p.fault.Head {
		r.c.Set(name, value)
	}
	if challenge := s.challenge(r, p); challenge != "" {
		r.c.Set(fiber.HeaderWWWAuthenticate, challenge)
	}
}

func roundUp(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// plainly keeps what may stand in a quoted string of a header.
func plainly(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			b[i] = '\''
		}
	}
	return string(b)
}

// refuse answers with the problem that err is, in the form the route speaks.
func (s *Server) refuse(r *request, err error) {
	p := problemOf(err)
	s.logProblem(r, p, err)
	s.headers(r, p)
	if r.route != nil && r.route.guard == guardAction {
		s.leave(r)
	}
	r.c.Status(p.status)
	var back string
	refusal, redirected := errors.AsType[*sessions.Refusal](err)
	if redirected {
		back = refusal.URL
	}
	switch {
	case redirected && !refusal.Page:
		r.c.Status(http.StatusFound)
		r.c.Set(fiber.HeaderLocation, refusal.URL)
		r.json(problemJSON, p.members(r.id))
	case r.route != nil && r.route.speaks == oauthErrors:
		s.refuseOAuth(r, p, err)
	case r.route != nil && r.route.speaks == pages && r.wants("text/html"):
		s.refusePage(r, p, back)
	default:
		r.json(problemJSON, p.members(r.id))
	}
}

func (s *Server) logProblem(r *request, p problem, err error) {
	if p.status < http.StatusInternalServerError {
		if s.noticed(r, p) {
			s.notice(r, p, err)
		}
		return
	}
	level := slog.LevelError
	if p.fault.Kind != fault.Internal {
		level = slog.LevelWarn
	}
	s.log.Log(r.ctx, level, "request refused", "request", r.id, "method", r.method, "path", clip(r.path, 200),
		"status", p.status, "problem", p.slug, "err", err)
}

// json answers with v; the status stays as it was set.
func (r *request) json(contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil { // only a programming mistake can do that
		r.c.Status(http.StatusInternalServerError)
		b = []byte(`{}`)
	}
	r.c.Set(fiber.HeaderContentType, contentType)
	r.c.Response().SetBodyRaw(append(b, '\n'))
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
