package wiring_test

import (
	"net/http"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// However it turns out that an access token is no longer good, and however many
// callers find out at once: X sees its refresh token once.
func TestManyCallersCauseOneRefresh(t *testing.T) {
	for name, v := range map[string]struct {
		callers int
		expires time.Duration // of the access token, as Perch was told
		passes  time.Duration // at X, before anybody calls
	}{
		"X refuses what Perch thinks good":  {200, time.Hour, 2 * time.Hour},
		"Perch knows that it has expired":   {200, -time.Hour, 2 * time.Hour},
		"Perch renews, and X refuses early": {50, 30 * time.Second, 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, append(environments(), apart()...), func(t *testing.T, e environment) {
				x := xsim.New(xsim.Options{})
				set(t, x, `{"windows":false}`)
				at, _ := serveX(t, x)
				h := open(t, settings(t, e, at))
				app := h.register(t, pageA, "")
				old := issue(t, x, "sim-client", ada)
				grant := h.adopt(t, app, ada, old, time.Now().Add(v.expires))
				x.Advance(v.passes)
				// While X takes its time, all the others find out for themselves.
				x.Mischief(xsim.Mischief{Match: "token.refresh_token", Kind: "slow", Delay: 200 * time.Millisecond})

				want(t, http.StatusOK, together(e.many(v.callers), func(int) answer {
					return patient(func() answer { return h.act(t, app.sk, grant, "GET", "/2/users/me", "") })
				})...)
				refreshedOnce(t, x, old)
				served(t, x, e.many(v.callers))
			})
		})
	}
}

// refreshedOnce checks that X saw the token's refresh token once, and nothing worse.
func refreshedOnce(t *testing.T, x *xsim.Sim, old xsim.Token) {
	t.Helper()
	got := happened(x, "token.refreshed")
	if len(got) != 1 || got[0].Details["old_refresh_fp"] != xsim.Fingerprint(old.Refresh) {
		t.Errorf("X refreshed %d times: %+v", len(got), got)
	}
	if worse := happened(x, "token.replayed", "family.killed"); len(worse) > 0 {
		t.Errorf("X has seen %+v", worse)
	}
	asked := 0
	for _, e := range happened(x, "call") {
		if e.Object == "token.refresh_token" {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("X's token endpoint was asked %d times", asked)
	}
}

// served checks that each caller's action was performed at X, once, with the
// new token.
func served(t *testing.T, x *xsim.Sim, callers int) {
	t.Helper()
	fresh := ""
	for _, e := range happened(x, "token.refreshed") {
		fresh = e.Details["access_fp"]
	}
	n := 0
	for _, e := range happened(x, "call") {
		if e.Object != "getUsersMe" || e.Details["status"] != "200" {
			continue
		}
		n++
		if e.Details["access_fp"] != fresh {
			t.Errorf("X accepted another token than the new one")
		}
	}
	if n != callers {
		t.Errorf("X performed %d actions for %d callers", n, callers)
	}
}

// A post that X refuses for its token is sent again with a new one, and is posted once.
func TestPostsOnAnExpiredTokenArePostedOnce(t *testing.T) {
	const callers = 20
	within(t, append(environments(), apart()...), func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		app := h.register(t, pageA, "")
		old := issue(t, x, "sim-client", ada)
		grant := h.adopt(t, app, ada, old, time.Now().Add(time.Hour))
		x.Advance(2 * time.Hour)
		want(t, http.StatusCreated, together(callers, func(i int) answer {
			text := jsonOf(t, object{"text": time.Duration(i).String()})
			return patient(func() answer { return h.act(t, app.sk, grant, "POST", "/2/tweets", text) })
		})...)
		refreshedOnce(t, x, old)
		if n := len(happened(x, "post.created")); n != callers {
			t.Errorf("%d callers posted %d times", callers, n)
		}
	})
}
