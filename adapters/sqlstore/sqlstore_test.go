package sqlstore_test

import (
	"path/filepath"
	"testing"

	"perch/adapters/sqlstore"
	"perch/migrations"
	"perch/ports"
	"perch/ports/conformance"
)

// open returns a store over the SQLite file, with the schema up to date.
func open(t *testing.T, file string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := migrations.SQLite().Apply(t.Context(), s.DB()); err != nil {
		t.Fatal(err)
	}
	return s
}

// fresh returns an empty store.
func fresh(t *testing.T) *sqlstore.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "perch.db"))
}

func TestConformanceSQLite(t *testing.T) {
	conformance.Verified(t, "sqlite")
	t.Run("TokenVault", func(t *testing.T) {
		conformance.TokenVault(t, func(t *testing.T) ports.TokenVault { return fresh(t).Vault() })
	})
	t.Run("Applications", func(t *testing.T) {
		conformance.Applications(t, func(t *testing.T) ports.Applications { return fresh(t).Registry().Apps() })
	})
	t.Run("APIKeys", func(t *testing.T) {
		conformance.APIKeys(t, func(t *testing.T) ports.APIKeys { return fresh(t).Registry().Keys() })
	})
	t.Run("XApps", func(t *testing.T) {
		conformance.XApps(t, func(t *testing.T) ports.XApps { return fresh(t).Registry().XApps() })
	})
	t.Run("Authorizations", func(t *testing.T) {
		conformance.Authorizations(t, func(t *testing.T) ports.Authorizations { return fresh(t).Authorizations() })
	})
	t.Run("Codes", func(t *testing.T) {
		conformance.Codes(t, func(t *testing.T) ports.Codes { return fresh(t).Codes() })
	})
	t.Run("Sessions", func(t *testing.T) {
		conformance.Sessions(t, func(t *testing.T) ports.Sessions { return fresh(t).Sessions() })
	})
	t.Run("SigningKeys", func(t *testing.T) {
		conformance.SigningKeys(t, func(t *testing.T) ports.SigningKeys { return fresh(t).SigningKeys() })
	})
	t.Run("QuotaStore", func(t *testing.T) {
		conformance.QuotaStore(t, func(t *testing.T) ports.QuotaStore { return fresh(t).Quota() })
	})
}
