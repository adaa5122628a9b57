package oauth_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
)

// A life is what can happen to a grant, in any order and at any time. Each step
// says what it may change; Check says what holds after every step.
type life struct {
	g    oauth.Grant
	now  time.Time
	made int // pairs so far
}

// Check holds at all times.
func (l *life) Check(t *rapid.T) {
	g := l.g
	switch {
	case g.State != oauth.Active && g.State != oauth.Suspect && g.State != oauth.Revoked:
		t.Fatalf("it is %q", g.State)
	case g.State == oauth.Revoked && (g.Unsettled() || g.Failures != 0 || !g.Retry.IsZero()):
		t.Fatalf("a revoked grant is being refreshed: %+v", g)
	case g.State == oauth.Suspect && g.Failures == 0, g.State == oauth.Active && g.Failures != 0:
		t.Fatalf("%d refusals and %s", g.Failures, g.State)
	case g.Scopes == "":
		t.Fatal("there are no scopes")
	case g.State != oauth.Revoked && g.Access.Empty():
		t.Fatal("a living grant has no access token")
	case g.Leased(l.now) && (!g.Unsettled() || !g.Lease.Until.After(l.now)):
		t.Fatalf("at %v it is leased: %+v", l.now, g.Lease)
	case g.Fresh(l.now) && !g.Expires.After(l.now.Add(oauth.Margin)), g.Usable(l.now) && !l.now.Before(g.Expires):
		t.Fatalf("a token that expires at %v is good at %v", g.Expires, l.now)
	case g.ID != "g" || g.App != "a" || g.Version != 3:
		t.Fatalf("it is another grant: %+v", g)
	}
}

// Passes lets time pass: for a while, or until the very moment that something
// depends on.
func (l *life) Passes(t *rapid.T) {
	to := l.now.Add(time.Duration(rapid.Int64Range(1, int64(3*time.Hour)).Draw(t, "passes"))).Truncate(time.Microsecond)
	moment := rapid.SampledFrom([]time.Time{to, l.g.Lease.Until, l.g.Retry, l.g.Expires, l.g.Expires.Add(-oauth.Margin)})
	if at := moment.Draw(t, "to"); at.After(l.now) {
		l.now = at
	}
}

// to puts the next state in place. The generation rises with a new pair and with
// nothing else, and no step leaves a mark on the grant it started from.
func (l *life) to(t *rapid.T, next oauth.Grant, pairs int64) {
	if next.Generation != l.g.Generation+pairs {
		t.Fatalf("the generation went from %d to %d with %d new pairs", l.g.Generation, next.Generation, pairs)
	}
	if pairs == 0 && next.State != oauth.Revoked && (next.Access != l.g.Access || next.Refresh != l.g.Refresh) {
		t.Fatalf("the tokens have changed: %+v", next)
	}
	l.g = next
}

func (l *life) pair(t *rapid.T) oauth.Pair {
	l.made++
	p := oauth.Pair{
		Access: secret.Box(fmt.Sprint("access", l.made)), Expires: l.now.Add(2 * time.Hour),
		Scopes: rapid.SampledFrom([]oauth.Scopes{"", "tweet.read", "offline.access tweet.read"}).Draw(t, "scopes"),
	}
	if rapid.Bool().Draw(t, "with refresh token") {
		p.Refresh = secret.Box(fmt.Sprint("refresh", l.made))
	}
	return p
}

func (l *life) Acquire(t *rapid.T) {
	holder := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "holder")
	ttl := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "ttl"))
	was := l.g
	next, err := was.Acquire(holder, l.now, ttl)
	switch {
	case err != nil && next != oauth.Grant{}:
		t.Fatalf("a refusal came with a grant: %+v", next)
	case err != nil:
		l.refused(t, was, holder, err)
		return
	case was.State == oauth.Revoked, was.Refresh.Empty():
		t.Fatalf("%s, with refresh token %q, was leased", was.State, was.Refresh)
	case was.Leased(l.now) && was.Lease.Holder != holder:
		t.Fatalf("%s took the lease that %s has", holder, was.Lease.Holder)
	case l.now.Before(was.Retry):
		t.Fatal("it is too early to try again")
	case !next.Unsettled() || next.Lease != (oauth.Lease{Holder: holder, Until: l.now.Add(ttl)}):
		t.Fatalf("the lease is %+v", next.Lease)
	}
	undone := next
	undone.Lease = was.Lease
	if undone != was {
		t.Fatalf("taking the lease changed more: %+v", next)
	}
	l.to(t, next, 0)
}

// refused checks that there was a reason, of the kind that callers go by.
func (l *life) refused(t *rapid.T, g oauth.Grant, holder string, err error) {
	var want fault.Kind
	switch {
	case g.State == oauth.Revoked, g.Refresh.Empty():
		want = fault.Forbidden
	case g.Leased(l.now) && g.Lease.Holder != holder:
		want = fault.Conflict
	case l.now.Before(g.Retry) && g.State == oauth.Suspect:
		want = fault.Unavailable
	case l.now.Before(g.Retry):
		want = fault.Limited
	}
	if fault.KindOf(err) != want || oauth.IsRevoked(err) != (g.State == oauth.Revoked) {
		t.Fatalf("%v, want %v: %+v", err, want, g)
	}
}

