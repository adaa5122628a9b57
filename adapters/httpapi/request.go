package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"perch/app/access"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/operator"
)

// RequestID is the header under which every reply names its request.
const RequestID = "Perch-Request-Id"

// A request is what one handler sees of a client's request. Its strings are
// copies: Fiber's own change when the next request comes.
type request struct {
	c       *fiber.Ctx
	conn    *conn
	id      string
	began   time.Time
	addr    netip.Addr // the client's, as a trusted proxy names it; IPv4 is never written as IPv6
	method  string
	path    string // canonical, as the client sent it
	query   string
	origin  string
	browser bool
	odd     bool // refused at the door

	unwelcome error // why nothing is done for its address

	route  *route // nil before one is found
	caller access.Caller
	by     operator.Operator // on the operators' listener, once it is known who asks
	event  audit.Event       // what is said of the call besides, on the same listener
	known  bool              // the caller has shown who it is
	left   map[string]string // headers: what is left to the client's address
	body   *body             // nil for none
	shared bool              // the origin may read the reply
	held   bool              // also if the page sent its session cookie along

	ctx    context.Context
	cancel context.CancelCauseFunc
	lent   bool // the reply goes on after the handler and cleans up itself

	mu   sync.Mutex
	stop func() // ends the watch of the connection
	over bool
}

type requestKey struct{}

func from(c *fiber.Ctx) *request {
	r, _ := c.Locals(requestKey{}).(*request)
	return r
}

// begin makes the request of c.
func (s *Server) begin(c *fiber.Ctx) *request {
	r := &request{c: c, id: "req_" + strings.ToLower(rand.Text()), began: time.Now(), method: strings.Clone(c.Method())}
	if r.conn, _ = c.Context().Conn().(*conn); r.conn != nil {
		r.addr = r.conn.addr
		r.conn.busy()
	}
	r.ctx, r.cancel = context.WithCancelCause(s.base)
	r.path = strings.Clone(c.Path())
	c.Locals(requestKey{}, r)
	return r
}

// door is the way every request takes in and out.
func (s *Server) door(c *fiber.Ctx) error {
	r := s.begin(c)
	defer s.finish(r)
	err := s.inside(r)
	s.witness(r, err)
	s.always(r)
	if err == nil {
		s.share(r)
		return nil
	}
	s.shareRefusal(r, err)
	s.refuse(r, err)
	return nil
}

// inside looks at the request and lets its route answer.
func (s *Server) inside(r *request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "").Because(fmt.Errorf("panic: %v", p))
		}
	}()
	if err := s.look(r); err != nil {
		r.odd = true
		return err
	}
	r.unwelcome = s.arrive(r)
	if err = outcome(r.c.Next()); r.unwelcome != nil { // then the route has only said how it refuses
		return r.unwelcome
	}
	return err
}

// look refuses what no honest client sends, and takes down what handlers need.
func (s *Server) look(r *request) error {
	if r.conn == nil {
		return fault.New(fault.Internal, "").Because(errors.New("the connection is not ours"))
	}
	if r.conn.frames.crooked.Load() {
		return malformed("a line does not end in CRLF, or the body is not framed as it must be")
	}
	head := &r.c.Request().Header
	if err := checkHeaders(head.RawHeaders()); err != nil {
		return err
	}
	proto := string(head.Protocol())
	if proto != "HTTP/1.1" && proto != "HTTP/1.0" {
		return malformed("this HTTP version is not spoken here; use HTTP/1.1")
	}
	if host := string(head.Host()); host != "" || proto != "HTTP/1.0" { // which may leave it out
		if err := checkHost(host); err != nil {
			return err
		}
	}
	path, query, err := splitTarget(string(head.RequestURI()))
	if err != nil {
		return err
	}
	if path != r.path { // what is matched must be what was looked at
		return badPath("the path is not in its canonical spelling")
	}
	r.query = query
	r.body = bodyOf(r.c.Context(), r.conn)
	if err := s.whence(r); err != nil {
		return err
	}
	r.origin = r.header(fiber.HeaderOrigin)
	// Sec-Fetch-Mode alone is no sign of a browser: Node's fetch sends it. Browsers send it with the others.
	r.browser = r.origin != "" || r.has("Sec-Fetch-Site") || r.has("Sec-Fetch-Dest") || r.has("Sec-Fetch-User")
	if s.admin && r.origin != "" {
		return fault.New(fault.Forbidden, "browsers may not call the operators' interface from a page").
			Named(originNotAllowed)
	}
	return nil
}

// outcome turns Fiber's own refusals into faults.
func outcome(err error) error {
	fe, ok := errors.AsType[*fiber.Error](err)
	if !ok {
		return err
	}
	switch fe.Code {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "there is nothing at this path").Named("no-such-path")
	case http.StatusMethodNotAllowed:
		return fault.New(fault.WrongMethod, "this path does not take the method; Allow lists those it takes")
	}
	return fault.New(fault.Internal, "").Because(err)
}

// header returns a copy of the named header, "" if it is missing.
func (r *request) header(name string) string { return strings.Clone(r.c.Get(name)) }

