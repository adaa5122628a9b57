//go:build wireinject

package wiring

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"perch/adapters/httpapi"
	"perch/adapters/jws"
	"perch/adapters/xhttp"
	"perch/cmd/internal/config"
	"perch/ports"
)

// Serve puts a whole Perch together. The settings must be settled and checked,
// and their public URL known.
func Serve(ctx context.Context, cfg config.Config, v Version, log *slog.Logger) (*House, func(), error) {
	wire.Build(
		openStores, openRing, newGateway, newObserver,
		openJournal, newClock, newBreaker, wire.Bind(new(ports.Breaker), new(*xhttp.Breakers)),
		newKeyring, newSigner, wire.Bind(new(ports.TokenSigner), new(*jws.Signer)),
		jws.NewProofs, wire.Bind(new(ports.DPoP), new(*jws.Proofs)),
		newXApps, newUses, newClients, newGrants, newSessions, newQuotas, newSpending, newReplays, newActions, newGate, newOperators, newHealth,
		wire.Struct(new(httpapi.Services), "*"), newDoors, newTidier, newKeeper, newHouse, newUsage, newCache, newDeliveries,
	)
	return nil, nil, nil
}
