package httpapi

import (
	"errors"
	"net/http"

	"perch/domain/fault"
	"perch/domain/oauth"
)

// listGrants lists the grants the caller may see: a server those of its client
// application, a session or a caller that names one grant that one.
func (s *Server) listGrants(r *request) error {
	_, after, n, err := r.paging()
	if err != nil {
		return err
	}
	app := r.caller.App.ID
	var all []oauth.Grant
	if only := r.caller.Grant; only == "" {
		all, err = s.services.Grants.List(r.ctx, app, oauth.GrantID(after), n+1)
	} else if after < string(only) {
		var g oauth.Grant
		if g, err = s.services.Grants.Get(r.ctx, app, only); err == nil {
			all = []oauth.Grant{g}
		} else if errors.Is(err, fault.NotFound) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	r.json(plainJSON, pageOf(all, n, viewGrant, grantID))
	return nil
}

func grantID(g oauth.Grant) string { return string(g.ID) }

func (s *Server) getGrant(r *request) error {
	id, err := ownGrant(r)
	if err != nil {
		return err
	}
	g, err := s.services.Grants.Get(r.ctx, r.caller.App.ID, id)
	if err != nil {
		return err
	}
	r.json(plainJSON, viewGrant(g))
	return nil
}

func (s *Server) revokeGrant(r *request) error {
	id, err := ownGrant(r)
	if err != nil {
		return err
	}
	if err := s.services.Grants.Revoke(r.ctx, r.caller.App.ID, id); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// ownGrant returns the grant the path names, if the caller may know of it.
func ownGrant(r *request) (oauth.GrantID, error) {
	id := oauth.GrantID(r.param("id"))
	if id == "" || r.caller.Grant != "" && r.caller.Grant != id {
		return "", fault.New(fault.NotFound, "the caller has no grant with the given ID; "+
			"GET /v1/grants lists those it has").Named("no-such-grant")
	}
	return id, nil
}
