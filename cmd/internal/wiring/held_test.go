package wiring_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// hold signs the visitor in with a session cookie.
func (v *visitor) hold(t *testing.T, user string) {
	t.Helper()
	v.house.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+v.app.id, object{"cookies": true})
	x := v.step(t, v.house.public+"/v1/session/sign-in?"+url.Values{
		"client_id": {v.app.pk}, "redirect_uri": {v.app.origin + "/back"}, "state": {v.state}, "scope": {"tweet.write"},
	}.Encode())
	q := x.Query()
	q.Set("_sim_user", user)
	q.Set("_sim_decision", "approve")
	x.RawQuery = q.Encode()
	back := v.step(t, v.at(v.step(t, x.String())))
	if q := back.Query(); q.Get("state") != v.state || q.Has("code") || q.Has("error") {
		t.Fatalf("the browser came back to %s", back)
	}
}

// held calls as a script of the page at the origin does, with the cookies.
func (v *visitor) held(t *testing.T, origin, method, path, body string) answer {
	t.Helper()
	return ask(t, v.client, method, v.house.public+path, body, "Origin: "+origin, "Sec-Fetch-Site: same-site",
		"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Content-Type: application/json")
}

func TestABrowserHoldsItsSessionInACookie(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		h := open(t, settings(t, e, at))
		v := h.visit(t, h.register(t, pageA, ""))
		v.hold(t, ada)
		want(t, http.StatusCreated, v.held(t, pageA, "POST", "/2/tweets", `{"text":"from a page"}`))
		for _, call := range happened(x, "call") {
			if call.Object == "createPosts" && call.Details["headers"] !=
				"accept,authorization,content-length,content-type,user-agent" {
				t.Errorf("X was sent the headers %s", call.Details["headers"])
			}
		}
		if got := v.held(t, pageA, "GET", "/v1/session", ""); got.text("user.username") != "ada" {
			t.Errorf("who is signed in: %d %s", got.status, got.body)
		}
		want(t, http.StatusForbidden, v.held(t, pageB, "POST", "/2/tweets", `{"text":"not mine"}`))
		want(t, http.StatusNoContent, v.held(t, pageA, "DELETE", "/v1/session", ""))
		if left := v.cookies(t); len(left) > 0 {
			t.Errorf("the browser is left with %v", left)
		}
		want(t, http.StatusUnauthorized, v.held(t, pageA, "GET", "/v1/session", ""))
		if n := len(happened(x, "post.created")); n != 1 {
			t.Errorf("X has %d posts", n)
		}
	})
}

func TestACookiesSessionEndsOnAllReplicas(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		set(t, x, `{"windows":false}`)
		h := openTwo(t, e, x)
		v := h[0].visit(t, h[0].register(t, pageA, ""))
		v.hold(t, ada)
		jar := v.client.Jar
		call := func(i int) func() answer {
			return func() answer {
				v.house = h[i]
				return v.held(t, pageA, "GET", "/2/users/me", "")
			}
		}
		for range 3 {
			want(t, http.StatusOK, call(0)(), call(1)())
		}
		callback, err := url.Parse(h[0].public)
		if err != nil {
			t.Fatal(err)
		}
		before := jar.Cookies(callback)
		v.house = h[0]
		want(t, http.StatusNoContent, v.held(t, pageA, "DELETE", "/v1/session", ""))
		jar.SetCookies(callback, before) // a thief has them still
		refused(t, 0, http.StatusUnauthorized, call(0))
		refused(t, bound, http.StatusUnauthorized, call(1))

		v.house = h[0]
		v.hold(t, ada)
		want(t, http.StatusOK, call(0)(), call(1)())
		h[0].operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+v.app.id, object{"cookies": false})
		refused(t, 0, http.StatusUnauthorized, call(0))
		refused(t, bound, http.StatusUnauthorized, call(1))
	})
}

func preflight(t *testing.T, h *house, origin string) answer {
	t.Helper()
	return ask(t, h.client, "OPTIONS", h.public+"/2/tweets", "", "Origin: "+origin, "Access-Control-Request-Method: POST")
}

func TestOriginsChangeOnAllReplicasInTime(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		h := openTwo(t, e, xsim.New(xsim.Options{}))
		inTime := func(what, origin string, status int, credentials string) {
			t.Helper()
			for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
				asked := time.Since(began)
				a := preflight(t, h[1], origin)
				if a.status == status && a.header.Get("Access-Control-Allow-Credentials") == credentials {
					return
				}
				if asked > bound {
					t.Errorf("%s: not after %v", what, asked)
					return
				}
			}
		}
		want(t, http.StatusForbidden, preflight(t, h[1], pageA))
		a := h[0].register(t, pageA, "")
		inTime("a new application", pageA, http.StatusNoContent, "")
		at := "/admin/v1/apps/" + a.id
		h[0].operator(t, http.StatusOK, "PATCH", at, object{"origins": []string{pageB}})
		inTime("an origin that was taken away", pageA, http.StatusForbidden, "")
		inTime("an origin that was added", pageB, http.StatusNoContent, "")
		h[0].operator(t, http.StatusOK, "PATCH", at, object{"cookies": true})
		inTime("cookie mode", pageB, http.StatusNoContent, "true")
		h[0].operator(t, http.StatusOK, "PATCH", at, object{"status": "suspended"})
		inTime("a suspended application", pageB, http.StatusForbidden, "")
	})
}

// A warm preflight costs no read, and strangers cost one a second, however many
// they are.
func TestPreflightsReadNothing(t *testing.T) {
	const calls = 300
	e, l := onTheLine(t)
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	h := open(t, settings(t, e, at))
	h.register(t, pageA, "")
	want(t, http.StatusNoContent, preflight(t, h, pageA))
	if l.reads()["applications"] == 0 {
		t.Fatal("the line does not see what is read")
	}
	eventually(t, "the origin is warm", func() bool {
		before := l.reads()
		want(t, http.StatusNoContent, preflight(t, h, pageA))
		return maps.Equal(before, l.reads())
	})
	var before map[string]int
	eventually(t, "warm preflights read nothing", func() bool { // what was kept for long is read again
		before = l.reads()
		for range calls {
			want(t, http.StatusNoContent, preflight(t, h, pageA))
		}
		return maps.Equal(before, l.reads())
	})
	began := time.Now()
	for i := range calls {
		want(t, http.StatusForbidden, preflight(t, h, fmt.Sprintf("https://stranger%d.example", i)))
	}
	after := l.reads()
	if n, most := after["applications"]-before["applications"], 2*(1+int(time.Since(began)/time.Second)+1); n > most {
		t.Errorf("%d strangers in %v read the applications %d times, want %d at most", calls, time.Since(began), n, most)
	}
	t.Logf("%d warm preflights: 0 reads; %d strangers in %v: %d reads", calls, calls, time.Since(began).Round(time.Millisecond),
		after["applications"]-before["applications"])
	if n := len(happened(x, "call")); n != 0 {
		t.Errorf("preflights asked X %d times", n)
	}
}
