//go:build wireinject

package wiring

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"perch/adapters/httpapi"
	"perch/adapters/jws"
	"perch/adapters/keyring"
	"perch/cmd/internal/config"
	"perch/ports"
)

var stores = wire.NewSet(openStores, openRing)

var services = wire.NewSet(
	newXApps, newClients, newGrants, newSessions, newActions, newGate, newHealth, newObserver,
	wire.Bind(new(ports.Keyring), new(*keyring.Ring)), newSigner, wire.Bind(new(ports.TokenSigner), new(*jws.Signer)),
)

// Serve puts a whole Perch together. The settings must be settled and checked,
// and their public URL known.
func Serve(ctx context.Context, cfg config.Config, v Version, log *slog.Logger) (*House, func(), error) {
	wire.Build(stores, services, newGateway, wire.Struct(new(httpapi.Services), "*"),
		newDoors, newTidier, newHouse)
	return nil, nil, nil
}

// Offline opens the stores and keys without serving anything.
func Offline(ctx context.Context, cfg config.Config, log *slog.Logger) (*Vaults, func(), error) {
	wire.Build(stores, newVaults)
	return nil, nil, nil
}
