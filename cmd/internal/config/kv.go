package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Kinds of stores that keep some things only.
const (
	KV    = "kv"    // grants and the registry, with heads elsewhere
	Redis = "redis" // heads and counts
)

// DefaultLeases is where heads are if one Perch is the only writer: on its own
// disk, so that it knows after a restart what KV does not show yet.
const DefaultLeases = "sqlite:./perch.heads.db"

const leases = "PERCH_LEASES"

// InKV splits the place of a store in Workers KV into the IDs of the account and
// the namespace.
func InKV(place string) (account, namespace string) {
	account, namespace, _ = strings.Cut(place, "/")
	return account, namespace
}

func kvPlace(place string) bool {
	matched, err := regexp.MatchString("^[0-9a-f]{32}/[0-9a-f]{32}$", place)
	return err == nil && matched
}

// UsesKV reports whether grants or the registry are in Workers KV, apart from the
// rest.
func (c Config) UsesKV() bool { return !is(c.Store, KV) && (is(c.Vault, KV) || is(c.Registry, KV)) }

func is(store, kind string) bool {
	got, _ := Backend(store)
	return got == kind
}

// Stores lists the stores that the settings name, each once.
func (c Config) Stores() (list []string) {
	for _, s := range []string{c.Store, c.Vault, c.Registry, c.Quota, c.Leases} {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// Schemaless reports whether the store has no schema to bring up to date.
func Schemaless(store string) bool { return is(store, "memory") || is(store, KV) || is(store, Redis) }

func checkKV(variable, place string) Mistakes {
	switch {
	case variable != "PERCH_VAULT" && variable != "PERCH_REGISTRY":
		return Mistakes{{variable, "is in Workers KV, which can only hold grants and the registry; name KV in PERCH_VAULT " +
			"or PERCH_REGISTRY, and another store here"}}
	case !kvPlace(place):
		return Mistakes{{variable, "is kv: without an account and a namespace; write kv:ACCOUNT/NAMESPACE with their IDs, " +
			"each of 32 hexadecimal digits in small letters"}}
	}
	return nil
}

// checkLeases looks at where the heads of what is in KV are kept. By itself KV is
// not atomic: it is refused without them.
func (c Config) checkLeases() Mistakes {
	const ways = "Name a store that can in " + leases + " (d1:…, postgres://…, rediss://… or sqlite:PATH), or set " +
		"PERCH_SINGLE_WRITER=true if this is the only Perch that ever writes there: it then keeps them in ./perch.heads.db"
	switch uses := c.UsesKV(); {
	case !uses && c.SingleWriter:
		return Mistakes{{"PERCH_SINGLE_WRITER", "is for Workers KV, and nothing is kept there; leave it out"}}
	case !uses && c.Leases != "":
		return Mistakes{{leases, "is for what is in Workers KV, and nothing is kept there; leave it out"}}
	case !uses:
		return nil
	case c.Leases == "":
		return Mistakes{{leases, "is not set, and Workers KV alone cannot keep this: it has no compare-and-swap " +
			"and may show what it held a minute ago, and using a refresh token that X has taken back ends the user's " +
			"grant. " + ways}}
	case c.SingleWriter && c.Leases != DefaultLeases:
		return Mistakes{{leases, "and PERCH_SINGLE_WRITER are both given; keep the one that is true"}}
	case is(c.Leases, "memory"):
		return Mistakes{{leases, "is memory:, which forgets at the end of the process what KV does not show yet. " + ways}}
	case is(c.Leases, KV):
		return Mistakes{{leases, "is in Workers KV, which is what it is to make up for. " + ways}}
	case is(c.Leases, Redis):
		return checkRedis(leases, c.Leases)
	}
	return checkStore(leases, c.Leases)
}

// checkRedis does not show the URL, because it may hold a password.
func checkRedis(variable, store string) Mistakes {
	u, err := url.Parse(store)
	if err != nil || u.Opaque != "" || u.Fragment != "" || !strings.Contains(store, "://") {
		return Mistakes{{variable, "is a URL of Redis that cannot be read; write rediss://USER:PASSWORD@HOST:6379/0, " +
			"with %-escapes for what is no letter or digit in the password"}}
	}
	return nil
}

func refuseRedis(variable string) Mistakes {
	return Mistakes{{variable, fmt.Sprintf("is Redis, which keeps only %s and %s; write %s", leases, counts, stores)}}
}
