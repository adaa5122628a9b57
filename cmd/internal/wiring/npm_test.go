package wiring_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/xhttp/xsim"
	"perch/ports/conformance"
)

// npmClients is what the clients from npm are called among the backends.
const npmClients = "npm-clients"

// asked are the scopes that the clients from npm ask for, as Perch writes them.
const asked = "offline.access tweet.read tweet.write users.read"

// npmFolder is where the programs are that use clients from npm.
const npmFolder = "../../../clients/npm"

// needNPM skips the test where the clients from npm, or a Node for them, are not.
// Where they are, and the test passes, they are verified.
func needNPM(t *testing.T) {
	t.Helper()
	for _, name := range []string{"oauth4webapi", "openid-client", "twitter-api-v2", "@xdevplatform/xdk"} {
		if _, err := os.Stat(filepath.Join(npmFolder, "node_modules", name, "package.json")); err != nil {
			conformance.Absent(t, npmClients, name+" is not installed; run make clients, which wants npm")
		}
	}
	npmNode(t)
	conformance.Verified(t, npmClients)
}

// npmNode is a Node that the clients run on: the one that npm has brought for the
// store Worker, or the one in PATH.
func npmNode(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../adapters/edge/store/node_modules/.bin/node")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		if path, err = exec.LookPath("node"); err != nil {
			conformance.Absent(t, npmClients, "there is no Node; install Node 20 or later")
		}
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").Output()
	major, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	if n, wrong := strconv.Atoi(major); err != nil || wrong != nil || n < 20 {
		conformance.Absent(t, npmClients, path+" is Node "+strings.TrimSpace(string(out))+"; make edge brings a newer one")
	}
	return path
}

// npmProgram runs a program of clients/npm, tells it the settings, and returns what it says.
func npmProgram(t *testing.T, name string, settings object) []object {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, npmNode(t), name)
	cmd.Dir, cmd.Env = npmFolder, []string{"HOME=" + t.TempDir()}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(jsonOf(t, settings)), &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, &out, &complaint)
	}
	return npmSaid(t, out.String())
}

// npmSaid reads a JSON object a line.
func npmSaid(t *testing.T, text string) (all []object) {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		var one object
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		all = append(all, one)
	}
	return all
}

// npmJourney is what a client sees that knows this and does everything, from
// discovery to revocation.
func npmJourney(know object) []object {
	kind := "bearer"
	if know["dpop"] == true {
		kind = "dpop"
	}
	me := object{"step": "me", "status": 200.0, "username": "ada"}
	all := []object{
		{"step": "discovery", "issuer": true, "pkce": []any{"S256"}, "names_issuer": true},
		{"step": "mix-up", "refused": "OAUTH_INVALID_RESPONSE"},
		{"step": "tokens", "type": kind, "expires_in": 600.0, "scope": asked, "grant": true},
		me,
	}
	if kind == "dpop" {
		all = append(all, object{"step": "bound", "nonces_wanted": 1.0, "bearer": 401.0, "other_key": 401.0})
	}
	return append(all, object{"step": "refreshed", "type": kind, "rotated": true, "renewed": true}, me,
		object{"step": "revoked", "me": 401.0, "refresh": "invalid_grant"})
}

// npmKnows is what a client must know of Perch and of its registration.
func npmKnows(h *house, app tenant) object {
	return object{"issuer": h.public, "client_id": app.pk, "redirect_uri": app.origin + "/back", "scope": asked}
}

func TestOAuthClientsFromNPMCompleteTheJourneyInNode(t *testing.T) {
	needNPM(t)
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	h := open(t, settings(t, environments()[0], at))
	for _, name := range []string{"oauth4webapi.mjs", "openid-client.mjs"} {
		for _, secret := range []bool{false, true} {
			t.Run(name+", secret "+strconv.FormatBool(secret), func(t *testing.T) {
				app := h.register(t, pageA, "")
				know := npmKnows(h, app)
				if secret {
					know["secret_key"] = app.sk
				}
				if diff := cmp.Diff(npmJourney(know), npmProgram(t, name, know)); diff != "" {
					t.Errorf("it says (-want +got):\n%s", diff)
				}
			})
		}
	}
}
