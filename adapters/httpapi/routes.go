package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"perch/domain/operator"
)

// A guard says who may use a route.
type guard string

// There is no route without a guard. A client guard's handler authenticates the
// OAuth client itself; the action guard asks for a caller unless X asks for no
// credential. The last three name the role of an operator that the route takes.
const (
	guardAnyone   guard = "anyone"
	guardClient   guard = "client"
	guardCaller   guard = "caller"
	guardAction   guard = "action"
	guardViewer         = guard(operator.Viewer)
	guardOperator       = guard(operator.Keeper)
	guardOwner          = guard(operator.Owner)
)

// role is the role that an operator must have, "" where none is asked for one.
func (g guard) role() operator.Role {
	if role := operator.Role(g); slices.Contains(operator.Roles(), role) {
		return role
	}
	return ""
}

// sharing says which pages in browsers may read a route's replies.
type sharing string

// With nobody there is no CORS at all; listed means any origin that some active
// application names; own means that the caller's application must name it.
const (
	shareNobody sharing = "nobody"
	shareListed sharing = "listed"
	shareOwn    sharing = "own"
)

// speech is the form in which a route refuses.
type speech string

const (
	problems    speech = "problems"
	oauthErrors speech = "oauth" // RFC 6749 section 5.2, and a problem at the same time
	pages       speech = "pages" // people look at it
)

// shapeLimit marks a route whose limit depends on the action.
const shapeLimit = -1

// A route is one row of a server's table.
type route struct {
	method string
	path   string
	guard  guard
	cors   sharing
	limit  int64 // bytes of the body
	speaks speech
	handle func(*Server, *request) error
}

func (s *Server) publicRoutes() []route {
	const get, post, del, head = http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodHead
	table := []route{
		{get, "/.well-known/oauth-authorization-server", guardAnyone, shareListed, noLimit, problems, (*Server).metadata},
		{get, "/oauth/jwks", guardAnyone, shareListed, noLimit, problems, (*Server).jwks},
		{get, "/oauth/authorize", guardAnyone, shareNobody, noLimit, pages, (*Server).authorize},
		{get, "/i/oauth2/authorize", guardAnyone, shareNobody, noLimit, pages, (*Server).authorize},
		{get, "/oauth/callback", guardAnyone, shareNobody, noLimit, pages, (*Server).callback},
		{get, "/oauth/extend", guardAnyone, shareNobody, noLimit, pages, (*Server).extend},
		{post, "/oauth/token", guardClient, shareListed, tokenLimit, oauthErrors, (*Server).token},
		{post, "/2/oauth2/token", guardClient, shareListed, tokenLimit, oauthErrors, (*Server).token},
		{post, "/oauth/revoke", guardClient, shareListed, tokenLimit, oauthErrors, (*Server).revokeToken},
		{post, "/2/oauth2/revoke", guardClient, shareListed, tokenLimit, oauthErrors, (*Server).revokeToken},
		{get, "/v1/grants", guardCaller, shareOwn, noLimit, problems, (*Server).listGrants},
		{get, "/v1/grants/:id", guardCaller, shareOwn, noLimit, problems, (*Server).getGrant},
		{del, "/v1/grants/:id", guardCaller, shareOwn, noLimit, problems, (*Server).revokeGrant},
		{get, "/v1/deliveries", guardCaller, shareOwn, noLimit, problems, (*Server).listDeliveries},
		{get, "/v1/deliveries/:id", guardCaller, shareOwn, noLimit, problems, (*Server).getDelivery},
		{del, "/v1/deliveries/:id", guardCaller, shareOwn, noLimit, problems, (*Server).cancelDelivery},
		{get, "/v1/session", guardCaller, shareOwn, noLimit, problems, (*Server).showSession},
		{del, "/v1/session", guardCaller, shareOwn, noLimit, problems, (*Server).signOut},
		{get, "/v1/session/sign-in", guardAnyone, shareNobody, noLimit, pages, (*Server).signIn},
		{get, "/v1/usage", guardCaller, shareOwn, noLimit, problems, (*Server).showUsage},
		{get, "/v1/idempotency/:key", guardCaller, shareOwn, noLimit, problems, (*Server).getOutcome},
		{del, "/v1/idempotency/:key", guardCaller, shareOwn, noLimit, problems, (*Server).forgetOutcome},
		{post, "/v1/idempotency/:key/resolve", guardCaller, shareOwn, noLimit, problems, (*Server).resolveOutcome},
		{get, healthPath, guardAnyone, shareNobody, noLimit, problems, (*Server).alive},
		{head, healthPath, guardAnyone, shareNobody, noLimit, problems, (*Server).alive},
		{get, readyPath, guardAnyone, shareNobody, noLimit, problems, (*Server).ready},
		{head, readyPath, guardAnyone, shareNobody, noLimit, problems, (*Server).ready},
	}
	for _, m := range []string{get, head, post, http.MethodPut, http.MethodPatch, del} {
		table = append(table, route{m, "/2/*", guardAction, shareOwn, shapeLimit, problems, (*Server).action})
	}
	return table
}

