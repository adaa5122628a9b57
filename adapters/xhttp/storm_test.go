package xhttp

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

// as is a call with the user's token.
func as(t *testing.T, user int) ports.Call {
	t.Helper()
	c := readMe(t)
	c.Token = secret.New(fmt.Sprintf("token-%d", user))
	return c
}

// anew is the repetition of the user's call with a fresh token.
func anew(t *testing.T, user int) ports.Call {
	t.Helper()
	c := as(t, user+1000)
	c.Fresh = true
	return c
}

// raging is a guard in an outage that has just begun.
func raging(t *testing.T) (*guard, *bell) {
	t.Helper()
	g, b := guarded(15*time.Second, 10)
	for user := 1; user < freshToOpen; user++ {
		if _, err := g.pass(t, anew(t, user), 401, ""); err != nil {
			t.Fatal(err)
		}
	}
	reply, err := g.pass(t, anew(t, freshToOpen), 401, "") // X has been asked
	if fault.SlugOf(err) != "x-auth-outage" || errors.Is(err, ports.ErrUnsent) || reply.Status != 401 {
		t.Fatalf("the last of a row: %d %v", reply.Status, err)
	}
	b.heard(t, "x.auth_outage.open")
	return g, b
}

// plain fails the test unless X's 401 comes back as it is, so that the token is replaced.
func plain(t *testing.T, r ports.Reply, err error) {
	t.Helper()
	if err != nil || r.Status != 401 {
		t.Errorf("a refused token became %d %v", r.Status, err)
	}
}

func TestFreshTokensThatXRefusesInARowAreAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := raging(t)
		_, err := g.pass(t, as(t, 5), 200, "{}")
		refused(t, err, "x-auth-outage", 15*time.Second)
		if _, err := g.pass(t, ports.Call{Action: action(t, "getOpenApiSpec")}, 200, "{}"); err != nil {
			t.Errorf("a call without a token: %v", err)
		}
		other := as(t, 5)
		other.XApp = "another"
		if _, err := g.pass(t, other, 200, "{}"); err != nil {
			t.Errorf("another X App: %v", err)
		}
		time.Sleep(16 * time.Second)
		for user := range 7 {
			if _, err := g.pass(t, as(t, user), 200, "{}"); err != nil {
				t.Error(err)
			}
		}
		b.heard(t, "x.auth_outage.close")
	})
}

func TestTokensThatHaveEndedAreNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := guarded(15*time.Second, 10)
		for user := range 200 { // all at once, and each is replaced later
			r, err := g.pass(t, as(t, user), 401, "")
			plain(t, r, err)
		}
		for range 100 { // one user whom X refuses whatever is done
			r, err := g.pass(t, anew(t, 0), 401, "")
			plain(t, r, err)
		}
		for user := range 50 { // users whom X refuses, while it hears others
			r, err := g.pass(t, anew(t, user), 401, "")
			plain(t, r, err)
			if _, err := g.pass(t, as(t, 7), 200, "{}"); err != nil {
				t.Fatal(err)
			}
		}
		for user := range 50 { // now and then
			r, err := g.pass(t, anew(t, user), 401, "")
			plain(t, r, err)
			time.Sleep(failuresWithin / (freshToOpen - 1))
		}
		b.heard(t)
	})
}

func TestAnOutageGoesOnOnlyIfFreshTokensAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := raging(t)
		for range 3 {
			time.Sleep(15 * time.Second)
			for user := 1; user < freshToOpen; user++ {
				r, err := g.pass(t, as(t, user), 401, "")
				plain(t, r, err)
				if r, err = g.pass(t, anew(t, user), 401, ""); fault.SlugOf(err) != "x-auth-outage" || r.Status != 401 {
					t.Errorf("a fresh token that was refused too: %d %v", r.Status, err)
				}
				_, err = g.pass(t, as(t, user), 200, "{}")
				refused(t, err, "x-auth-outage", time.Second) // it was tried
			}
			_, _ = g.pass(t, anew(t, freshToOpen), 401, "")
			_, err := g.pass(t, as(t, 77), 200, "{}")
			refused(t, err, "x-auth-outage", 15*time.Second)
		}
		time.Sleep(15 * time.Second)
		asked := 0
		for user := range 200 { // none of which can be replaced
			if _, err := g.pass(t, as(t, user), 401, ""); err == nil {
				asked++
			}
		}
		if asked != mostTried {
			t.Errorf("X was asked %d times in a row", asked)
		}
		b.heard(t)
	})
}

func TestADeadTokenThatPollsKeepsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, dead := range []func(*testing.T, int) ports.Call{as, anew} {
			g, b := raging(t)
			time.Sleep(16 * time.Second)
			_, _ = g.pass(t, dead(t, 3), 401, "")
			if _, err := g.pass(t, as(t, 77), 200, "{}"); err != nil {
				t.Errorf("a token that is good: %v", err)
			}
			b.heard(t, "x.auth_outage.close")
		}
	})
}

func TestOneTokenAtATimeIsTriedInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := raging(t)
		time.Sleep(16 * time.Second)
		probe, err := g.enter(t.Context(), as(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.pass(t, as(t, 2), 200, "{}")
		refused(t, err, "x-auth-outage", time.Second)
		late, err := g.enter(t.Context(), anew(t, 3))
		if err != nil {
			t.Fatalf("the repetition of a call that was let in: %v", err)
		}
		probe.end(outcome{failure: errUntried}) // nobody knows
		probe.close()
		if _, err = g.pass(t, as(t, 1), 200, "{}"); err != nil {
			t.Errorf("the next: %v", err)
		}
		b.heard(t, "x.auth_outage.close")
		late.end(outcome{reply: ports.Reply{Status: 401}}) // of before
		late.close()
		if n := len(g.storms.of[""].fresh); n != 0 {
			t.Errorf("%d refusals are counted", n)
		}
	})
}

func TestAFewTokensAreTriedOnceInEachRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := raging(t)
		asked := 0
		for range 60 {
			time.Sleep(time.Second)
			if _, err := g.pass(t, as(t, 1), 401, ""); err == nil {
				asked++
			}
		}
		if asked != 4 {
			t.Errorf("in four rests X was asked %d times", asked)
		}
	})
}
