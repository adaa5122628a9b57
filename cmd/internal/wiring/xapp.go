package wiring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"perch/cmd/internal/config"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapp"
)

// sameXApp refuses settings that name another X App than the one that the grants
// of the default X App were given to: X would take their refresh tokens for
// stolen. The client ID is kept in the store for that, and nothing else of it.
func sameXApp(ctx context.Context, cfg config.Config, s Stores) error {
	if cfg.X.ClientID == "" {
		return nil
	}
	known, err := s.Registry.XApps().Get(ctx, xapp.Default)
	if errors.Is(err, fault.NotFound) {
		_, err = s.Registry.XApps().Create(ctx, xapp.App{
			ID: xapp.Default, Name: "from the settings", ClientID: cfg.X.ClientID,
			Created: time.Now().UTC().Truncate(time.Microsecond),
		})
		if errors.Is(err, fault.Conflict) {
			return sameXApp(ctx, cfg, s) // a replica was quicker
		}
		return err
	}
	if err != nil || known.ClientID == cfg.X.ClientID {
		return err
	}
	used, err := usesDefault(ctx, s)
	if err != nil {
		return err
	}
	if used {
		return fmt.Errorf("PERCH_X_CLIENT_ID is %q, and grants in the store were given to the X App with the client ID %q; "+
			"set it back. To use another X App beside it, add that one with perch xapps add",
			cfg.X.ClientID, known.ClientID)
	}
	changed := known
	changed.ClientID = cfg.X.ClientID
	_, err = s.Registry.XApps().Swap(ctx, known, changed)
	return err
}

func usesDefault(ctx context.Context, s Stores) (bool, error) {
	var after oauth.GrantID
	for {
		page, err := s.Vault.List(ctx, "", after, 500)
		if err != nil || len(page) == 0 {
			return false, err
		}
		for _, g := range page {
			if g.XApp == xapp.Default && (!g.Access.Empty() || !g.Refresh.Empty()) {
				return true, nil
			}
		}
		after = page[len(page)-1].ID
	}
}
