package httpapi

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"perch/app/access"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapi"
)

// maxCredential bounds what is looked at; our own tokens are far shorter.
const maxCredential = 8 << 10

// admit lets the request in or says why not, as the route's guard wants it.
func (s *Server) admit(r *request) error {
	switch r.route.guard {
	case guardAnyone, guardClient:
		return nil
	case guardAction:
		if act, _, ok := xapi.Find(r.method, r.path); !ok || act.Public() && !r.has(fiber.HeaderAuthorization) {
			return nil // the handler knows what to say
		}
		return s.enter(r)
	case guardCaller:
		return s.enter(r)
	case guardViewer, guardOperator, guardOwner:
		return s.operate(r)
	}
	return fault.New(fault.Forbidden, "this route has no guard")
}

// enter asks the gate who the caller is.
func (s *Server) enter(r *request) error {
	bound, bearer, err := credentialOf(r)
	if err != nil {
		return err
	}
	proof := r.header(dpopHeader)
	if bound || proof != "" {
		s.giveNonce(r)
	}
	grant := r.header("Perch-Grant")
	if grant != "" && !oauth.IsGrantID(grant) {
		return fault.New(fault.Invalid, "Perch-Grant is not the ID of a grant; GET /v1/grants lists those there are")
	}
	r.caller, err = s.services.Gate.Enter(r.ctx, access.Credentials{
		Bearer: bearer, Bound: bound, Proof: proof, Method: r.method, URL: s.cfg.PublicURL + r.path,
		Grant: oauth.GrantID(grant), Origin: r.origin, Browser: r.browser, Address: r.addr, Held: s.heldBy(r),
	})
	switch slug := fault.SlugOf(err); {
	case slug == noSession && r.origin != "":
		return s.noSession(r, err)
	case slug == noCredential && r.origin != "" && s.listed(r.ctx, r) == nil && r.held:
		return fault.New(fault.Unauthenticated, "there is no session of this page's client application; sign in").
			Named(noSession)
	}
	if err == nil && r.origin != "" {
		r.shared, r.held = true, r.caller.Cookie // the gate has seen that the application allows it
	}
	return err
}

// credentialOf reads the Authorization header, and whether its scheme is DPoP; a
// missing one is empty.
func credentialOf(r *request) (bound bool, credential secret.Text, err error) {
	v := r.header(fiber.HeaderAuthorization)
	if v == "" {
		return false, secret.Text{}, nil
	}
	scheme, token, ok := strings.Cut(v, " ")
	bound = strings.EqualFold(scheme, dpopScheme)
	if !ok || !bound && !strings.EqualFold(scheme, bearerScheme) || len(token) > maxCredential || !isBearer(token) {
		return false, secret.Text{}, fault.New(fault.Unauthenticated,
			"the Authorization header is not of the form Bearer, or DPoP, and one token").Named("malformed-credential")
	}
	return bound, secret.New(token), nil
}

// isBearer reports whether s is a b64token (RFC 6750 section 2.1).
func isBearer(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !alphanumeric(s[i]) && strings.IndexByte("-._~+/", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
