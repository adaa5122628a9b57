package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/domain/client"
	"perch/domain/fault"
)

// What pages may send and read, the same for all. There are no cookies in it,
// so credentials are never allowed, and the origin is always named exactly.
const (
	sendable = "Authorization, Content-Type, Accept, Accept-Language, Idempotency-Key, Perch-Grant, X-Csrf-Token, DPoP"
	readable = "x-rate-limit-limit, x-rate-limit-remaining, x-rate-limit-reset, " +
		"x-user-limit-24hour-limit, x-user-limit-24hour-remaining, x-user-limit-24hour-reset, " +
		"x-app-limit-24hour-limit, x-app-limit-24hour-remaining, x-app-limit-24hour-reset, " +
		"x-transaction-id, retry-after, " + RequestID + ", WWW-Authenticate, DPoP-Nonce"
	callable = "GET, POST, PUT, DELETE"
)

// refusalWait is how long a refusal waits to learn which page may read it. The
// store may be what failed.
const refusalWait = 500 * time.Millisecond

// preflight answers a browser that asks whether a page may call. It brings no
// credential, so the origin alone decides: some active application must name it.
func (s *Server) preflight(r *request) error {
	if r.origin == "" || !r.has("Access-Control-Request-Method") {
		return fault.New(fault.WrongMethod, "OPTIONS is for preflights, which have Origin and "+
			"Access-Control-Request-Method")
	}
	defer r.within(s.wait.answer)()
	ok, err := s.listed(r.ctx, r)
	if err != nil {
		return err
	}
	if !ok {
		return notListed()
	}
	r.shared = true
	r.c.Status(http.StatusNoContent)
	r.c.Set(fiber.HeaderAccessControlAllowMethods, callable)
	r.c.Set(fiber.HeaderAccessControlAllowHeaders, sendable)
	r.c.Set(fiber.HeaderAccessControlMaxAge, "600")
	return nil
}

func notListed() error {
	return fault.New(fault.Forbidden, "no client application allows calls from this origin; "+
		"an operator can add it").Named(originNotAllowed)
}

// listed reports whether some active application allows calls from the origin.
func (s *Server) listed(ctx context.Context, r *request) (bool, error) {
	origin, err := client.ParseOrigin(r.origin)
	if err != nil {
		return false, nil //nolint:nilerr // what is no origin is in no list
	}
	return s.services.Clients.Allowed(ctx, origin)
}

// mayShare finds out whether the page that calls may read the reply, where that
// does not follow from who the caller is.
func (s *Server) mayShare(r *request) (err error) {
	if r.origin == "" || r.shared || r.route.cors == shareNobody {
		return nil
	}
	if r.shared, err = s.listed(r.ctx, r); err != nil {
		return err
	}
	if !r.shared && r.route.guard == guardClient {
		return notListed()
	}
	return nil
}

// share lets the page read the reply, if it may.
func (s *Server) share(r *request) {
	if r.shared {
		r.c.Set(fiber.HeaderAccessControlAllowOrigin, r.origin)
		r.c.Set(fiber.HeaderAccessControlExposeHeaders, readable)
	}
}

// shareRefusal lets a page read why it was refused: developers should see a
// problem, not a CORS error. A page of another application may not.
func (s *Server) shareRefusal(r *request, err error) {
	if r.origin != "" && !r.shared && fault.SlugOf(err) != originNotAllowed &&
		(r.route == nil || r.route.cors != shareNobody) {
		ctx, cancel := context.WithTimeout(r.ctx, refusalWait)
		defer cancel()
		r.shared, _ = s.listed(ctx, r) // an error here hides the refusal, no more
	}
	s.share(r)
}
