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
	}
	r := perch(t, []string{"PERCH_ADMIN_URL=" + server.URL, "PERCH_ADMIN_TOKEN=t"}, strings.Join(lines, "\r\n"),
		"grants", "import", "--app=app_1")
	r.says(t, exitFailed, "2 imported, 6 failed", "line 3: X does not know the token [secret] (status 400)",
		"line 4: is not a JSON object", "line 5: access_token has the wrong type", "line 6: has a member",
		"line 7: names an app_id", "line 8: holds more than one")
	if said := r.out.String() + r.err.String(); strings.Contains(said, "CANARY") {
		t.Errorf("a token is shown:\n%s", said)
	}
	want := []string{
		`{"app_id":"app_1","user_id":"42","access_token":"CANARY-1","refresh_token":"CANARY-2","scope":"tweet.read","expires_at":"2026-01-02T03:04:05Z"}`,
		`{"app_id":"app_1","access_token":"CANARY-refused","scope":"tweet.read"}`,
		`{"app_id":"app_1","refresh_token":"CANARY-8","scope":"tweet.read"}`,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestImportStopsWhereNothingCanWork(t *testing.T) {
	d := newDesk(t)
	r := perch(t, []string{"PERCH_ADMIN_URL=" + d.URL, "PERCH_ADMIN_TOKEN=wrong"},
		"{\"scope\":\"a\"}\n{\"scope\":\"b\"}\n", "grants", "import", "--app=app_1", "--json")
	r.says(t, exitFailed, "Stopped before line 1", `"failed": 1`)
	if len(d.asked) != 1 {
		t.Errorf("asked %d times, want once", len(d.asked))
	}
}

func TestImportRefusesALineWithoutEnd(t *testing.T) {
	d := newDesk(t)
	r := perch(t, d.environ(), strings.Repeat("x", maxLine+1), "grants", "import", "--app=app_1")
	r.says(t, exitFailed, "line 1: cannot be read", "0 imported, 1 failed")
}
