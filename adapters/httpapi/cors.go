package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/domain/client"
	"perch/domain/fault"
)

// What pages may send and read, the same for all. The origin is always named
// exactly; credentials are for cookie mode alone.
const (
	sendable = "Authorization, Content-Type, Accept, Accept-Language, Idempotency-Key, Perch-Grant, X-Csrf-Token, DPoP, " +
		"Cache-Control, Prefer, " + deliverWithin
	readable = "x-rate-limit-limit, x-rate-limit-remaining, x-rate-limit-reset, " +
		"x-user-limit-24hour-limit, x-user-limit-24hour-remaining, x-user-limit-24hour-reset, " +
		"x-app-limit-24hour-limit, x-app-limit-24hour-remaining, x-app-limit-24hour-reset, " +
		"x-transaction-id, retry-after, " + RequestID + ", WWW-Authenticate, DPoP-Nonce, Age, Cache-Status, " +
		"RateLimit, RateLimit-Policy, Perch-Cost, Perch-Problem, Idempotency-Replayed, Link, Location, Preference-Applied"
	preflightTTL = "600" // seconds
)

// refusalWait is how long a refusal waits to learn which page may read it. The
// store may be what failed.
const refusalWait = 500 * time.Millisecond

// privateNetwork are the headers by which a browser asks whether a page of the
// open internet may reach into a private network (Private Network Access).
var privateNetwork = []string{"Access-Control-Request-Private-Network", "Access-Control-Request-Local-Network"}

// preflight answers a browser that asks whether a page may call with one of the
// methods. It brings no credential, so the origin alone decides: some active
// application must name it, and one in cookie mode where cookies are to count.
func (s *Server) preflight(r *request, row route, methods string) error {
	r.route = &row
	if !r.isPreflight() {
		return fault.New(fault.WrongMethod, "OPTIONS is for preflights, which have Origin and "+
			"Access-Control-Request-Method")
	}
	for _, name := range privateNetwork {
		if r.has(name) {
			return fault.New(fault.Forbidden, "pages of the open internet may not reach this Perch in a private network; "+
				"give it a public address, or serve the page from the same network").Named("private-network")
		}
	}
	defer r.within(s.wait.answer)()
	if err := s.listed(r.ctx, r); err != nil {
		return err
	}
	if !r.shared {
		return notListed()
	}
	r.c.Status(http.StatusNoContent)
	r.c.Set(fiber.HeaderAccessControlAllowMethods, methods)
	r.c.Set(fiber.HeaderAccessControlAllowHeaders, sendable)
	r.c.Set(fiber.HeaderAccessControlMaxAge, preflightTTL)
	return nil
}

func notListed() error {
	return fault.New(fault.Forbidden, "no client application allows calls from this origin; "+
		"an operator can add it").Named(originNotAllowed)
}

// listed finds out whether some active application allows calls from the origin.
// A page of an application in cookie mode may read with credentials what it asked
// without a token.
func (s *Server) listed(ctx context.Context, r *request) error {
	origin, err := client.ParseOrigin(r.origin)
	if err != nil {
		return nil //nolint:nilerr // what is no origin is in no list
	}
	l, err := s.services.Clients.Listed(ctx, origin)
	r.shared = l.Any
	r.held = l.Cookies && (r.route == nil || r.route.cors == shareOwn) && !r.has(fiber.HeaderAuthorization)
	return err
}

// mayShare finds out whether the page that calls may read the reply, where that
// does not follow from who the caller is.
func (s *Server) mayShare(r *request) error {
	if r.origin == "" || r.shared || r.route.cors == shareNobody {
		return nil
	}
	if err := s.listed(r.ctx, r); err != nil {
		return err
	}
	if !r.shared && r.route.guard == guardClient {
		return notListed()
	}
	return nil
}

// share lets the page read the reply, if it may.
func (s *Server) share(r *request) {
	if !r.shared {
		return
	}
	r.c.Set(fiber.HeaderAccessControlAllowOrigin, r.origin)
	r.c.Set(fiber.HeaderAccessControlExposeHeaders, readable)
	if r.held {
		r.c.Set(fiber.HeaderAccessControlAllowCredentials, "true")
	}
}

// shareRefusal lets a page read why it was refused: developers should see a
// problem, not a CORS error. A page of another application may not, and nobody
// reads the refusal of a preflight.
func (s *Server) shareRefusal(r *request, err error) {
	if r.method == http.MethodOptions {
		return
	}
	if r.origin != "" && !r.shared && fault.SlugOf(err) != originNotAllowed &&
		(r.route == nil || r.route.cors != shareNobody) {
		ctx, cancel := context.WithTimeout(r.ctx, refusalWait)
		defer cancel()
		_ = s.listed(ctx, r) // an error here hides the refusal, no more
	}
	s.share(r)
}
