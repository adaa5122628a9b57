package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

func TestFlagsOfOperatorsMayStandBeforeTheVerb(t *testing.T) {
	parser, err := kong.New(&verbs{})
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--server URL apps list":              "apps list --server URL",
		"--server=URL --json apps list":       "apps list --server=URL --json",
		"apps --json list":                    "apps list --json",
		"apps list --server URL":              "apps list --server URL",
		"--admin-token-file f grants list -h": "grants list --admin-token-file f -h",
		"apps add --json list":                "apps add --json list",
		"apps show list --json":               "apps show list --json",
		"--server apps list":                  "--server apps list", // apps is its value
		"--log-level debug serve":             "--log-level debug serve",
		"--json":                              "--json",
		"--server":                            "--server",
		"serve":                               "serve",
	} {
		if got := strings.Join(behind(parser.Model.Node, strings.Fields(args)), " "); got != want {
			t.Errorf("%s becomes %s, want %s", args, got, want)
		}
	}
}

func TestEachFlagOfOperatorsVerbsIsOneThatMayComeEarly(t *testing.T) {
	parser, err := kong.New(&struct{ remote }{})
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range parser.Model.Flags {
		is, valued := early("--" + flag.Name)
		if flag.Name != "help" && (!is || valued == flag.IsBool()) {
			t.Errorf("--%s: early %v, takes a value %v", flag.Name, is, valued)
		}
	}
}

func TestAFlagBeforeTheVerbCounts(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[]}`
	environ := []string{"PERCH_ADMIN_TOKEN=" + deskToken}
	for _, args := range []string{"--server " + d.URL + " --json apps list", "apps --server " + d.URL + " list --json"} {
		if r := perch(t, environ, "", strings.Fields(args)...); r.code != exitDone || r.out.String() != "[]\n" {
			t.Errorf("%s: %d %s%s", args, r.code, r.out.String(), r.err.String())
		}
	}
	perch(t, environ, "", "--server", d.URL, "serve").says(t, exitMisuse, "unknown flag --server; perch serve --help shows")
	if diff := cmp.Diff([]string{"GET /admin/v1/apps?limit=200", "GET /admin/v1/apps?limit=200"}, d.asked); diff != "" {
		t.Error(diff)
	}
}
