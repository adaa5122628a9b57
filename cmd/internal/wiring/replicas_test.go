package wiring_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// A pair is two houses over the same things, under one public URL.
type pair [2]*house

func openTwo(t *testing.T, e environment, x *xsim.Sim) pair {
	t.Helper()
	at, _ := serveX(t, x)
	cfg := settings(t, e, at)
	one := open(t, cfg)
	cfg.PublicURL = one.public
	return pair{one, open(t, cfg)}
}

func TestTwoReplicasServeAsOne(t *testing.T) { lasting(t, twoReplicasServeAsOne) }

func twoReplicasServeAsOne(t *testing.T, e environment) {
	x := xsim.New(xsim.Options{})
	h := openTwo(t, e, x)
	app := h[0].register(t, pageA, "")
	v := h[0].visit(t, app)
	s := v.signIn(t, ada)
	for _, one := range h {
		want(t, http.StatusOK, h[0].act(t, app.sk, s.grant, "GET", "/2/users/me", ""))
		v.house = one
		want(t, http.StatusOK, v.page(t, pageA, s.access, "GET", "/2/users/me", ""))
	}

	// A sign-in that begins at one replica ends at the other; so do its tokens.
	v = h[0].visit(t, app)
	back := v.decide(t, grace, "approve")
	v.house = h[1]
	code := v.step(t, v.at(back)).Query().Get("code")
	v.house = h[0]
	hers := sessionOf(t, v.exchange(t, code))
	v.house = h[1]
	hers = sessionOf(t, v.refresh(t, hers.refresh))
	want(t, http.StatusOK, v.page(t, pageA, hers.access, "GET", "/2/users/me", ""))
}

func TestTwoReplicasRefreshOnce(t *testing.T) { lasting(t, twoReplicasRefreshOnce) }

func twoReplicasRefreshOnce(t *testing.T, e environment) {
	callers := e.many(100)
	for name, expires := range map[string]time.Duration{"it has expired": -time.Hour, "X refuses it": time.Hour} {
		t.Run(name, func(t *testing.T) {
			x := xsim.New(xsim.Options{})
			set(t, x, `{"windows":false}`)
			h := openTwo(t, e, x)
			app := h[0].register(t, pageA, "")
			old := issue(t, x, "sim-client", ada)
			grant := h[1].adopt(t, app, ada, old, time.Now().Add(expires))
			x.Advance(2 * time.Hour)
			x.Mischief(xsim.Mischief{Match: "token.refresh_token", Kind: "slow", Delay: 200 * time.Millisecond})
			want(t, http.StatusOK, together(callers, func(i int) answer {
				return patient(func() answer { return h[i%2].act(t, app.sk, grant, "GET", "/2/users/me", "") })
			})...)
			refreshedOnce(t, x, old)
			served(t, x, callers)
		})
	}
}

// bound is how long another replica may let in what has ended on one.
const bound = 2 * time.Second

