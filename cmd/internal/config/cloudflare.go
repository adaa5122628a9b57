package config

import (
	"net/url"
	"regexp"
	"strings"

	"perch/domain/client"
)

const (
	cloudflareToken = "PERCH_CLOUDFLARE_TOKEN" // #nosec G101 -- a name
	cloudflareURL   = "PERCH_CLOUDFLARE_URL"
)

// InD1 splits the place of a store in D1 into the IDs of the account and the
// database.
func InD1(place string) (account, database string) {
	account, database, _ = strings.Cut(place, "/")
	return account, database
}

func d1Place(place string) bool {
	const hex = "[0-9a-f]"
	matched, err := regexp.MatchString("^"+hex+"{32}/"+hex+"{8}(-"+hex+"{4}){3}-"+hex+"{12}$", place)
	return err == nil && matched
}

func checkD1(variable, place string) Mistakes {
	if d1Place(place) {
		return nil
	}
	return Mistakes{{variable, "is d1: without an account and a database; write d1:ACCOUNT/DATABASE with their IDs in " +
		"small letters: 32 hexadecimal digits, and what wrangler d1 list calls uuid"}}
}

// checkCloudflare looks at what only stores there need.
func (c Config) checkCloudflare() (m Mistakes) {
	used := false
	for _, store := range c.Stores() {
		used = used || is(store, D1) || is(store, KV)
	}
	if !used {
		return nil
	}
	if c.Cloudflare.Token.Empty() {
		m = append(m, Mistake{cloudflareToken, "is not set, though a store is at Cloudflare; set it, or " +
			cloudflareToken + "_FILE, to an API token that may edit D1 and KV, or to the token of the store Worker"})
	}
	u, err := url.Parse(c.Cloudflare.URL)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		m = append(m, Mistake{cloudflareURL, "is no absolute URL; write https://HOST/client/v4 for the store Worker, " +
			"or leave it out for Cloudflare's own API"})
	case u.Scheme == "http" && !client.Loopback(u.Hostname()):
		m = append(m, Mistake{cloudflareURL, "uses http, and the token would travel in the open; use https. " +
			"Only 127.0.0.1, [::1] and localhost may do without"})
	case u.User != nil || strings.ContainsAny(c.Cloudflare.URL, "?#"):
		m = append(m, Mistake{cloudflareURL, "must have no user, query or fragment"})
	case !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/client/v4"):
		m = append(m, Mistake{cloudflareURL, "does not end in /client/v4, as the paths of Cloudflare's API do"})
	}
	return m
}
