package wiring_test

import (
	"net/http"
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
				return h[i%2].act(t, app.sk, grant, "GET", "/2/users/me", "")
			})...)
			refreshedOnce(t, x, old)
			served(t, x, callers)
		})
	}
}

func TestWhatEndsOnOneReplicaEndsOnAllAtOnce(t *testing.T) {
	lasting(t, whatEndsOnOneReplicaEndsOnAllAtOnce)
}

func whatEndsOnOneReplicaEndsOnAllAtOnce(t *testing.T, e environment) {
	x := xsim.New(xsim.Options{})
	h := openTwo(t, e, x)
	app := h[0].register(t, pageA, "")
	v := h[0].visit(t, app)
	s := v.signIn(t, ada)
	v.house = h[1]
	warm := func() { // whatever the other replica might remember
		t.Helper()
		want(t, http.StatusOK, h[1].act(t, app.sk, s.grant, "GET", "/2/users/me", ""))
		want(t, http.StatusOK, v.page(t, pageA, s.access, "GET", "/2/users/me", ""))
	}

	warm()
	want(t, http.StatusNoContent, h[0].act(t, app.sk, "", "DELETE", "/v1/grants/"+s.grant, ""))
	asked := len(happened(x, "call"))
	if a := h[1].act(t, app.sk, s.grant, "GET", "/2/users/me", ""); a.status != http.StatusForbidden ||
		a.problem() != "grant-revoked" {
		t.Errorf("a revoked grant: %d %s", a.status, a.body)
	}
	want(t, http.StatusUnauthorized, v.page(t, pageA, s.access, "GET", "/2/users/me", ""))
	want(t, http.StatusBadRequest, v.refresh(t, s.refresh))
	if n := len(happened(x, "call")); n != asked {
		t.Errorf("X was asked %d times on behalf of a revoked grant", n-asked)
	}

	s = v.signIn(t, ada)
	warm()
	keys := h[0].operator(t, http.StatusOK, "GET", "/admin/v1/apps/"+app.id+"/keys", nil)
	for _, i := range []string{"0", "1"} {
		h[0].operator(t, http.StatusNoContent, "DELETE", "/admin/v1/keys/"+keys.text("data."+i+".id"), nil)
	}
	want(t, http.StatusUnauthorized, h[1].act(t, app.sk, s.grant, "GET", "/2/users/me", ""))
	want(t, http.StatusUnauthorized, v.refresh(t, s.refresh))
	h[0].operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"status": "suspended"})
	want(t, http.StatusForbidden, v.page(t, pageA, s.access, "GET", "/2/users/me", ""))
}
