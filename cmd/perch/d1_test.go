package main

import (
	"strings"
	"testing"

	"perch/adapters/sqlstore"
	"perch/ports/conformance"
	"perch/ports/conformance/workerd"
)

func TestD1FromMigrateToServe(t *testing.T) {
	conformance.Verified(t, "d1")
	x, p := box(t, 0), workerd.D1(t)
	t.Chdir(t.TempDir())
	store := "d1:" + p.Account + "/" + p.ID
	environ := boxed(x, x, "PERCH_STORE="+store, "PERCH_CLOUDFLARE_URL="+p.URL, "PERCH_CLOUDFLARE_TOKEN="+p.Token)
	said := func(r *ran) *ran {
		t.Helper()
		if strings.Contains(r.out.String()+r.err.String(), p.Token) {
			t.Errorf("the token is shown:\n%s%s", &r.out, &r.err)
		}
		return r
	}

	said(perch(t, environ, "", "doctor")).says(t, exitDone, store+": 0001_init.sql",
		"to be applied; run perch migrate, or perch serve does not start", "PERCH_CLOUDFLARE_URL")
	said(perch(t, environ, "", "serve")).says(t, exitFailed, store+" lacks 0001_init.sql", "run perch migrate")
	said(perch(t, environ, "", "migrate", "--dry-run")).says(t, exitDone, "would apply 0001_init.sql")
	said(perch(t, environ, "", "migrate")).says(t, exitDone, ": applied 0001_init.sql")
	said(perch(t, environ, "", "migrate")).says(t, exitDone, "is up to date")

	r, stop := started(t, environ, "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	stop()
	said(r).says(t, exitDone, "Perch has stopped")
	said(perch(t, environ, "", "doctor")).says(t, exitDone, "ok    store         "+store+" opens and is up to date")

	said(perch(t, environ, "", "keyset", "list")).says(t, exitDone)
	said(perch(t, environ, "", "keyset", "reseal")).says(t, exitDone)

	wrong := append(environ, "PERCH_CLOUDFLARE_TOKEN="+canary)
	for verb, say := range map[string]string{"doctor": "FAIL  store", "serve": "open " + store, "migrate": store} {
		r := perch(t, wrong, "", verb)
		r.says(t, exitFailed, say, "code 10000", "check the API token")
		if strings.Contains(r.out.String()+r.err.String(), canary) {
			t.Errorf("%s shows the token", verb)
		}
	}
	perch(t, append(environ, "PERCH_CLOUDFLARE_TOKEN="), "", "migrate").
		says(t, exitMisuse, "PERCH_CLOUDFLARE_TOKEN is not set, though a store is at Cloudflare")
}

// A store that a newer version has extended is used by this one, which says so.
func TestAStoreThatANewerVersionHasExtended(t *testing.T) {
	t.Chdir(t.TempDir())
	x := box(t, 0)
	environ := boxed(x, x)
	perch(t, environ, "", "migrate").says(t, exitDone, "applied 0001_init.sql")
	record := func(name string) {
		t.Helper()
		s, err := sqlstore.Open(t.Context(), "sqlite:./perch.db")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		if _, err := s.DB().Exec("INSERT INTO perch_migrations VALUES (?, '', 0)", name); err != nil {
			t.Fatal(err)
		}
	}
	record("9998_more.sql")
	perch(t, environ, "", "doctor").says(t, exitDone, "warn  store", "a newer version of Perch has extended it (9998_more.sql)")
	r, stop := started(t, environ, "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	stop()
	r.says(t, exitDone, "a newer version of Perch has extended the store", "9998_more.sql")

	record("9999_less.contract.sql")
	for _, verb := range []string{"doctor", "serve", "migrate"} {
		perch(t, environ, "", verb).says(t, exitFailed, "9999_less.contract.sql", "a newer version of Perch has taken away")
	}
}
