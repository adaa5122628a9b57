package wiring_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/oauth"
)

var storm = flag.Duration("storm", 20*time.Second, "how long X answers 401 to everything")

// X had an outage in which it answered 401 to everybody for hours. Perch keeps
// every grant, stops refreshing within seconds, and goes on by itself.
func TestXAnswers401ToEverything(t *testing.T) {
	t.Parallel()
	const users, callers = 24, 8
	people := make([]xsim.User, users)
	for i := range people {
		people[i] = xsim.User{ID: fmt.Sprintf("15%017d", i), Username: fmt.Sprintf("user%d", i), Name: "One"}
	}
	x := xsim.New(xsim.Options{Users: people})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	h := open(t, settings(t, environments()[1], at))
	app := h.register(t, pageA, "")
	grants := make([]string, users)
	for i, u := range people { // half of them would be refreshed anyhow
		grants[i] = h.adopt(t, app, u.ID, issue(t, x, "sim-client", u.ID), time.Now().Add(time.Duration(i%2*2-1)*time.Hour))
	}
	x.Mischief(xsim.Mischief{Kind: "unauthorized"})
	began := time.Now()
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := c; time.Since(began) < *storm; i++ {
				if a := h.act(t, app.sk, grants[i%users], "GET", "/2/users/me", ""); a.status < 400 {
					t.Errorf("status %d in the outage", a.status)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	all.Wait()
	tries, lasted := 0, time.Since(began)
	for _, e := range happened(x, "call") {
		if e.Object == "token.refresh_token" {
			tries++
		}
	}
	t.Logf("in %v X's token endpoint was asked %d times", lasted, tries)
	if most := int(lasted/(15*time.Second)) + 1; tries > most+callers+8 { // those under way when it was seen to fail
		t.Errorf("that is more than once in 15 seconds")
	}
	held := h.operator(t, http.StatusOK, "GET", "/admin/v1/x", nil)
	if !strings.Contains(held.body, `"event":"x.token_endpoint"`) {
		t.Errorf("operators see %s", held.body)
	}
	listed := h.operator(t, http.StatusOK, "GET", "/admin/v1/grants?limit=100", nil)
	for i := range users {
		if state := listed.text(fmt.Sprintf("data.%d.state", i)); state != string(oauth.Active) {
			t.Errorf("a grant is %q after the outage", state)
		}
	}
	x.ClearMischief()
	for deadline := time.Now().Add(2 * time.Minute); !allWork(t, h, app, grants); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("two minutes after the outage some grant does not work")
		}
	}
	if worse := happened(x, "token.replayed", "family.killed"); len(worse) > 0 {
		t.Errorf("X has seen %+v", worse)
	}
}

func allWork(t *testing.T, h *house, app tenant, grants []string) bool {
	t.Helper()
	for _, g := range grants {
		if h.act(t, app.sk, g, "GET", "/2/users/me", "").status != http.StatusOK {
			return false
		}
	}
	return true
}

// patient calls again while the store is too busy on this machine to answer in time.
func patient(call func() answer) answer { return persistent(answer.storeIsBusy, call) }

func (a answer) storeIsBusy() bool {
	return a.status == http.StatusServiceUnavailable &&
		(a.text("detail") == "the store does not answer; try again" || a.problem() == "quota-store")
}

// persistent calls again for some minutes, less and less often: callers who come again
// at once, and together, keep a busy store busy.
func persistent(busy func(answer) bool, call func() answer) answer {
	a := call()
	for most, began := 100*time.Millisecond, time.Now(); busy(a) && time.Since(began) < 3*time.Minute; {
		time.Sleep(rand.N(most))
		a, most = call(), min(2*most, 10*time.Second)
	}
	return a
}

// Four replicas and a hundred callers at each find out at the same moment.
func TestFourReplicasRefreshOnce(t *testing.T) { lasting(t, fourReplicasRefreshOnce) }

func fourReplicasRefreshOnce(t *testing.T, e environment) {
	const replicas = 4
	callers := 100
	if raced { // SQLite has to serve all of them
		callers = 25
	}
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	cfg := settings(t, e, at)
	houses := []*house{open(t, cfg)}
	cfg.PublicURL = houses[0].public
	for i := 1; i < replicas; i++ {
		cfg.ClockOff = time.Duration(i-2) * 10 * time.Minute // wrong by ten minutes, right, and wrong again
		cfg.Journal += "+"                                   // a disk of its own
		houses = append(houses, open(t, cfg))
	}
	app := houses[0].register(t, pageA, "")
	old := issue(t, x, "sim-client", ada)
	grant := houses[0].adopt(t, app, ada, old, time.Now().Add(-time.Hour))
	x.Mischief(xsim.Mischief{Match: "token.refresh_token", Kind: "slow", Delay: 200 * time.Millisecond})
	unavailable := func(a answer) bool { return a.status == http.StatusServiceUnavailable }
	want(t, http.StatusOK, together(replicas*callers, func(i int) answer {
		return persistent(unavailable, func() answer {
			return houses[i%replicas].act(t, app.sk, grant, "GET", "/2/users/me", "")
		})
	})...)
	refreshedOnce(t, x, old)
	served(t, x, replicas*callers)
}

// Replicas whose clocks disagree by twenty minutes sign users in together.
func TestReplicasWithWrongClocksServeAsOne(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		cfg := settings(t, e, at)
		cfg.ClockOff = -10 * time.Minute
		slow := open(t, cfg)
		cfg.PublicURL, cfg.ClockOff = slow.public, 10*time.Minute
		fast := open(t, cfg)
		app := slow.register(t, pageA, "")
		for i, h := range []pair{{slow, fast}, {fast, slow}} {
			v := h[0].visit(t, app)
			back := v.decide(t, []string{ada, grace}[i], "approve")
			v.house = h[1]
			code := v.step(t, v.at(back)).Query().Get("code")
			v.house = h[0]
			s := sessionOf(t, v.exchange(t, code))
			v.house = h[1]
			want(t, http.StatusOK, v.page(t, pageA, s.access, "GET", "/2/users/me", ""))
			s = sessionOf(t, v.refresh(t, s.refresh))
			v.house = h[0]
			want(t, http.StatusOK, v.page(t, pageA, s.access, "GET", "/2/users/me", ""))
		}
	})
}
