package httpapi

import (
	"errors"
	"net/http"
	"slices"

	"perch/domain/fault"
	"perch/domain/oauth"
)

// listGrants lists the grants the caller may see: a server those of its client
// application or those its key is bound to, a session or a caller that names one
// grant that one.
func (s *Server) listGrants(r *request) error {
	_, after, n, err := r.paging()
	if err != nil {
		return err
	}
	only := slices.Sorted(slices.Values(r.caller.Grants))
	if r.caller.Grant != "" {
		only = []oauth.GrantID{r.caller.Grant}
	}
	var all []oauth.Grant
	if len(only) == 0 {
		all, err = s.services.Grants.List(r.ctx, r.caller.App.ID, oauth.GrantID(after), n+1)
	} else {
		all, err = s.grantsOf(r, only, oauth.GrantID(after), n+1)
	}
	if err != nil {
		return err
	}
	r.json(plainJSON, pageOf(all, n, viewGrant, grantID))
	return nil
}

// grantsOf returns up to n of the grants that come after the given one. Those
// that are gone are left out.
func (s *Server) grantsOf(r *request, ids []oauth.GrantID, after oauth.GrantID, n int) ([]oauth.Grant, error) {
	var all []oauth.Grant
	for _, id := range ids {
		if id <= after || len(all) == n {
			continue
		}
		g, err := s.services.Grants.Get(r.ctx, r.caller.App.ID, id)
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
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
	if err := r.caller.MayRevoke(); err != nil {
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
	if id == "" || !r.caller.ActsFor(id) {
		return "", fault.New(fault.NotFound, "the caller has no grant with the given ID; "+
			"GET /v1/grants lists those it has").Named("no-such-grant")
	}
	return id, nil
}
