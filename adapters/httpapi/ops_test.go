package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/app/health"
	"perch/domain/xapp"
)

type answering struct{ err error }

func (a answering) Ping(context.Context) error { return a.err }

func TestOperatorsSeeForWhatXIsLeftAlone(t *testing.T) {
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	holds := []xapp.Hold{
		{
			XApp: "default", Group: "reads", Event: "x.usage_cap", Refuses: true, Say: "X's usage cap is used up",
			Cause: errors.New("status 429 from X"), Since: began, NextTry: began.Add(time.Minute), Until: began.Add(time.Hour),
		},
		{
			XApp: "default", Event: "x.auth_outage", Refuses: true, Say: "X refuses the access tokens of many users",
			Cause: errors.Join(errors.New("nothing was sent"), errors.New("connection refused")), Since: began, NextTry: began,
		},
	}
	h := build(t, plan{parts: []health.Part{{Name: "x", Pinger: answering{}, Holds: func() []xapp.Hold { return holds }}}})
	want := `{"data":[{"x_app":"default","group":"","event":"x.auth_outage","refuses":true,"say":"X refuses the access tokens of many users",` +
		`"cause":"nothing was sent: connection refused","since":"2026-11-26T12:00:00Z","next_try":"2026-11-26T12:00:00Z","until":null},` +
		`{"x_app":"default","group":"reads","event":"x.usage_cap","refuses":true,"say":"X's usage cap is used up",` +
		`"cause":"status 429 from X","since":"2026-11-26T12:00:00Z","next_try":"2026-11-26T12:01:00Z","until":"2026-11-26T13:00:00Z"}]}` + "\n"
	if a := h.operator("GET", "/admin/v1/x", ""); a.StatusCode != http.StatusOK || a.body != want {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for door, says := range map[string]string{
		h.public: `"parts":[{"name":"x","status":"degraded"}]`,
		h.admin:  `"status":"degraded","error":"calls are refused for x.auth_outage, x.usage_cap; GET /admin/v1/x and perch x say more"`,
	} {
		a := ask(t, "GET", door+"/readyz", "")
		if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.body, `{"status":"ok"`) || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s", door, a.StatusCode, a.body)
		}
	}
	holds = nil
	if a := h.operator("GET", "/admin/v1/x", ""); a.body != `{"data":[]}`+"\n" {
		t.Errorf("with nothing held: %s", a.body)
	}
}

func TestXThatDoesNotAnswerIsUnavailableAndNotDegraded(t *testing.T) {
	x := health.Part{Name: "x", Pinger: answering{errors.New("connection refused")}, Holds: func() []xapp.Hold {
		return []xapp.Hold{{Event: "x.breaker", Refuses: true}}
	}}
	h := build(t, plan{parts: []health.Part{x}})
	if a := ask(t, "GET", h.admin+"/readyz", ""); !strings.Contains(a.body, `"status":"unavailable","error":"connection refused"`) {
		t.Error(a.body)
	}
}
