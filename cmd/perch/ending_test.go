package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

// What X has been asked is finished when Perch is told to stop: the client gets
// the answer, and the exit is clean.
func TestASignalDuringAPostLetsItEnd(t *testing.T) {
	t.Chdir(t.TempDir())
	x := xsim.New(xsim.Options{})
	asked := make(chan struct{}, 10)
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/2/tweets" {
			asked <- struct{}{}
		}
		x.ServeHTTP(w, r)
	}))
	defer at.Close()
	const founding = "the-operators-token-of-this-test" // #nosec G101 -- opens nothing
	r, stop := started(t, quiet(
		"PERCH_X_API_URL="+at.URL, "PERCH_X_CLIENT_ID=sim-client", "PERCH_X_CLIENT_SECRET=sim-secret",
		"PERCH_STORE=memory:", "PERCH_ADMIN_TOKEN="+founding,
	), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	public := between(r.err.String(), "clients on ", ",")
	admin := between(r.err.String(), "operators on ", ".\n") + "/admin/v1/"
	operator := func(path, body string) map[string]any {
		t.Helper()
		status, answer := post(t, admin+path, founding, body)
		made := map[string]any{}
		if err := json.Unmarshal([]byte(answer), &made); err != nil || status != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		return made
	}
	app, _ := operator("apps", `{"name":"One","scopes":["tweet.read","tweet.write","users.read"]}`)["id"].(string)
	key, _ := operator("apps/"+app+"/keys", `{"kind":"secret"}`)["key"].(string)
	ada := x.Users()[0].ID
	token, err := x.Issue("sim-client", ada, oauth.Everything.List())
	if err != nil {
		t.Fatal(err)
	}
	grant, _ := operator("grants/import", `{"app_id":"`+app+`","user_id":"`+ada+`","access_token":"`+token.Access+`","scope":"`+
		token.Scope+`","expires_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`","replace":true}`)["id"].(string)

	x.Mischief(xsim.Mischief{Match: "createPosts", Kind: "slow", Delay: 700 * time.Millisecond})
	status := make(chan int, 1)
	go func() {
		got, _ := post(t, public+"/2/tweets", key, `{"text":"the last one"}`, "Perch-Grant", grant)
		status <- got
	}()
	<-asked
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-status; got != http.StatusCreated {
		t.Errorf("the client got %d", got)
	}
	stop()
	r.says(t, exitDone, "Perch has stopped")
}

// post sends JSON and returns what came back. It may be called from any goroutine.
func post(t *testing.T, url, token, body string, header ...string) (status int, answer string) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(b)
}
