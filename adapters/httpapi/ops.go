package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"perch/domain/xapp"
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
		switch {
		case f.Err == nil && len(f.Holds) > 0:
			part.Status = "degraded"
			if s.admin {
				part.Error = heldBack(f.Holds)
			}
		case f.Err != nil:
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

// heldBack names the events of holds, each once.
func heldBack(holds []xapp.Hold) string {
	var events []string
	for _, h := range holds {
		events = append(events, h.Event)
	}
	slices.Sort(events)
	return "calls are refused for " + strings.Join(slices.Compact(events), ", ") + "; GET /admin/v1/x and perch x say more"
}

type holdView struct {
	XApp    string     `json:"x_app"`
	Group   string     `json:"group"` // empty: all
	Event   string     `json:"event"`
	Refuses bool       `json:"refuses"`
	Say     string     `json:"say"`
	Cause   string     `json:"cause"`
	Since   *time.Time `json:"since"`
	NextTry *time.Time `json:"next_try"` // null: when its window ends
	Until   *time.Time `json:"until"`    // null: until X answers
}

// showX says for what this process leaves X alone.
func (s *Server) showX(r *request) error {
	view := map[string][]holdView{"data": {}}
	for _, h := range s.services.Health.Holds() {
		view["data"] = append(view["data"], holdView{
			XApp: string(h.XApp), Group: h.Group, Event: h.Event, Refuses: h.Refuses, Say: h.Say,
			Cause: strings.ReplaceAll(h.Cause.Error(), "\n", ": "),
			Since: instant(millis(h.Since)), NextTry: instant(millis(h.NextTry)), Until: instant(millis(h.Until)),
		})
	}
	r.json(plainJSON, view)
	return nil
}

func millis(t time.Time) time.Time { return t.Truncate(time.Millisecond) }