// refused asks until it is answered with the status, and fails if a request that
// was made later than allowed is let in. It returns the refusal.
func refused(t *testing.T, within time.Duration, status int, call func() answer) answer {
	t.Helper()
	ended := time.Now()
	for {
		asked := time.Since(ended)
		a := call()
		switch {
		case a.status == status:
			for range 5 {
				want(t, status, call()) // and it stays so
			}
			return a
		case a.err != nil || a.status != http.StatusOK:
			t.Errorf("got %d, want %d: %s %v", a.status, status, a.body, a.err)
			return a
		case asked > within:
			t.Errorf("who asked %v after the end was let in", asked)
			return a
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestWhatEndsOnOneReplicaEndsOnAll(t *testing.T) { lasting(t, whatEndsOnOneReplicaEndsOnAll) }

func whatEndsOnOneReplicaEndsOnAll(t *testing.T, e environment) {
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	endsOnAll(t, x, openTwo(t, e, x))
}

// endsOnAll ends one thing after another on one replica. There it ends at once,
// on the other in time, however warm it is there.
func endsOnAll(t *testing.T, x *xsim.Sim, h pair) {
	app := h[0].register(t, pageA, "")
	v := h[0].visit(t, app)
	server := func(i int, grant string) func() answer {
		return func() answer { return h[i].act(t, app.sk, grant, "GET", "/2/users/me", "") }
	}
	page := func(i int, access string) func() answer {
		return func() answer {
			v.house = h[i]
			return v.page(t, pageA, access, "GET", "/2/users/me", "")
		}
	}
	warm := func(s session) {
		t.Helper()
		for range 3 {
			for i := range h {
				want(t, http.StatusOK, server(i, s.grant)(), page(i, s.access)())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	ends := func(status int, one, other func() answer) answer {
		t.Helper()
		refused(t, 0, status, one)
		return refused(t, bound, status, other)
	}

	// A grant, and with it its sessions.
	s := v.signIn(t, ada)
	warm(s)
	x.Mischief(xsim.Mischief{Match: "/2/oauth2/revoke", Kind: "outage"}) // X would refuse it too
	end := func() answer { return h[0].act(t, app.sk, "", "DELETE", "/v1/grants/"+s.grant, "") }
	want(t, http.StatusServiceUnavailable, end())
	if a := ends(http.StatusForbidden, server(0, s.grant), server(1, s.grant)); a.problem() != "grant-revoked" {
		t.Errorf("a revoked grant: %d %s", a.status, a.body)
	}
	asked := len(happened(x, "call"))
	refused(t, 0, http.StatusUnauthorized, page(0, s.access))
	eventually(t, "the session has ended too", func() bool { // until then its grant is refused
		a := page(1, s.access)()
		return a.status == http.StatusUnauthorized
	})
	want(t, http.StatusBadRequest, v.refresh(t, s.refresh))
	if n := len(happened(x, "call")); n != asked {
		t.Errorf("X was asked %d times on behalf of a revoked grant", n-asked)
	}
	x.ClearMischief()
	want(t, http.StatusNoContent, end())

	// A session alone.
	v.house = h[0]
	s = v.signIn(t, ada)
	warm(s)
	v.house = h[0]
	want(t, http.StatusOK, v.token(t, "/oauth/revoke", url.Values{"token": {s.refresh}}))
	ends(http.StatusUnauthorized, page(0, s.access), page(1, s.access))
	want(t, http.StatusOK, server(1, s.grant)()) // the grant goes on

	// What the application may do.
	v.house = h[0]
	s = v.signIn(t, ada)
	warm(s)
	at := "/admin/v1/apps/" + app.id
	h[0].operator(t, http.StatusOK, "PATCH", at, object{"actions": []string{"post"}})
	ends(http.StatusForbidden, server(0, s.grant), server(1, s.grant))
	h[0].operator(t, http.StatusOK, "PATCH", at, object{"actions": []string{"everything"}})
	eventually(t, "it may do everything again", func() bool { return server(1, s.grant)().status == http.StatusOK })

	// What the user allows.
	narrow := issue(t, x, "sim-client", ada)
	narrow.Scope = "tweet.read offline.access"
	h[0].adopt(t, app, ada, narrow, time.Now().Add(time.Hour))
	ends(http.StatusForbidden, server(0, s.grant), server(1, s.grant))
	grant := h[0].adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	eventually(t, "the user allows it again", func() bool { return server(1, grant)().status == http.StatusOK })

	// The keys, and the application as a whole.
	v.house = h[0]
	s = v.signIn(t, ada)
	warm(s)
	keys := h[0].operator(t, http.StatusOK, "GET", at+"/keys", nil)
	for _, i := range []string{"0", "1"} {
		h[0].operator(t, http.StatusNoContent, "DELETE", "/admin/v1/keys/"+keys.text("data."+i+".id"), nil)
	}
	ends(http.StatusUnauthorized, server(0, s.grant), server(1, s.grant))
	want(t, http.StatusUnauthorized, v.refresh(t, s.refresh))
	h[0].operator(t, http.StatusOK, "PATCH", at, object{"status": "suspended"})
	ends(http.StatusForbidden, page(0, s.access), page(1, s.access))
}
