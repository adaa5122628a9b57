package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// box is X in a box whose app may return to the given URIs. Its clock is ahead
// of ours.
func box(t *testing.T, ahead time.Duration, redirects ...string) string {
	app := xsim.DefaultApp()
	app.RedirectURIs = redirects
	sim := xsim.New(xsim.Options{Apps: []xsim.App{app}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close)
	return server.URL
}

func boxed(api, consent string, more ...string) []string {
	app := xsim.DefaultApp()
	return append([]string{
		"PERCH_LISTEN=127.0.0.1:0", "PERCH_ADMIN_LISTEN=off", "PERCH_PUBLIC_URL=http://127.0.0.1:8080",
		"PERCH_X_API_URL=" + api, "PERCH_X_AUTHORIZE_URL=" + consent + "/i/oauth2/authorize",
		"PERCH_X_CLIENT_ID=" + app.ClientID, "PERCH_X_CLIENT_SECRET=" + app.ClientSecret, "PERCH_X_BEARER=" + app.Bearer,
	}, more...)
}

func TestDoctorFindsNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	x := box(t, 0, "http://127.0.0.1:8080/oauth/callback")
	r := perch(t, boxed(x, x), "", "doctor")
	r.says(t, exitDone, "All is in order", "X accepts its client ID and secret", "X accepts its app-only bearer",
		"the consent page takes http://127.0.0.1:8080/oauth/callback", "agrees with X's", "PERCH_X_BEARER")
	for _, canary := range []string{xsim.DefaultApp().ClientSecret, xsim.DefaultApp().Bearer} {
		if strings.Contains(r.out.String()+r.err.String(), canary) {
			t.Errorf("the secret %s is shown", canary)
		}
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("the doctor left %v behind, %v", files, err)
	}
}

func TestDoctorNamesThreePlantedMistakesInOneRun(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.json", []byte(`{"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	consent := box(t, 0, "http://127.0.0.1:9999/oauth/callback")
	r := perch(t, boxed("http://127.0.0.1:1", consent, "PERCH_KEYSET_FILE=bad.json"), "", "doctor")
	r.says(t, exitFailed,
		"FAIL  keyset        bad.json is not a keyring of Perch",
		"FAIL  X             X cannot be reached",
		"FAIL  redirect      the consent page refuses to send browsers back (it says: The redirect_uri",
		"register exactly http://127.0.0.1:8080/oauth/callback", "3 to repair")
}

