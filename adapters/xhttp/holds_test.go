package xhttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// held writes each hold on a line, with times as they are from now.
func held(all []xapp.Hold) []string {
	var lines []string
	slices.SortFunc(all, xapp.Hold.Compare)
	for _, h := range all {
		line := fmt.Sprintf("%s %q %s refuses=%v since %v", h.XApp, h.Group, h.Event, h.Refuses, time.Until(h.Since))
		if !h.NextTry.IsZero() {
			line += fmt.Sprintf(" next %v", time.Until(h.NextTry))
		}
		if !h.Until.IsZero() {
			line += fmt.Sprintf(" until %v", time.Until(h.Until))
		}
		lines = append(lines, line+": "+h.Cause.Error())
	}
	return lines
}

func TestWhatXIsLeftAloneForCanBeSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := guarded(15*time.Second, 10)
		x := &Gateway{guard: g}
		see := func(when string, want ...string) {
			t.Helper()
			if d := cmp.Diff(want, held(x.Holds())); d != "" {
				t.Errorf("%s (-want +got):\n%s", when, d)
			}
		}
		see("at first")
		call := func(x xapp.ID, id string) ports.Call {
			return ports.Call{Action: action(t, id), XApp: x, Token: secret.New("x")}
		}
		list, read, capped, post := call("poor", "createLists"), call("a", "getUsersMe"), call("b", "getUsersMe"), call("a", "createPosts")
		_, _ = g.pass(t, list, 402, "")
		_, _ = g.pass(t, call("b", "createDirectMessagesByConversationId"), 429, "")
		_, _ = g.pass(t, capped, 429, `{"title":"UsageCapExceeded"}`)
		for range failuresToOpen {
			_, _ = g.pass(t, read, http.StatusInternalServerError, "")
		}
		for i := range freshToOpen {
			c := post
			c.Token, c.Fresh = secret.New(fmt.Sprint(i)), true
			_, _ = g.pass(t, c, http.StatusUnauthorized, "")
		}
		time.Sleep(10 * time.Second)
		see("after ten seconds",
			`a "" x.auth_outage refuses=true since -10s next 5s: status 401 from X`,
			`a "reads" x.breaker refuses=true since -10s next 5s: status 500 from X`,
			`b "messages" x.rate_limit refuses=false since -10s until 50s: status 429 from X`,
			`b "reads" x.usage_cap refuses=true since -10s next 50s until 59m50s: status 429 from X`,
			`poor "" x.out_of_credits refuses=true since -10s next 50s until 4m50s: status 402 from X`,
		)
		time.Sleep(50 * time.Second)
		_, _ = g.pass(t, read, http.StatusInternalServerError, "") // a try that fails is no new beginning
		_, _ = g.pass(t, list, 201, "{}")
		_, _ = g.pass(t, post, 201, "{}")
		see("after a minute",
			`a "reads" x.breaker refuses=true since -1m0s next 15s: status 500 from X`,
			`b "reads" x.usage_cap refuses=true since -1m0s next 0s until 59m0s: status 429 from X`,
		)
		time.Sleep(16 * time.Second)
		see("when a call may go through",
			`a "reads" x.breaker refuses=true since -1m16s next 0s: status 500 from X`,
			`b "reads" x.usage_cap refuses=true since -1m16s next -16s until 58m44s: status 429 from X`,
		)
		for _, c := range []ports.Call{read, capped} {
			_, _ = g.pass(t, c, 200, "{}")
		}
		see("in the end")
	})
}

func TestOperatorsAreToldToWhichActionXAnswered429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := guarded(15*time.Second, 10)
		_, _ = g.pass(t, ports.Call{Action: action(t, "createPosts"), XApp: "a", Token: secret.New("x")}, 429, "")
		all := (&Gateway{guard: g}).Holds()
		if len(all) != 1 || !strings.Contains(all[0].Say, "429 to createPosts") || strings.Contains(all[0].Say, "Retry-After") {
			t.Errorf("got %+v", all)
		}
	})
}

func TestAnOutageOfTheTokenEndpointCanBeSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreakers(15*time.Second, &bell{})
		for range failuresToOpen {
			tell, err := b.Allow("default")
			if err != nil {
				t.Fatal(err)
			}
			tell(ports.Failed, errors.New("connection refused"))
		}
		got := held(b.Holds())
		if want := []string{`default "" x.token_endpoint refuses=true since 0s next 15s: connection refused`}; !slices.Equal(got, want) {
			t.Errorf("got %s", strings.Join(got, "\n"))
		}
	})
}
