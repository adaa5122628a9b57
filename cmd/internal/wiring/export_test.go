package wiring

import (
	"context"
	"log/slog"

	"perch/cmd/internal/config"
	"perch/ports"
)

// OpenStores opens what the settings name as Serve does, for tests that need no
// house around it.
func OpenStores(ctx context.Context, cfg config.Config, log *slog.Logger, o ports.Observer) (Stores, func(), error) {
	return openStores(ctx, cfg, log, o)
}
