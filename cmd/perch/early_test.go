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
		"--server apps list":                  "list", // apps is its value
		"--server URL apps":                   "apps",
		"apps --insecure-http":                "apps",
		"--log-level debug serve":             "--log-level debug serve",
		"--json":                              "",
		"--json --help":                       "--help",
		"--server=URL apps -h":                "apps -h",
		"serve":                               "serve",
	} {
		got, err := behind(parser.Model.Node, strings.Fields(args))
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s becomes %s, want %s: %v", args, got, want, err)
		}
	}
}

func TestEachFlagOfOperatorsVerbsIsOneThatMayComeEarly(t *testing.T) {
	parser, err := kong.New(&struct{ remote }{})
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range parser.Model.Flags {
		is, value := early("--" + flag.Name)
		if flag.Name != "help" && (!is || value != flag.PlaceHolder) {
			t.Errorf("--%s: early %v, takes %s, not %s", flag.Name, is, value, flag.PlaceHolder)
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

func TestHelpIsShownBehindEarlyFlagsToo(t *testing.T) {
	for args, say := range map[string]string{
		"--server=http://a --admin-token-file=f --help": "perch <command>",
		"--server=http://a deliveries --help":           "perch deliveries <command>",
		"--server=http://a deliveries list --help":      "perch deliveries list",
		"deliveries --json -h":                          "perch deliveries <command>",
	} {
		if r := perch(t, nil, "", strings.Fields(args)...); r.code != exitDone || !strings.Contains(r.out.String(), "Usage: "+say) {
			t.Errorf("%s: %d %s%s", args, r.code, r.out.String(), r.err.String())
		}
	}
}

func TestWhatIsMissingBehindEarlyFlagsIsSaid(t *testing.T) {
	for args, say := range map[string]string{
		"--server http://a apps":          `expected one of "add", "list", "show", "change"; perch apps --help shows`,
		"apps --server=http://a":          `expected one of "add", "list", "show", "change"; perch apps --help shows`,
		"--json":                          `expected one of "dev", "serve",`,
		"--server http://a":               `expected one of "dev", "serve",`,
		"--server http://a fly":           "unexpected argument fly",
		"--server apps list":              "unexpected argument list",
		"--server":                        "--server is given without its URL; perch --help shows",
		"--json --server":                 "--server is given without its URL",
		"apps --admin-token-file":         "--admin-token-file is given without its FILE",
		"--server http://a --admin-token": "--admin-token is given without its TOKEN",
	} {
		perch(t, nil, "", strings.Fields(args)...).says(t, exitMisuse, "perch: "+say)
	}
}
