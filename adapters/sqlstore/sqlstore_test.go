package sqlstore_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"perch/adapters/cloudflare"
	"perch/adapters/sqlstore"
	"perch/domain/secret"
	"perch/migrations"
	"perch/ports"
	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
	"perch/ports/conformance/workerd"
)

// A database is one kind of database that stores are kept in.
type database struct {
	name   string
	schema migrations.Schema
	dsn    func(t *testing.T) string // of an empty one
	alone  bool                      // no transaction spans two calls
}

func databases() []database {
	return []database{
		{"sqlite", migrations.SQLite(), func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "perch.db") }, false},
		{"postgres", migrations.Postgres(), func(t *testing.T) string { return pgtest.URL(t) }, false},
		{"d1", migrations.D1(), onD1, true},
	}
}

// onD1 returns where an empty database in Cloudflare's engine is.
func onD1(t *testing.T) string {
	p := workerd.D1(t)
	return "d1:" + strings.Join([]string{p.URL, p.Account, p.ID, p.Token}, " ")
}

// openD1 opens what onD1 returned.
func openD1(ctx context.Context, dsn string) (*sqlstore.Store, error) {
	at := strings.Fields(strings.TrimPrefix(dsn, "d1:"))
	db, err := cloudflare.OpenD1(cloudflare.Config{URL: at[0], Account: at[1], Token: secret.New(at[3])}, at[2])
	if err != nil {
		return nil, err
	}
	return sqlstore.OnD1(ctx, db)
}

// bare opens the database as it is.
func (d database) bare(ctx context.Context, dsn string) (*sqlstore.Store, error) {
	if d.name == "d1" {
		return openD1(ctx, dsn)
	}
	return sqlstore.Open(ctx, dsn)
}

// everywhere runs the test on each kind of database.
func everywhere(t *testing.T, test func(t *testing.T, d database)) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			conformance.Verified(t, d.name)
			test(t, d)
		})
	}
}

// open returns a store over the database, with the schema up to date.
func (d database) open(t *testing.T, dsn string) *sqlstore.Store {
	t.Helper()
	s, err := d.bare(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := d.schema.Apply(t.Context(), s.DB()); err != nil {
		t.Fatal(err)
	}
	return s
}

// fresh returns an empty store.
func (d database) fresh(t *testing.T) *sqlstore.Store {
	t.Helper()
	return d.open(t, d.dsn(t))
}

func TestConformance(t *testing.T) { everywhere(t, conforms) }

// conforms empties one database for each check, which takes less time than
// making one.
func conforms(t *testing.T, d database) {
	dsn := d.dsn(t)
	fresh := func(t *testing.T) *sqlstore.Store {
		t.Helper()
		s := d.open(t, dsn)
		for _, table := range []string{
			"deliveries",
			"grants", "applications", "api_keys", "xapps", "authorizations", "codes", "sessions", "signing_keys", "quotas",
			"changes", "heads", "operators", "uses", "usage", "billed", "budgets", "reservations", "replies",
		} {
			if _, err := s.DB().Exec("DELETE FROM " + table); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	t.Run("TokenVault", func(t *testing.T) {
		conformance.TokenVault(t, func(t *testing.T) ports.TokenVault { return fresh(t).Vault() })
	})
	t.Run("TokenVault under many clients of two replicas", func(t *testing.T) {
		conformance.Linear(t, func(t *testing.T) []ports.TokenVault {
			return []ports.TokenVault{fresh(t).Vault(), d.open(t, dsn).Vault()}
		})
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
	t.Run("Operators", func(t *testing.T) {
		conformance.Operators(t, func(t *testing.T) ports.Operators { return fresh(t).Operators() })
	})
	t.Run("Usage", func(t *testing.T) {
		conformance.Usage(t, func(t *testing.T) ports.Usage { return fresh(t).Usage() })
	})
	t.Run("Budgets", func(t *testing.T) {
		conformance.Budgets(t, func(t *testing.T) ports.Budgets { return fresh(t).Budgets() })
		conformance.Beginnings(t, func(t *testing.T) conformance.Money { return fresh(t) })
	})
	t.Run("Deliveries", func(t *testing.T) {
		conformance.Deliveries(t, func(t *testing.T) conformance.Queue {
			s, _ := fresh(t).Deliveries().(*sqlstore.Deliveries)
			return s
		})
	})
	t.Run("Uses", func(t *testing.T) {
		conformance.Uses(t, func(t *testing.T) ports.Uses { return fresh(t).Uses() })
	})
	t.Run("Changes", func(t *testing.T) {
		conformance.Changes(t, func(t *testing.T) conformance.Changing { return fresh(t) })
	})
	t.Run("Replies", func(t *testing.T) {
		conformance.Replies(t, func(t *testing.T) ports.Replies { return fresh(t).Replies() })
	})
	t.Run("Heads", func(t *testing.T) {
		conformance.Heads(t, func(t *testing.T) ports.Heads { return fresh(t).Heads() })
	})
	t.Run("QuotaStore", func(t *testing.T) {
		conformance.QuotaStore(t, func(t *testing.T) ports.QuotaStore { return fresh(t).Quota() })
	})
	t.Run("Clock", func(t *testing.T) {
		conformance.Clock(t, func(t *testing.T) ports.Clock { return fresh(t) })
	})
}
