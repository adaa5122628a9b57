package main

import (
	"os"
	"strings"
	"testing"

	"perch/ports/conformance"
	"perch/ports/conformance/redistest"
	"perch/ports/conformance/workerd"
)

func TestWorkersKVFromDoctorToServe(t *testing.T) {
	conformance.Verified(t, "kv")
	x, p := box(t, 0), workerd.KV(t)
	t.Chdir(t.TempDir())
	kv := "kv:" + p.Account + "/" + p.ID
	bare := boxed(x, x, "PERCH_VAULT="+kv, "PERCH_REGISTRY="+kv,
		"PERCH_CLOUDFLARE_URL="+p.URL, "PERCH_CLOUDFLARE_TOKEN="+p.Token)
	said := func(r *ran) *ran {
		t.Helper()
		if strings.Contains(r.out.String()+r.err.String(), p.Token) {
			t.Errorf("the token is shown:\n%s%s", &r.out, &r.err)
		}
		return r
	}
	for _, verb := range []string{"serve", "migrate"} {
		said(perch(t, bare, "", verb)).says(t, exitMisuse, "PERCH_LEASES is not set, and Workers KV alone cannot keep this")
	}
	said(perch(t, bare, "", "doctor")).says(t, exitFailed, "FAIL  settings      PERCH_LEASES is not set")

	environ := append(bare, "PERCH_SINGLE_WRITER=true")
	said(perch(t, environ, "", "doctor")).says(t, exitDone, kv+" answers; perch serve takes what it shows",
		"sqlite:./perch.heads.db", "warn  Workers KV    PERCH_SINGLE_WRITER: no other Perch may write there")
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("the doctor left %v behind, %v", files, err)
	}
	said(perch(t, environ, "", "migrate")).says(t, exitDone, kv+" needs no schema", "sqlite:./perch.heads.db: applied 0001")
	serve := func() {
		t.Helper()
		r, stop := started(t, environ, "serve")
		eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
		stop()
		said(r).says(t, exitDone, "Perch has stopped")
	}
	serve()
	serve()
	said(perch(t, environ, "", "doctor")).says(t, exitDone, "ok    Workers KV    "+kv+" answers, and its newest versions are in",
		"ok    grants        0 looked at")

	said(perch(t, environ, "", "keyset", "list")).says(t, exitDone, "primary")
	said(perch(t, environ, "", "keyset", "reseal")).says(t, exitDone)
	said(perch(t, append(bare, "PERCH_LEASES=sqlite:./none.db"), "", "keyset", "reseal")).
		says(t, exitFailed, "sqlite:./none.db does not exist")

	for _, elsewhere := range []string{"sqlite:./other.db", redistest.URL(t)} {
		other := append(bare, "PERCH_LEASES="+elsewhere)
		for verb, say := range map[string]string{"doctor": "FAIL  Workers KV    open the namespace", "serve": "open the namespace"} {
			said(perch(t, other, "", verb)).says(t, exitFailed, say, "with other heads than those in this store",
				"delete the key perch/founded of the namespace")
		}
	}
}

func TestDoctorLooksAtRedis(t *testing.T) {
	x, p := box(t, 0), workerd.KV(t)
	t.Chdir(t.TempDir())
	environ := boxed(x, x, "PERCH_VAULT=kv:"+p.Account+"/"+p.ID,
		"PERCH_CLOUDFLARE_URL="+p.URL, "PERCH_CLOUDFLARE_TOKEN="+p.Token)
	for url, c := range map[string]struct {
		code int
		say  string
	}{
		redistest.Start(t, "--appendfsync", "always").URL():   {exitDone, "answers and keeps what it is told"},
		redistest.Start(t, "--appendfsync", "everysec").URL(): {exitDone, "warn  Redis         Redis has appendfsync everysec"},
		redistest.Start(t, "--appendonly", "no").URL():        {exitFailed, "set appendonly yes and appendfsync always"},
		"redis://u:" + canary + "@127.0.0.1:1":                {exitFailed, "FAIL  Redis         open Redis on 127.0.0.1:1"},
	} {
		r := perch(t, append(environ, "PERCH_LEASES="+url), "", "doctor")
		r.says(t, c.code, c.say)
		if strings.Contains(r.out.String()+r.err.String(), canary) {
			t.Error("the password is shown")
		}
	}
}

func TestDoctorLooksAtTheRedisThatCounts(t *testing.T) {
	x := box(t, 0)
	t.Chdir(t.TempDir())
	environ := boxed(x, x, "PERCH_STORE=memory:")
	evicts := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru").URL()
	gone := "redis://u:" + canary + "@127.0.0.1:1"
	for _, c := range []struct {
		url, down string
		code      int
		say       string
	}{
		{redistest.Start(t, "--appendonly", "no").URL(), "", exitDone, "ok    limits        calls are counted in"},
		{evicts, "", exitDone, "warn  limits        Redis drops keys when its memory is full (maxmemory-policy allkeys-lru)"},
		{gone, "", exitFailed, "FAIL  limits        redis://u@127.0.0.1:1 does not answer, and perch serve refuses calls"},
		{gone, "open", exitFailed, "each Perch counts calls by itself until it does"},
		{"redis:" + canary, "", exitFailed, "PERCH_QUOTA is a URL of Redis that cannot be read"},
	} {
		r := perch(t, append(environ, "PERCH_QUOTA="+c.url, "PERCH_QUOTA_DOWN="+c.down), "", "doctor")
		r.says(t, c.code, c.say)
		if strings.Contains(r.out.String()+r.err.String(), canary) {
			t.Error("the password is shown")
		}
	}
}
