package xhttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

// alarms keeps the alerts it is told, whole.
type alarms []audit.Event

func (a *alarms) Observe(_ context.Context, e audit.Event) { *a = append(*a, e) }

// say fails the test unless the one alert is of the verb and has all the words in
// its error, and none of what only the call knows.
func (a *alarms) say(t *testing.T, verb string, words ...string) {
	t.Helper()
	if len(*a) != 1 || (*a)[0].Verb != verb || (*a)[0].Err == nil {
		t.Fatalf("told %+v, want %s", *a, verb)
	}
	said := (*a)[0].Err.Error()
	for _, w := range words {
		if !strings.Contains(said, w) {
			t.Errorf("%s: no %q in %q", verb, w, said)
		}
	}
	if strings.Contains(said, canary) {
		t.Errorf("%s says %q", verb, said)
	}
}

func TestAnAlertSaysWhatHappenedBelow(t *testing.T) {
	read := readMe(t)
	read.Query = "user.fields=" + canary
	t.Run("nothing listens", func(t *testing.T) {
		var told alarms
		g, err := New(Config{APIURL: nowhere(t), Observer: &told})
		if err != nil {
			t.Fatal(err)
		}
		for range failuresToOpen {
			if _, err := g.Do(t.Context(), read); fault.SlugOf(err) != "x-unreachable" {
				t.Fatal(err)
			}
		}
		told.say(t, "x.breaker.open", "X fails for many calls of this group", "connection refused")
	})
	for name, v := range map[string]struct {
		times, status int
		body          string
		verb          string
		words         []string
	}{
		"X fails": {failuresToOpen, 503, "{}", "x.breaker.open", []string{"status 503 from X, transaction 1234abcd"}},
		"a cap": {1, 429, `{"title":"UsageCapExceeded","detail":"` + canary + `"}`, "x.usage_cap.open",
			[]string{"usage cap is used up", "status 429 from X, transaction 1234abcd"}},
		"no credits":     {1, 402, "{}", "x.out_of_credits.open", []string{"buy credits", "status 402"}},
		"refused tokens": {freshToOpen, 401, "{}", "x.auth_outage.open", []string{"of many users", "status 401 from X, transaction 1234abcd"}},
		"a limit":        {1, 429, "{}", "x.rate_limit.open", []string{"status 429"}},
	} {
		t.Run(name, func(t *testing.T) {
			var told alarms
			g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("X-Transaction-Id", "1234abcd")
				w.Header().Set("Retry-After", "60") // so that nothing is repeated
				w.WriteHeader(v.status)
				_, _ = w.Write([]byte(v.body))
			}))
			g.guard = newGuard(Config{Observer: &told}.withDefaults())
			for i := range v.times {
				read.Token, read.Fresh = secret.New(canary+strconv.Itoa(i)), v.status == http.StatusUnauthorized
				reply, err := g.Do(t.Context(), read)
				if reply.Status != v.status {
					t.Fatalf("%+v %v", reply, err)
				}
				if err == nil {
					_ = reply.Body.Close()
				}
			}
			told.say(t, v.verb, v.words...)
		})
	}
}

func TestAnAlertOfTheTokenEndpointSaysWhatHappenedBelow(t *testing.T) {
	for name, v := range map[string]struct {
		why  error
		says string
	}{
		"a failure that is known": {errors.New("connection refused"), "connection refused"},
		"one that is not":         {nil, "refused by X"},
	} {
		var told alarms
		b := NewBreakers(time.Second, &told)
		for range failuresToOpen {
			tell, err := b.Allow("default")
			if err != nil {
				t.Fatal(name, err)
			}
			tell(ports.Failed, v.why)
		}
		told.say(t, "x.token_endpoint.open", v.says)
	}
}