// Renew is for grants that live: the application asks first.
func (l *life) Renew(t *rapid.T) {
	if l.g.State == oauth.Revoked {
		t.Skip("it has ended")
	}
	was, p := l.g, l.pair(t)
	next := was.Renew(p, l.now)
	if p.Refresh.Empty() && next.Refresh != was.Refresh {
		t.Fatal("a refresh token was thrown away for nothing")
	}
	if p.Scopes == "" && next.Scopes != was.Scopes {
		t.Fatal("scopes were thrown away for nothing")
	}
	l.renewed(t, next, p)
	l.to(t, next, 1)
}

func (l *life) Reconnect(t *rapid.T) {
	was, p := l.g, l.pair(t)
	if p.Scopes == "" {
		p.Scopes = "users.read" // a consent always says for what
	}
	next := was.Reconnect(user.User{ID: was.User.ID, Username: "ada"}, p, l.now)
	if next.Refresh != p.Refresh || next.Scopes != p.Scopes {
		t.Fatalf("something of the old consent is left: %+v", next)
	}
	if anew := !next.Created.Equal(was.Created); anew != (was.State == oauth.Revoked && !l.now.Equal(was.Created)) {
		t.Fatalf("from %s, it was given %v, then %v", was.State, was.Created, next.Created)
	}
	l.renewed(t, next, p)
	l.to(t, next, 1)
}

func (l *life) renewed(t *rapid.T, next oauth.Grant, p oauth.Pair) {
	if next.State != oauth.Active || next.Unsettled() || next.Failures != 0 || !next.Retry.IsZero() ||
		next.Access != p.Access || !next.Expires.Equal(p.Expires) || !next.Fresh(l.now) {
		t.Fatalf("a new pair does not make it work: %+v", next)
	}
}

func (l *life) Doubt(t *rapid.T) {
	if l.g.State == oauth.Revoked {
		t.Skip("it has ended")
	}
	next := l.g
	for range rapid.IntRange(0, 8).Draw(t, "more") {
		next = next.Doubt(l.now)
	}
	l.to(t, next, 0)
	next = next.Doubt(l.now)
	if wait := next.Retry.Sub(l.now); next.Unsettled() || wait < 30*time.Second || wait > time.Hour ||
		next.Failures != l.g.Failures+1 {
		t.Fatalf("it waits %v after %d refusals: %+v", wait, next.Failures, next)
	}
	l.to(t, next, 0)
}

func (l *life) Postpone(t *rapid.T) {
	if l.g.State == oauth.Revoked {
		t.Skip("it has ended")
	}
	next := l.g.Postpone(15*time.Minute, l.now)
	if next.Unsettled() || next.State != l.g.State || next.Retry.Sub(l.now) != 15*time.Minute {
		t.Fatalf("%+v", next)
	}
	l.to(t, next, 0)
}

func (l *life) Release(t *rapid.T) {
	next := l.g.Release()
	if next.Unsettled() || next.Retry != l.g.Retry {
		t.Fatalf("%+v", next)
	}
	l.to(t, next, 0)
}

func (l *life) Stale(t *rapid.T) {
	next := l.g.Stale(l.now)
	if next.Fresh(l.now) || next.Usable(l.now) || next.Lease != l.g.Lease {
		t.Fatalf("a refused token is still good: %+v", next)
	}
	l.to(t, next, 0)
}

func (l *life) Revoke(t *rapid.T) {
	next := l.g.Revoke(l.now)
	if next.State != oauth.Revoked || next.Access != l.g.Access || next.Refresh != l.g.Refresh {
		t.Fatalf("X cannot be told: %+v", next)
	}
	l.to(t, next, 0)
}

// Forget is for grants that have ended.
func (l *life) Forget(t *rapid.T) {
	if l.g.State != oauth.Revoked {
		t.Skip("it lives")
	}
	next := l.g.Forget(l.now)
	if !next.Access.Empty() || !next.Refresh.Empty() || next.Usable(l.now) || next.Fresh(l.now) {
		t.Fatalf("something is left: %+v", next)
	}
	l.to(t, next, 0)
}

func TestTheLifeOfAGrant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{now: noon}
		l.g = oauth.Grant{ID: "g", App: client.AppID("a"), Version: 3, Created: noon}
		l.g = l.g.Reconnect(user.User{ID: "1"}, oauth.Pair{
			Access: "access", Refresh: "refresh", Scopes: "tweet.read", Expires: noon.Add(2 * time.Hour),
		}, noon)
		t.Repeat(rapid.StateMachineActions(l))
	})
}
