package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// get asks with a bearer and returns the status and the body.
func get(t *testing.T, url, bearer string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := asker().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestDevIsReadyToUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials.json")
	r, stop := started(t, nil, "dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
		"--x-listen=127.0.0.1:0", "--demo-listen=127.0.0.1:0", "--credentials-file="+file)
	eventually(t, "the credentials are there", func() bool { _, err := os.Stat(file); return err == nil })
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the credentials file: %v, %v, want mode 0600", info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]string
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}

	for _, ask := range []struct {
		what, url, bearer string
		header            []string
		say               string
	}{
		{"the user's profile", c["base_url"] + "/2/users/me", c["secret_key"], []string{"Perch-Grant", c["grant_id"]}, `"ada"`},
		{"an app-only action", c["base_url"] + "/2/usage/tweets", c["secret_key"], nil, "project_usage"},
		{"the demo", c["demo_url"] + "/", "", nil, "<html"},
		{"the demo's settings", c["demo_url"] + "/config.json", "", nil, c["client_id"]},
		{"X in a box", c["x_url"] + "/i/oauth2/authorize", "", nil, "simulator"},
		{"operators", c["admin_url"] + "/admin/v1/grants", c["admin_token"], nil, c["grant_id"]},
	} {
		status, body := get(t, ask.url, ask.bearer, ask.header...)
		if (status != http.StatusOK && ask.what != "X in a box") || !strings.Contains(body, ask.say) {
			t.Errorf("%s: status %d, %s", ask.what, status, body)
		}
	}
	status, body := get(t, c["admin_url"]+"/admin/v1/grants", c["secret_key"])
	if status != http.StatusUnauthorized {
		t.Errorf("a secret key at the operators' door: status %d, %s", status, body)
	}

	operator := []string{"PERCH_ADMIN_URL=" + c["admin_url"], "PERCH_ADMIN_TOKEN=" + c["admin_token"]}
	perch(t, operator, "", "apps", "list").says(t, exitDone, "Demo", c["demo_url"])
	perch(t, operator, "", "grants", "list").says(t, exitDone, c["grant_id"], "@ada")

	stop()
	r.says(t, exitDone, "Perch is up", c["demo_url"], c["base_url"])
	if strings.Contains(r.out.String()+r.err.String(), c["admin_token"]) {
		t.Error("the operators' token is shown")
	}
}

// TestOneLineMakesAnOperatorOfDev: the one that dev prints. The token is in its
// file alone.
func TestOneLineMakesAnOperatorOfDev(t *testing.T) {
	file := filepath.Join(t.TempDir(), "it's here", "token")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	r, stop := started(t, nil, "dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
		"--x-listen=127.0.0.1:0", "--demo-listen=127.0.0.1:0", "--admin-token-file="+file)
	eventually(t, "dev is up", func() bool { return strings.Contains(r.out.String(), "Ctrl-C") })
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v, want mode 0600", info.Mode(), err)
	}
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(r.out.String(), word(os.Args[0])+" --server=")
	line, _, _ = strings.Cut(line, " apps list\n")
	server, quoted, _ := strings.Cut(line, " --admin-token-file=")
	if quoted != `'`+strings.ReplaceAll(file, "'", `'\''`)+`'` {
		t.Errorf("the line names %s", quoted)
	}
	perch(t, nil, "", "--server="+server, "--admin-token-file="+file, "apps", "list").says(t, exitDone, "Demo")
	stop()
	if said := r.out.String() + r.err.String(); strings.Contains(said, strings.TrimSpace(string(token))) {
		t.Error("the operators' token is shown")
	}
}

func TestDevSaysWhichAddressesAreTaken(t *testing.T) {
	ln, err := listen(context.Background(), "", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	taken := ln.Addr().String()
	perch(t, nil, "", "dev", "--listen="+taken, "--admin-listen=127.0.0.1:0", "--x-listen="+taken,
		"--demo-listen=127.0.0.1:0").says(t, exitFailed, "something listens on "+taken, "address with --listen\n",
		"address with --x-listen\n", "perch dev --listen=127.0.0.1:0 --x-listen=127.0.0.1:0", "go run ./cmd/perch dev --listen=")
}

func TestSimulate(t *testing.T) {
	r, stop := started(t, nil, "simulate", "--listen=127.0.0.1:0")
	eventually(t, "X in a box says where it is", func() bool { return strings.Contains(r.out.String(), "PERCH_X_BEARER") })
	_, at, _ := strings.Cut(r.out.String(), "PERCH_X_API_URL=")
	at, _, _ = strings.Cut(at, "\n")
	if status, _ := get(t, at+"/2/users/me", "nobody"); status != http.StatusUnauthorized {
		t.Errorf("X in a box answers status %d to nobody", status)
	}
	stop()
	r.says(t, exitDone)
}
