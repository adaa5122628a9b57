package wiring_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

// A start does not change the schema of a database that others may depend on,
// unless it is told to. That of SQLite it does.
func TestTheSchemaAtStart(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		at, _ := serveX(t, xsim.New(xsim.Options{}))
		cfg := settings(t, e, at)
		cfg.PublicURL, cfg.Migrate = "http://127.0.0.1:8080", false
		start := func() error {
			_, end, err := wiring.Serve(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
			if err == nil {
				end()
			}
			return err
		}
		if config.Common(cfg.Store) {
			err := start()
			if err == nil || !strings.Contains(err.Error(), "lacks 0001_init.sql") ||
				!strings.Contains(err.Error(), "; run perch migrate") {
				t.Errorf("without a schema: %v", err)
			}
			would, err := wiring.Migrate(t.Context(), cfg, true)
			if err != nil || len(would) == 0 {
				t.Errorf("a dry run: %q, %v", would, err)
			}
			if did, err := wiring.Migrate(t.Context(), cfg, false); err != nil || !slices.Equal(did, would) {
				t.Errorf("migrating: %q, %v; a dry run said %q", did, err, would)
			}
		}
		if err := start(); err != nil {
			t.Error(err)
		}
		cfg.Migrate = true
		if err := start(); err != nil {
			t.Errorf("with --migrate and nothing to do: %v", err)
		}
	})
}