func TestDoctorFindings(t *testing.T) {
	x := box(t, 0)
	for name, c := range map[string]struct {
		environ []string
		say     string
	}{
		"a callback on localhost":  {boxed(x, "https://x.com", "PERCH_PUBLIC_URL=http://localhost:8080"), "FAIL  redirect      X refuses callback URLs on localhost; set PERCH_PUBLIC_URL to http://127.0.0.1:8080 and register http://127.0.0.1:8080/oauth/callback"},
		"the same over TLS":        {boxed(x, "https://x.com", "PERCH_PUBLIC_URL=https://localhost:18100"), "FAIL  redirect      X refuses callback URLs on localhost; set PERCH_PUBLIC_URL to https://127.0.0.1:18100 and register https://127.0.0.1:18100/oauth/callback"},
		"localhost of X in a box":  {boxed(x, x, "PERCH_PUBLIC_URL=http://localhost:8080"), "ok    redirect      the consent page takes http://localhost:8080/oauth/callback"},
		"the API alone in a box":   {boxed(x, "https://x.com"), "warn  X             PERCH_X_API_URL (" + x + ") and PERCH_X_AUTHORIZE_URL (https://x.com/i/oauth2/authorize) are not the same X"},
		"a public URL with a path": {boxed(x, x, "PERCH_PUBLIC_URL=https://p.example/oauth/callback"), "FAIL  redirect      PERCH_PUBLIC_URL has the path"},
		"a wrong client secret":    {boxed(x, x, "PERCH_X_CLIENT_SECRET=wrong"), "FAIL  X App         X refused this X App's client ID or secret"},
		"no client secret":         {boxed(x, x, "PERCH_X_CLIENT_SECRET="), "FAIL  X App         X refused this X App without a client secret: PERCH_X_CLIENT_SECRET is not set"},
		"an unknown client ID":     {boxed(x, x, "PERCH_X_CLIENT_ID=nobody"), "FAIL  redirect      the consent page does not know the X App (it says: No app has this client_id.)"},
		"a wrong bearer":           {boxed(x, x, "PERCH_X_BEARER=wrong"), "FAIL  X App         X refuses its app-only bearer"},
		"a wrong API key":          {boxed(x, x, "PERCH_X_BEARER=", "PERCH_X_API_KEY=a", "PERCH_X_API_SECRET=b"), "FAIL  X App         X refused this X App's API key"},
		"X's own consent page":     {boxed(x, "https://x.com"), "ok    redirect      compare with X's developer console: register exactly"},
		"a misspelt variable":      {boxed(x, x, "PERCH_STOER=memory:"), "warn  settings      PERCH_STOER is no setting"},
		"two mistakes of settings": {boxed(x, x, "PERCH_LOG_LEVEL=loud", "PERCH_STORE=tape:"), "FAIL  settings      PERCH_LOG_LEVEL"},
		"no folder for the store":  {boxed(x, x, "PERCH_STORE=sqlite:none/perch.db"), "FAIL  store         sqlite:none/perch.db cannot be made"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			r := perch(t, c.environ, "", "doctor")
			code := exitDone
			if strings.HasPrefix(c.say, broken) {
				code = exitFailed
			}
			r.says(t, code, c.say)
		})
	}
}

func TestDoctorComparesClocks(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		ahead time.Duration
		code  int
		say   string
	}{
		{10 * time.Second, exitDone, "warn  clock         this clock is "},
		{-10 * time.Minute, exitFailed, "FAIL  clock         this clock is "},
	} {
		x := box(t, c.ahead)
		perch(t, boxed(x, x), "", "doctor").says(t, c.code, c.say)
	}
}

func TestDoctorNoticesWhoListens(t *testing.T) {
	t.Chdir(t.TempDir())
	x := box(t, 0)
	strange := strings.TrimPrefix(x, "http://")
	perch(t, boxed(x, x, "PERCH_LISTEN="+strange), "", "doctor").
		says(t, exitFailed, "FAIL  listeners     something else listens on "+strange)

	running, stop := started(t, quiet("PERCH_STORE=memory:", "PERCH_ADMIN_LISTEN=off"), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(running.err.String(), "callback URL") })
	ours := between(running.err.String(), "clients on http://", ".\n")
	perch(t, boxed(x, x, "PERCH_LISTEN="+ours), "", "doctor").
		says(t, exitDone, "ok    listeners     a Perch listens on "+ours+" already")
	stop()
}

func TestDoctorOpensWhatIsStored(t *testing.T) {
	t.Chdir(t.TempDir())
	x := box(t, 0)
	r, stop := started(t, boxed(x, x, "PERCH_ADMIN_LISTEN=127.0.0.1:0"), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	server := []string{"PERCH_ADMIN_URL=" + between(r.err.String(), "operators on ", ".\n")}
	added := perch(t, server, "", "apps", "add", "Page", "--origin=https://a.example", "--redirect-uri=https://b.example/", "--json")
	id := between(added.out.String(), `"id": "`, `"`)
	perch(t, server, `{"user_id":"42","access_token":"CANARY","scope":"tweet.read"}`, "grants", "import", "--app="+id).
		says(t, exitDone, "1 imported")
	stop()

	perch(t, boxed(x, x), "", "doctor").says(t, exitDone, "ok    keyset        ./perch.keyset.json opens",
		"is up to date", "ok    grants        1 looked at", "warn  applications  "+id+" (Page) returns browsers to https://b.example/")
}
