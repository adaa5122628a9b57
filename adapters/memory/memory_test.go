package memory_test

import (
	"testing"

	"perch/adapters/memory"
	"perch/ports"
	"perch/ports/conformance"
)

// open returns a store that is closed with the test.
func open(t *testing.T) *memory.Store {
	t.Helper()
	s := memory.Open()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	conformance.Verified(t, "memory")
	t.Run("TokenVault", func(t *testing.T) {
		conformance.TokenVault(t, func(t *testing.T) ports.TokenVault { return open(t).Vault() })
	})
	t.Run("TokenVault behind mischief", func(t *testing.T) {
		conformance.TokenVault(t, func(t *testing.T) ports.TokenVault { return memory.Mischief(open(t).Vault()) })
	})
	t.Run("TokenVault under many clients", func(t *testing.T) {
		conformance.Linear(t, func(t *testing.T) []ports.TokenVault { return []ports.TokenVault{open(t).Vault()} })
	})
	t.Run("Applications", func(t *testing.T) {
		conformance.Applications(t, func(t *testing.T) ports.Applications { return open(t).Registry().Apps() })
	})
	t.Run("APIKeys", func(t *testing.T) {
		conformance.APIKeys(t, func(t *testing.T) ports.APIKeys { return open(t).Registry().Keys() })
	})
	t.Run("XApps", func(t *testing.T) {
		conformance.XApps(t, func(t *testing.T) ports.XApps { return open(t).Registry().XApps() })
	})
	t.Run("Authorizations", func(t *testing.T) {
		conformance.Authorizations(t, func(t *testing.T) ports.Authorizations { return open(t).Authorizations() })
	})
	t.Run("Codes", func(t *testing.T) {
		conformance.Codes(t, func(t *testing.T) ports.Codes { return open(t).Codes() })
	})
	t.Run("Sessions", func(t *testing.T) {
		conformance.Sessions(t, func(t *testing.T) ports.Sessions { return open(t).Sessions() })
	})
	t.Run("SigningKeys", func(t *testing.T) {
		conformance.SigningKeys(t, func(t *testing.T) ports.SigningKeys { return open(t).SigningKeys() })
	})
	t.Run("Operators", func(t *testing.T) {
		conformance.Operators(t, func(t *testing.T) ports.Operators { return open(t).Operators() })
	})
	t.Run("Usage", func(t *testing.T) {
		conformance.Usage(t, func(t *testing.T) ports.Usage { return open(t).Usage() })
	})
	t.Run("Budgets", func(t *testing.T) {
		conformance.Budgets(t, func(t *testing.T) ports.Budgets { return open(t).Budgets() })
		conformance.Beginnings(t, func(t *testing.T) conformance.Money { return open(t) })
	})
	t.Run("Deliveries", func(t *testing.T) {
		conformance.Deliveries(t, func(t *testing.T) conformance.Queue { return memory.NewDeliveries() })
	})
	t.Run("Uses", func(t *testing.T) {
		conformance.Uses(t, func(t *testing.T) ports.Uses { return open(t).Uses() })
	})
	t.Run("Changes", func(t *testing.T) {
		conformance.Changes(t, func(t *testing.T) conformance.Changing { return open(t) })
	})
	t.Run("Replies", func(t *testing.T) {
		conformance.Replies(t, func(t *testing.T) ports.Replies { return open(t).Replies() })
	})
	t.Run("Heads", func(t *testing.T) {
		conformance.Heads(t, func(t *testing.T) ports.Heads { return open(t).Heads() })
	})
	t.Run("QuotaStore", func(t *testing.T) {
		conformance.QuotaStore(t, func(t *testing.T) ports.QuotaStore { return open(t).Quota() })
	})
	t.Run("Clock", func(t *testing.T) {
		conformance.Clock(t, func(t *testing.T) ports.Clock { return open(t) })
	})
	t.Run("Journal", func(t *testing.T) {
		conformance.Journal(t, func(*testing.T) ports.Journal { return memory.NewJournal() })
	})
}
