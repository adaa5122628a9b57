package main

import (
	"strings"
	"testing"

	"perch/ports/conformance"
	"perch/ports/conformance/pgtest"
)

// canary is a password that the server does not ask for, and nobody may see.
const canary = "canary-password"

func TestPostgresFromMigrateToServe(t *testing.T) {
	conformance.Verified(t, "postgres")
	t.Chdir(t.TempDir())
	x := box(t, 0)
	store := "PERCH_STORE=" + pgtest.URL(t) + "&password=" + canary
	environ := boxed(x, x, store)
	said := func(r *ran) *ran {
		t.Helper()
		if strings.Contains(r.out.String()+r.err.String(), canary) {
			t.Errorf("the password is shown:\n%s%s", &r.out, &r.err)
		}
		return r
	}

	said(perch(t, environ, "", "doctor")).says(t, exitDone, "postgres:///postgres?host=",
		"0001_init.sql", "to be applied; run perch migrate, or perch serve does not start")
	said(perch(t, environ, "", "serve")).says(t, exitFailed, "lacks 0001_init.sql", "; run perch migrate", "--migrate")
	said(perch(t, environ, "", "migrate", "--dry-run")).says(t, exitDone, "would apply 0001_init.sql")
	said(perch(t, environ, "", "migrate")).says(t, exitDone, ": applied 0001_init.sql", "applied 0002_heads.sql")
	said(perch(t, environ, "", "migrate")).says(t, exitDone, "is up to date")

	r, stop := started(t, environ, "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	stop()
	said(r).says(t, exitDone, "Perch has stopped")
	said(perch(t, environ, "", "doctor")).says(t, exitDone, "ok    store         postgres:///postgres?host=", "is up to date")
}

func TestServeMigratesPostgresWhereItIsToldTo(t *testing.T) {
	conformance.Verified(t, "postgres")
	t.Chdir(t.TempDir())
	x := box(t, 0)
	r, stop := started(t, boxed(x, x, "PERCH_STORE="+pgtest.URL(t), "PERCH_MIGRATE=true"), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	stop()
	r.says(t, exitDone, "migrated the store", "0001_init.sql")
}

func TestWhereThereIsNoPostgres(t *testing.T) {
	t.Chdir(t.TempDir())
	x := box(t, 0)
	environ := boxed(x, x, "PERCH_STORE=postgres://perch:"+canary+"@127.0.0.1:1/perch")
	for verb, say := range map[string]string{
		"doctor": "FAIL  store", "serve": "open the PostgreSQL store perch on 127.0.0.1", "migrate": "perch on 127.0.0.1",
	} {
		r := perch(t, environ, "", verb)
		r.says(t, exitFailed, say, "connection refused")
		if strings.Contains(r.out.String()+r.err.String(), canary) {
			t.Errorf("%s shows the password", verb)
		}
	}
}
