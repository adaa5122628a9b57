package httpapi

import (
	"net/http"
)

// alive says that the process answers.
func (s *Server) alive(r *request) error {
	r.json(plainJSON, map[string]string{"status": "ok", "version": s.cfg.Version})
	return nil
}

type partView struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Error  string `json:"error,omitempty"` // operators only
}

type readyView struct {
	Status string     `json:"status"`
	Parts  []partView `json:"parts"`
}

// ready says whether the parts Perch depends on answer. Why one does not is for
// operators, and for the log.
func (s *Server) ready(r *request) error {
	report := s.services.Health.Ready(r.ctx)
	view := readyView{Status: "ok", Parts: []partView{}}
	if !report.Ready {
		view.Status = "unavailable"
		r.c.Status(http.StatusServiceUnavailable)
	}
	for _, f := range report.Parts {
		part := partView{Name: f.Name, Status: "ok"}
		if f.Err != nil {
			part.Status = "unavailable"
			s.log.WarnContext(r.ctx, "a part does not answer", "part", f.Name, "request", r.id, "err", f.Err)
			if s.admin {
				part.Error = f.Err.Error()
			}
		}
		view.Parts = append(view.Parts, part)
	}
	r.json(plainJSON, view)
	return nil
}
