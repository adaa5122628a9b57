package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Kinds of stores that a schema is not brought up to date in unasked.
const (
	Postgres = "postgres"
	D1       = "d1"
)

// Common reports whether the store is a database that others may depend on too,
// whose schema is changed only when somebody says so.
func Common(store string) bool {
	kind, _ := Backend(store)
	return kind == Postgres || kind == D1
}

// Backend splits a store's URL into the name of its kind and its place:
// sqlite:./perch.db is sqlite in ./perch.db. PostgreSQL has two names in URLs
// and one here, Redis three.
func Backend(store string) (kind, place string) {
	kind, place, found := strings.Cut(store, ":")
	switch {
	case !found:
		return "", store
	case kind == "postgresql":
		kind = Postgres
	case kind == "rediss", kind == "unix":
		kind = Redis
	}
	return kind, place
}

// Shown is a store's URL as people and logs may see it. Of PostgreSQL's and
// Redis's that is the user, the host and the database; all else could be a password.
func Shown(store string) string {
	kind, place := Backend(store)
	if kind == "memory" || kind == "sqlite" || (kind == D1 && d1Place(place)) ||
		(kind == KV && kvPlace(place)) {
		return store
	}
	u, err := url.Parse(store)
	if (kind != Postgres && kind != Redis) || err != nil || u.Opaque != "" {
		return kind + ":…"
	}
	shown := url.URL{Scheme: kind, Host: u.Host, Path: u.Path}
	if kind == Redis {
		shown.Scheme = u.Scheme
	}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	if host := u.Query().Get("host"); host != "" {
		shown.RawQuery = "host=" + host
	}
	return shown.String()
}

// Only is the settings with everything in one store.
func (c Config) Only(store string) Config {
	c.Store, c.Vault, c.Registry, c.Quota, c.Leases = store, store, store, store, ""
	return c
}

// CheckStores returns what is wrong with the settings of stores alone.
func (c Config) CheckStores() (m Mistakes) {
	m = append(m, checkStore("PERCH_STORE", c.Store)...)
	if c.Vault != c.Store {
		m = append(m, checkStore("PERCH_VAULT", c.Vault)...)
	}
	if c.Registry != c.Store && c.Registry != c.Vault {
		m = append(m, checkStore("PERCH_REGISTRY", c.Registry)...)
	}
	return slices.Concat(m, c.checkQuota(), c.checkLeases(), c.checkCloudflare())
}

// stores are the URLs that the settings may be.
const stores = "memory:, sqlite:PATH, postgres://USER@HOST/DATABASE, d1:ACCOUNT/DATABASE, and for PERCH_QUOTA and " +
	"PERCH_LEASES also rediss://USER@HOST:6379/0"

// checkStore does not show the URL, because it may hold a password.
func checkStore(variable, store string) Mistakes {
	switch kind, place := Backend(store); {
	case kind == Postgres:
		return checkPostgres(variable, store)
	case kind == D1:
		return checkD1(variable, place)
	case kind == KV:
		return checkKV(variable, place)
	case kind == Redis:
		return refuseRedis(variable)
	case kind == "memory" && place == "":
		return nil
	case kind == "memory":
		return Mistakes{{variable, "is memory: with something after the colon; write memory: alone"}}
	case kind == "sqlite" && place != "" && place != ":memory:":
		return nil
	case kind == "sqlite":
		return Mistakes{{variable, "is sqlite: without a file; write sqlite:./perch.db, or memory: to keep nothing"}}
	case kind == "":
		return Mistakes{{variable, "names no kind of store; known are " + stores}}
	default:
		return Mistakes{{variable, fmt.Sprintf("names the unknown store %q; known are %s", kind, stores)}}
	}
}

func checkPostgres(variable, store string) Mistakes {
	u, err := url.Parse(store)
	if err != nil || u.Opaque != "" || u.Fragment != "" || !strings.Contains(store, "://") {
		return Mistakes{{variable, "is a URL of PostgreSQL that cannot be read; write " +
			"postgres://USER:PASSWORD@HOST:5432/DATABASE, with %-escapes for what is no letter or digit in the password"}}
	}
	modes, stated := u.Query()["sslmode"]
	known := []string{"disable", "require", "verify-ca", "verify-full"}
	if stated && (len(modes) > 1 || !slices.Contains(known, modes[0])) {
		return Mistakes{{variable, "has an sslmode that does not say whether TLS is used; write verify-full, verify-ca, " +
			"require or disable, or leave it out: then another machine must prove who it is"}}
	}
	return nil
}
