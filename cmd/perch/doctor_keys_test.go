package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"perch/adapters/keyring"
)

// servedOnce is a Perch that was started once, and perhaps told something.
func servedOnce(t *testing.T, environ []string, tell func(server []string)) {
	t.Helper()
	r, stop := started(t, append(environ, "PERCH_ADMIN_LISTEN=127.0.0.1:0"), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	tell([]string{"PERCH_ADMIN_URL=" + between(r.err.String(), "operators on ", ".\n")})
	stop()
}

// keysetLines are what the doctor says of the keyset.
func keysetLines(r *ran) (lines []string) {
	for line := range strings.Lines(r.out.String()) {
		if strings.Contains(line, "  keyset  ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// insides is a word of the keyring's own; IDs of keys, in hexadecimal, may have it in them.
var insides = regexp.MustCompile(`\baead\b`)

func TestDoctorAgreesWithServeAboutKeys(t *testing.T) {
	x := box(t, 0)
	grant := func(server []string) {
		added := perch(t, server, "", "apps", "add", "Page", "--json")
		perch(t, server, `{"user_id":"42","access_token":"CANARY","scope":"tweet.read"}`,
			"grants", "import", "--app="+between(added.out.String(), `"id": "`, `"`)).says(t, exitDone, "1 imported")
	}
	for name, tell := range map[string]func([]string){
		"a signing key alone": func([]string) {}, "a grant, too": grant,
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			servedOnce(t, boxed(x, x), tell)
			agree := func(doctor, serve string) {
				t.Helper()
				examined := perch(t, boxed(x, x), "", "doctor")
				examined.says(t, exitFailed, doctor)
				if lines := keysetLines(examined); len(lines) != 1 {
					t.Errorf("of one keyset the doctor says:\n%s", strings.Join(lines, ""))
				}
				refused := perch(t, boxed(x, x), "", "serve")
				refused.says(t, exitFailed, serve)
				for _, r := range []*ran{examined, refused} {
					if insides.MatchString(r.out.String() + r.err.String()) {
						t.Error("the insides of the keyring are shown")
					}
				}
			}
			if err := os.Rename("perch.keyset.json", "away"); err != nil {
				t.Fatal(err)
			}
			agree("FAIL  keyset        ./perch.keyset.json does not exist, but what is stored was sealed with it",
				"perch.keyset.json is missing")
			if err := keyring.Generate("perch.keyset.json"); err != nil {
				t.Fatal(err)
			}
			agree("FAIL  keyset        ./perch.keyset.json (its primary key is", "with which the signing key")
			if err := os.Rename("away", "perch.keyset.json"); err != nil {
				t.Fatal(err)
			}
			perch(t, boxed(x, x), "", "doctor").says(t, exitDone, "ok    keyset        ./perch.keyset.json opens")
			if name == "a grant, too" {
				other := boxed(x, x, "PERCH_X_CLIENT_ID=another")
				perch(t, other, "", "doctor").says(t, exitFailed, `FAIL  X App         PERCH_X_CLIENT_ID is "another", and`)
				perch(t, other, "", "serve").says(t, exitFailed, `PERCH_X_CLIENT_ID is "another", and`)
			}
		})
	}
}

func TestDoctorAgreesWithServeAboutTheToken(t *testing.T) {
	x := box(t, 0)
	for name, text := range map[string]string{"empty": "", "cut": "ABCDE", "blank": "\n"} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("perch.admin-token", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			environ := boxed(x, x, "PERCH_ADMIN_LISTEN=127.0.0.1:0")
			perch(t, environ, "", "doctor").says(t, exitFailed, "FAIL  operators", "./perch.admin-token")
			r := perch(t, environ, "", "serve")
			if said := r.err.String(); r.code == exitDone || !strings.Contains(said, "./perch.admin-token") ||
				!strings.Contains(said, "perch serve makes a new one") {
				t.Errorf("exit code %d: %s", r.code, said)
			}
		})
	}
}
