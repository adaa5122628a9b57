package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"perch/app/operators"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapp"
)

// operate lets an operator in whose role is the one that the route takes.
func (s *Server) operate(r *request) error {
	bound, bearer, err := credentialOf(r)
	if err != nil {
		return err
	}
	if bearer.Empty() || bound {
		return fault.New(fault.Unauthenticated, "send Authorization: Bearer with an operator's token").
			Named(noCredential)
	}
	r.by, err = s.services.Operators.Authenticate(r.ctx, bearer)
	if err != nil {
		return err
	}
	return operators.Permit(r.by, r.route.guard.role())
}

// witness has a request of the operators' listener written down, however it
// ended and whatever it was; only a probe that a route answered is left out.
func (s *Server) witness(r *request, err error) {
	if s.admin && (r.route == nil || r.route.guard.role() != "") {
		s.services.Operators.Observe(context.WithoutCancel(r.ctx), eventOf(r, err))
	}
}

// noRoute is the verb of a request that reached no route.
const noRoute = "admin.unknown"

// eventOf is the call as it is written down. What somebody unknown says that it
// is about is left out.
func eventOf(r *request, err error) audit.Event {
	e := r.event
	e.At, e.Duration, e.Request, e.Address, e.Verb = r.began, time.Since(r.began), r.id, r.addr, noRoute
	if r.route != nil {
		e.Verb = verbOf(r.route)
	}
	e.Outcome, e.Status, e.Err = audit.Done, r.c.Response().StatusCode(), err
	if err != nil {
		p := problemOf(err)
		e.Outcome, e.Status = audit.Refused, p.status
		if p.status >= http.StatusInternalServerError {
			e.Outcome = audit.Failed
		}
	}
	if r.by.ID == "" {
		return e
	}
	e.Actor = string(r.by.ID)
	if id := r.param("id"); id != "" {
		name(&e, r.route, id)
	}
	return e
}

// name puts the ID that the path holds where it belongs.
func name(e *audit.Event, row *route, id string) {
	switch collection, _, _ := strings.Cut(strings.TrimPrefix(row.path, adminPrefix), "/"); collection {
	case "apps":
		e.App = client.AppID(id)
	case "grants":
		e.Grant = oauth.GrantID(id)
	case "xapps":
		e.XApp = xapp.ID(id)
	default:
		if e.Target == "" {
			e.Target = id
		}
	}
}

const adminPrefix = "/admin/v1/"

// verbOf is what a route of operators does, as "admin.apps.list": the path
// without its parameters, and what the method does to a collection. A path that
// ends in no plural says by itself what it does.
func verbOf(row *route) string {
	words := []string{"admin"}
	one := false // of the collection
	for _, segment := range strings.Split(strings.TrimPrefix(row.path, adminPrefix), "/") {
		if one = strings.HasPrefix(segment, ":"); !one {
			words = append(words, segment)
		}
	}
	switch {
	case !strings.HasSuffix(words[len(words)-1], "s"):
	case row.method == http.MethodGet && one:
		words = append(words, "show")
	case row.method == http.MethodGet:
		words = append(words, "list")
	case row.method == http.MethodPost:
		words = append(words, "add")
	case row.method == http.MethodPatch:
		words = append(words, "change")
	case row.method == http.MethodDelete:
		words = append(words, "end")
	}
	return strings.Join(words, ".")
}
