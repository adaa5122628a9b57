package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"perch/app/operators"
	"perch/domain/operator"
)

type operatorView struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Role       string     `json:"role"`
	Hint       string     `json:"hint"`
	CreatedAt  *time.Time `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	Token      string     `json:"token,omitempty"` // once, when it is made
}

func viewOperator(o operator.Operator, used time.Time) operatorView {
	return operatorView{
		ID: string(o.ID), Name: o.Name, Role: string(o.Role), Hint: o.Hint, CreatedAt: instant(o.Created),
		ExpiresAt: instant(o.Expires), RevokedAt: instant(o.Revoked), LastUsedAt: instant(used),
	}
}

func (s *Server) listOperators(r *request) error {
	_, after, n, err := r.paging()
	if err != nil {
		return err
	}
	all, err := s.services.Operators.List(r.ctx, operator.ID(after), n+1)
	if err != nil {
		return err
	}
	used, err := s.services.Operators.LastUsed(r.ctx, all...)
	if err != nil {
		return err
	}
	view := func(o operator.Operator) operatorView { return viewOperator(o, used[string(o.ID)]) }
	r.json(plainJSON, pageOf(all, n, view, func(o operator.Operator) string { return string(o.ID) }))
	return nil
}

func (s *Server) getOperator(r *request) error {
	o, err := s.services.Operators.Get(r.ctx, operator.ID(r.param("id")))
	if err != nil {
		return err
	}
	return s.showOperator(r, o)
}

// whoAmI tells operators who they are here.
func (s *Server) whoAmI(r *request) error {
	if r.by.ID == operators.Root {
		r.json(plainJSON, viewOperator(r.by, time.Time{}))
		return nil
	}
	return s.showOperator(r, r.by)
}

func (s *Server) showOperator(r *request, o operator.Operator) error {
	used, err := s.services.Operators.LastUsed(r.ctx, o)
	if err != nil {
		return err
	}
	r.json(plainJSON, viewOperator(o, used[string(o.ID)]))
	return nil
}

// addOperator makes an operator and shows the token, this once.
func (s *Server) addOperator(r *request) error {
	var in struct {
		Name      string    `json:"name"`
		Role      string    `json:"role"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	o, token, err := s.services.Operators.Add(r.ctx, r.by, operator.Operator{
		Name: in.Name, Role: operator.Role(in.Role), Expires: micros(in.ExpiresAt),
	})
	if err != nil {
		return err
	}
	r.event.Target = string(o.ID)
	view := viewOperator(o, time.Time{})
	view.Token = token.Reveal()
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, view)
	return nil
}

// changeOperator changes the fields that are there and leaves the others. An
// end that is null is taken away.
func (s *Server) changeOperator(r *request) error {
	var in struct {
		Name      *string         `json:"name"`
		Role      *operator.Role  `json:"role"`
		ExpiresAt json.RawMessage `json:"expires_at"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	change := operators.Change{Name: in.Name, Role: in.Role}
	if in.ExpiresAt != nil {
		var end time.Time
		if err := json.Unmarshal(in.ExpiresAt, &end); err != nil {
			return badJSON(err)
		}
		end = micros(end)
		change.Expires = &end
	}
	o, err := s.services.Operators.Change(r.ctx, r.by, operator.ID(r.param("id")), change)
	if err != nil {
		return err
	}
	return s.showOperator(r, o)
}

func (s *Server) revokeOperator(r *request) error {
	if _, err := s.services.Operators.Revoke(r.ctx, r.by, operator.ID(r.param("id"))); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// rotateOperator makes another token for an operator and shows it, this once.
func (s *Server) rotateOperator(r *request) error {
	var in struct {
		Overlap int64 `json:"overlap_seconds"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	const day = 24 * 60 * 60 // what is far too long is kept from overflowing
	overlap := time.Duration(max(-1, min(in.Overlap, 1000*day))) * time.Second
	id := operator.ID(r.param("id"))
	o, token, err := s.services.Operators.Rotate(r.ctx, r.by, id, overlap)
	if err != nil {
		return err
	}
	r.event.Target = string(id) + "," + string(o.ID)
	view := viewOperator(o, time.Time{})
	view.Token = token.Reveal()
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, view)
	return nil
}
