package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImport(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, string(body))
		if strings.Contains(string(body), "newer") {
			exists(w)
			return
		}
		if strings.Contains(string(body), "refused") {
			refuse(w, http.StatusBadRequest, "Invalid", "X does not know the token CANARY-refused")
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, grant1)
	}))
	defer server.Close()
	lines := []string{
		`{"user_id":"42","access_token":"CANARY-1","refresh_token":"CANARY-2","scope":"tweet.read","expires_at":"2026-01-02T03:04:05Z"}`,
		``,
		`{"access_token":"CANARY-refused","scope":"tweet.read"}`,
		`{"access_token":"CANARY-3"`,
		`{"access_token":7,"scope":"CANARY-4"}`,
		`{"acess_token":"CANARY-5"}`,
		`{"app_id":"app_2","access_token":"CANARY-6"}`,
		`{"scope":"a"} {"scope":"CANARY-7"}`,
		`{"refresh_token":"CANARY-8","scope":"tweet.read"}`,
		`{"token_type":"bearer","expires_in":7200,"access_token":"CANARY-9","scope":"tweet.read","refresh_token":"CANARY-10"}`,
		`{"access_token":"CANARY-newer","scope":"tweet.read"}`,
		`{"access_token":"CANARY-11","scope":"tweet.read","expires_in":"7200"}`,
		`{"access_token":"CANARY-12","scope":"tweet.read","expires_at":7200}`,
		`{"access_token":"CANARY-13","scope":"tweet.read","expires_at":"tomorrow"}`,
	}
	r := perch(t, []string{"PERCH_ADMIN_URL=" + server.URL, "PERCH_ADMIN_TOKEN=t"}, strings.Join(lines, "\r\n"),
		"grants", "import", "--app=app_1")
	r.says(t, exitFailed, "3 imported, 1 already there, 9 failed", "--replace puts", "line 3: X does not know the token [secret] (status 400)",
		"line 4: is not a JSON object", "line 5: access_token must be text in quotes",
		`line 6: has the member "acess_token", which no import has; members are user_id`,
		"line 12: expires_in must be a whole number of seconds", "line 13: expires_at must be a time in quotes",
		"line 14: expires_at must be a time in quotes",
		"line 7: names an app_id", "line 8: holds more than one")
	if said := r.out.String() + r.err.String(); strings.Contains(said, "CANARY") {
		t.Errorf("a token is shown:\n%s", said)
	}
	want := []string{
		`{"app_id":"app_1","user_id":"42","access_token":"CANARY-1","refresh_token":"CANARY-2","scope":"tweet.read","expires_at":"2026-01-02T03:04:05Z"}`,
		`{"app_id":"app_1","access_token":"CANARY-refused","scope":"tweet.read"}`,
		`{"app_id":"app_1","refresh_token":"CANARY-8","scope":"tweet.read"}`,
		`{"app_id":"app_1","access_token":"CANARY-9","refresh_token":"CANARY-10","scope":"tweet.read","expires_in":7200}`,
		`{"app_id":"app_1","access_token":"CANARY-newer","scope":"tweet.read"}`,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestImportStopsWhereNothingCanWork(t *testing.T) {
	d := newDesk(t)
	r := perch(t, []string{"PERCH_ADMIN_URL=" + d.URL, "PERCH_ADMIN_TOKEN=wrong"},
		"{\"scope\":\"a\"}\n{\"scope\":\"b\"}\n", "grants", "import", "--app=app_1", "--json")
	r.says(t, exitFailed, "Stopped before line 1; import the lines again later", `"failed": 1`,
		`"line": 1`, `"reason": "send the operators' token; `+d.URL+` was asked`)
	if len(d.asked) != 1 {
		t.Errorf("asked %d times, want once", len(d.asked))
	}
}

func TestImportRefusesALineWithoutEnd(t *testing.T) {
	d := newDesk(t)
	r := perch(t, d.environ(), strings.Repeat("x", maxLine+1), "grants", "import", "--app=app_1")
	r.says(t, exitFailed, "line 1: cannot be read", "longer than 65536 bytes", "0 imported, 0 already there, 1 failed")
}

func exists(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusConflict)
	_, _ = io.WriteString(w, `{"type":"urn:perch:problem:grant-exists","title":"Conflict","status":409,"detail":"it is there"}`)
}

func TestImportLeavesWhatIsThereUnlessToldToReplaceIt(t *testing.T) {
	replaced := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if replaced = strings.Contains(string(body), `"replace":true`); !replaced {
			exists(w)
		}
	}))
	defer server.Close()
	environ := []string{"PERCH_ADMIN_URL=" + server.URL, "PERCH_ADMIN_TOKEN=t"}
	line := `{"access_token":"CANARY","scope":"tweet.read"}`
	perch(t, environ, line, "grants", "import", "--app=app_1").
		says(t, exitDone, "0 imported, 1 already there, 0 failed")
	perch(t, environ, line, "grants", "import", "--app=app_1", "--json").
		says(t, exitDone, `"already_there": 1`, `"reasons": []`)
	perch(t, environ, line, "grants", "import", "--app=app_1", "--replace").
		says(t, exitDone, "1 imported, 0 already there, 0 failed")
	if !replaced {
		t.Error("--replace was not passed on")
	}
	perch(t, nil, "", "grants", "import", "--help").says(t, exitDone, `{"access_token":"...",`, "--replace")
}