func (s *Server) adminRoutes() []route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	return []route{
		{get, "/admin/v1/apps", guardViewer, shareNobody, noLimit, problems, (*Server).listApps},
		{post, "/admin/v1/apps", guardOperator, shareNobody, jsonLimit, problems, (*Server).createApp},
		{get, "/admin/v1/apps/:id", guardViewer, shareNobody, noLimit, problems, (*Server).getApp},
		{patch, "/admin/v1/apps/:id", guardOperator, shareNobody, jsonLimit, problems, (*Server).changeApp},
		{get, "/admin/v1/apps/:id/keys", guardViewer, shareNobody, noLimit, problems, (*Server).listKeys},
		{post, "/admin/v1/apps/:id/keys", guardOperator, shareNobody, jsonLimit, problems, (*Server).issueKey},
		{patch, "/admin/v1/keys/:id", guardOperator, shareNobody, jsonLimit, problems, (*Server).changeKey},
		{post, "/admin/v1/keys/:id/rotate", guardOperator, shareNobody, jsonLimit, problems, (*Server).rotateKey},
		{del, "/admin/v1/keys/:id", guardOperator, shareNobody, noLimit, problems, (*Server).revokeKey},
		{get, "/admin/v1/xapps", guardViewer, shareNobody, noLimit, problems, (*Server).listXApps},
		{post, "/admin/v1/xapps", guardOwner, shareNobody, jsonLimit, problems, (*Server).addXApp},
		{patch, "/admin/v1/xapps/:id", guardOwner, shareNobody, jsonLimit, problems, (*Server).changeXApp},
		{del, "/admin/v1/xapps/:id", guardOwner, shareNobody, noLimit, problems, (*Server).removeXApp},
		{get, "/admin/v1/grants", guardViewer, shareNobody, noLimit, problems, (*Server).listAllGrants},
		{del, "/admin/v1/grants/:id", guardOperator, shareNobody, noLimit, problems, (*Server).revokeAnyGrant},
		{post, "/admin/v1/grants/import", guardOperator, shareNobody, jsonLimit, problems, (*Server).importGrant},
		{get, "/admin/v1/deliveries", guardViewer, shareNobody, noLimit, problems, (*Server).listAllDeliveries},
		{del, "/admin/v1/deliveries/:id", guardOperator, shareNobody, noLimit, problems, (*Server).cancelAnyDelivery},
		{get, "/admin/v1/operators", guardViewer, shareNobody, noLimit, problems, (*Server).listOperators},
		{post, "/admin/v1/operators", guardOwner, shareNobody, jsonLimit, problems, (*Server).addOperator},
		{get, "/admin/v1/operators/me", guardViewer, shareNobody, noLimit, problems, (*Server).whoAmI},
		{get, "/admin/v1/operators/:id", guardViewer, shareNobody, noLimit, problems, (*Server).getOperator},
		{patch, "/admin/v1/operators/:id", guardOwner, shareNobody, jsonLimit, problems, (*Server).changeOperator},
		{del, "/admin/v1/operators/:id", guardOwner, shareNobody, noLimit, problems, (*Server).revokeOperator},
		{post, "/admin/v1/operators/:id/rotate", guardOwner, shareNobody, jsonLimit, problems, (*Server).rotateOperator},
		{get, "/admin/v1/usage", guardViewer, shareNobody, noLimit, problems, (*Server).showAllUsage},
		{get, "/admin/v1/x", guardViewer, shareNobody, noLimit, problems, (*Server).showX},
		{get, healthPath, guardAnyone, shareNobody, noLimit, problems, (*Server).alive},
		{get, readyPath, guardAnyone, shareNobody, noLimit, problems, (*Server).ready},
	}
}

// mount gives the table to Fiber, with a preflight for each path that pages may
// call.
func (s *Server) mount(table []route) {
	s.app.Use(s.door)
	methods := map[string][]string{}
	for _, row := range table {
		methods[row.path] = append(methods[row.path], row.method)
	}
	preflights := map[string]bool{}
	for _, row := range table {
		s.app.Add(row.method, row.path, func(c *fiber.Ctx) error { return s.serve(from(c), &row) })
		if row.cors != shareNobody && !preflights[row.path] {
			preflights[row.path] = true
			all := strings.Join(methods[row.path], ", ")
			s.app.Options(row.path, func(c *fiber.Ctx) error { return s.preflight(from(c), row, all) })
		}
	}
}

// serve lets the guard look, then the handler answer.
func (s *Server) serve(r *request, row *route) error {
	r.route = row
	if r.unwelcome != nil {
		return r.unwelcome
	}
	done := r.within(s.wait.answer)
	defer done()
	if err := s.admit(r); err != nil {
		return err
	}
	r.known = r.caller.App.ID != "" || r.by.Role != ""
	if err := s.mayShare(r); err != nil {
		return err
	}
	if row.guard == guardClient && r.body != nil {
		r.conn.slow()
	}
	if row.limit == shapeLimit {
		done() // the action's shape says how long it may take
	} else if r.body != nil && row.limit > 0 { // a body nobody asked for is not read
		if err := r.body.bound(row.limit, s.wait.body, s.wait.small); err != nil {
			return err
		}
	}
	return row.handle(s, r)
}