// joined returns the lines of the named header as one list (RFC 9110 section 5.3).
func (r *request) joined(name string) string {
	return string(bytes.Join(r.c.Request().Header.PeekAll(name), []byte(", ")))
}

func (r *request) has(name string) bool { return len(r.c.Request().Header.Peek(name)) > 0 }

// wants reports whether the client asks for the media type by name.
func (r *request) wants(mediaType string) bool {
	for _, part := range strings.Split(r.header(fiber.HeaderAccept), ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), mediaType) {
			return !strings.EqualFold(strings.TrimSpace(params), "q=0")
		}
	}
	return false
}

// under puts the request under another parent. It comes before anything that
// may cancel it.
func (r *request) under(parent context.Context) {
	r.cancel(nil)
	r.ctx, r.cancel = context.WithCancelCause(parent)
}

// within bounds the time until the answer begins. done lifts the bound.
func (r *request) within(d time.Duration) (done func()) {
	t := time.AfterFunc(d, func() { r.cancel(context.DeadlineExceeded) })
	r.ctx = due{r.ctx, time.Now().Add(d)}
	return func() { t.Stop() }
}

// due is a context whose deadline can be lifted; it says when that is, so that
// nobody begins what cannot be done in time.
type due struct {
	context.Context
	at time.Time
}

func (d due) Deadline() (time.Time, bool) { return d.at, true }

// watch cancels the request when the client leaves. It is called once all of
// the request has been read.
func (r *request) watch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.stop != nil {
		return
	}
	r.stop = r.conn.watch(func() { r.cancel(errGone) })
}

var errGone = errors.New("the client has gone")

// finish settles the body and, unless the reply goes on, everything else.
func (s *Server) finish(r *request) {
	half := r.body != nil && !r.body.detach()
	if half || r.odd {
		r.c.Context().Response.SetConnectionClose()
	}
	if r.conn != nil {
		if half || r.odd {
			r.conn.unread.Store(true)
		}
		if !r.known || r.odd {
			r.conn.missable()
		}
		_ = r.conn.SetWriteDeadline(time.Now().Add(s.patienceFor(r)))
	}
	if !r.lent {
		r.end()
	}
}

// patienceFor is how long the reply may take: all of a small one, or the first
// piece of one that X sends.
func (s *Server) patienceFor(r *request) time.Duration {
	if !r.lent && len(r.c.Response().Body()) <= smallReply {
		return s.wait.reply
	}
	return s.wait.write
}

// smallReply is what is taken at once by whoever reads.
const smallReply = 64 << 10

// end gives back what the request holds. Afterwards the connection may be read
// again.
func (r *request) end() {
	r.mu.Lock()
	r.over = true
	stop := r.stop
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
	if r.conn != nil {
		r.conn.done.Store(true)
	}
	r.cancel(nil)
}

// always sets the headers that every reply has. A handler may have set others.
func (s *Server) always(r *request) {
	h := &r.c.Response().Header
	h.Set(RequestID, r.id)
	h.Set(fiber.HeaderVary, fiber.HeaderOrigin)
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	h.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	h.Set(fiber.HeaderXFrameOptions, "DENY")
	if len(h.Peek(fiber.HeaderContentSecurityPolicy)) == 0 {
		h.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	}
	if len(h.Peek(fiber.HeaderCacheControl)) == 0 {
		h.Set(fiber.HeaderCacheControl, "no-store")
	}
	if s.secure() {
		h.Set(fiber.HeaderStrictTransportSecurity, "max-age=31536000")
	}
}

// malformed answers what fasthttp could not read. Its error may quote the
// request, secrets included, so nothing of it is kept.
func (s *Server) malformed(c *fiber.Ctx, err error) error {
	refusal := malformed("the request is not HTTP as RFC 9112 has it")
	if fe, ok := errors.AsType[*fiber.Error](err); ok {
		switch fe.Code {
		case http.StatusRequestHeaderFieldsTooLarge:
			refusal = fault.New(fault.Invalid, "the request's header is larger than %d bytes", maxHeader).
				Named(largeHeaders)
		case http.StatusRequestTimeout, http.StatusBadGateway:
			refusal = fault.New(fault.Invalid, "the request did not arrive in time").Named(slowBody)
		}
	}
	s.turnAway(c, refusal)
	return nil
}

// turnAway refuses what no route can see.
func (s *Server) turnAway(c *fiber.Ctx, refusal error) {
	r := s.begin(c)
	r.odd, r.path = true, ""
	defer s.finish(r)
	s.witness(r, refusal)
	s.always(r)
	s.refuse(r, refusal)
}

// known refuses methods that Fiber does not know, which it would answer itself.
func (s *Server) known(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(fc *fasthttp.RequestCtx) {
		if slices.Contains(fiber.DefaultMethods, string(fc.Method())) {
			next(fc)
			return
		}
		c := s.app.AcquireCtx(fc)
		defer s.app.ReleaseCtx(c)
		s.turnAway(c, malformed("the method is unknown"))
	}
}
