package wiring_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/secret"
)

// hire adds an operator and returns the ID and the token.
func (h *house) hire(t testing.TB, role string) (id, token string) {
	t.Helper()
	a := h.operator(t, http.StatusCreated, "POST", "/admin/v1/operators", object{"name": "Zoë", "role": role})
	return a.text("id"), a.text("token")
}

// as asks the operators' door with the token.
func (h *house) as(t testing.TB, token, method, path, body string) answer {
	t.Helper()
	return send(t, h.client, method, h.admin+path, body, "Authorization: Bearer "+token, "Content-Type: application/json")
}

// unfounded are the settings with the founding token turned off.
func unfounded(cfg config.Config) config.Config {
	cfg.AdminToken = secret.New(config.Off)
	return cfg.Settled()
}

func TestOperatorsOutliveARestartAndTheFoundingTokenCanBeTurnedOff(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		at, _ := serveX(t, xsim.New(xsim.Options{}))
		cfg := settings(t, e, at)
		h := open(t, cfg)
		id, owner := h.hire(t, "owner")
		_, viewer := h.hire(t, "viewer")
		h.leave()

		h = open(t, unfounded(cfg))
		if a := h.as(t, adminToken, "GET", "/admin/v1/apps", ""); a.status != http.StatusUnauthorized {
			t.Errorf("the founding token: %d", a.status)
		}
		want(t, http.StatusOK, h.as(t, viewer, "GET", "/admin/v1/apps", ""))
		want(t, http.StatusForbidden, h.as(t, viewer, "POST", "/admin/v1/apps", `{"name":"x"}`))
		want(t, http.StatusCreated, h.as(t, owner, "POST", "/admin/v1/apps", `{"name":"x"}`))
		if a := h.as(t, owner, "DELETE", "/admin/v1/operators/"+id, ""); a.status != http.StatusConflict || a.problem() != "last-owner" {
			t.Errorf("the last owner: %d %s", a.status, a.body)
		}
		logged := string(h.log.bytes())
		for _, text := range []string{owner, viewer, adminToken} {
			if strings.Contains(logged, text) {
				t.Errorf("the log holds a token: %s", logged)
			}
		}
		if !strings.Contains(logged, `"actor":"`+id+`"`) {
			t.Errorf("the log does not name %s: %s", id, logged)
		}
	})
}

func TestAPerchThatNobodyCouldManageDoesNotStart(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		at, _ := serveX(t, xsim.New(xsim.Options{}))
		cfg := settings(t, e, at)
		cfg.PublicURL = "http://127.0.0.1:8080"
		_, _, err := wiring.Serve(t.Context(), unfounded(cfg), "test", slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "perch operators add NAME --role owner") {
			t.Errorf("it starts: %v", err)
		}
		off := unfounded(cfg)
		off.AdminListen = ""
		_, leave, err := wiring.Serve(t.Context(), off, "test", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("without a door for operators: %v", err)
		}
		leave()
	})
}

func TestARevokedOperatorIsRefusedByEachReplica(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		at, _ := serveX(t, xsim.New(xsim.Options{}))
		cfg := settings(t, e, at)
		one := open(t, cfg)
		other := open(t, cfg)
		id, token := one.hire(t, "operator")
		want(t, http.StatusOK, other.as(t, token, "GET", "/admin/v1/operators/me", ""))
		if a := other.operator(t, http.StatusOK, "GET", "/admin/v1/operators/"+id, nil); a.text("last_used_at") == "" {
			t.Errorf("when it was last used: %s", a.body)
		}
		one.operator(t, http.StatusOK, "PATCH", "/admin/v1/operators/"+id, object{"role": "viewer"})
		want(t, http.StatusForbidden, other.as(t, token, "POST", "/admin/v1/apps", `{"name":"x"}`))
		one.operator(t, http.StatusNoContent, "DELETE", "/admin/v1/operators/"+id, nil)
		want(t, http.StatusUnauthorized, other.as(t, token, "GET", "/admin/v1/operators/me", ""))
	})
}
