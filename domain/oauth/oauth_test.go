package oauth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/user"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func active() oauth.Grant {
	return oauth.Grant{
		ID: "g", App: "a", State: oauth.Active, Access: "A", Refresh: "R", Scopes: "tweet.read",
		Expires: noon.Add(time.Hour), Version: 3,
	}
}

func TestFreshEndsBeforeTheTokenDoes(t *testing.T) {
	g := active()
	for _, v := range []struct {
		at            time.Duration
		fresh, usable bool
	}{{0, true, true}, {59 * time.Minute, false, true}, {time.Hour, false, false}} {
		now := noon.Add(v.at)
		if g.Fresh(now) != v.fresh || g.Usable(now) != v.usable {
			t.Errorf("after %v: fresh %v, usable %v", v.at, g.Fresh(now), g.Usable(now))
		}
	}
}

func TestAcquire(t *testing.T) {
	revoked := active().Revoke(noon)
	mute := active()
	mute.Refresh = ""
	leased, err := active().Acquire("one", noon, time.Minute)
	if err != nil || leased.Lease.Holder != "one" || !leased.Leased(noon) {
		t.Fatalf("%+v, %v", leased.Lease, err)
	}
	for name, v := range map[string]struct {
		g    oauth.Grant
		at   time.Time
		want error
	}{
		"a revoked grant":            {revoked, noon, fault.Forbidden},
		"nothing to refresh with":    {mute, noon, fault.Forbidden},
		"somebody holds it":          {leased, noon.Add(30 * time.Second), fault.Conflict},
		"the lease has run out":      {leased, noon.Add(time.Minute), nil},
		"a suspect grant, too early": {active().Doubt(noon), noon.Add(29 * time.Second), fault.Unavailable},
		"a suspect grant, in time":   {active().Doubt(noon), noon.Add(30 * time.Second), nil},
	} {
		if _, err := v.g.Acquire("two", v.at, time.Minute); !errors.Is(err, v.want) {
			t.Errorf("%s: %v, want %v", name, err, v.want)
		}
	}
}

func TestRenewKeepsARefreshTokenXDidNotReplace(t *testing.T) {
	g, _ := active().Doubt(noon).Acquire("h", noon.Add(time.Hour), time.Minute)
	got := g.Renew(oauth.Pair{Access: "B", Expires: noon.Add(3 * time.Hour)}, noon)
	want := active()
	want.Access, want.Expires, want.Updated, want.Generation = "B", noon.Add(3*time.Hour), noon, 1
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got = got.Renew(oauth.Pair{Access: "C", Refresh: "S", Scopes: "x"}, noon); got.Refresh != "S" || got.Scopes != "x" {
		t.Errorf("a new refresh token is not kept: %+v", got)
	}
}

func TestReconnectLeavesNothingOfTheOldPair(t *testing.T) {
	got := active().Revoke(noon).Reconnect(user.User{ID: "u"}, oauth.Pair{Access: "B", Scopes: "y"}, noon)
	if got.State != oauth.Active || got.Refresh != "" || got.Scopes != "y" || got.User.ID != "u" {
		t.Errorf("%+v", got)
	}
}

func TestDoubtKeepsTheTokensAndWaitsLonger(t *testing.T) {
	g, before := active(), time.Duration(0)
	for i := range 12 {
		g = g.Doubt(noon)
		wait := g.Retry.Sub(noon)
		if g.Access != "A" || g.Refresh != "R" || g.State != oauth.Suspect || g.Failures != i+1 {
			t.Fatalf("%+v", g)
		}
		if wait < before || wait > time.Hour || (i < 6 && wait == before) {
			t.Errorf("doubt %d waits %v after %v", i+1, wait, before)
		}
		before = wait
	}
}

func TestRevokeThenForget(t *testing.T) {
	g := active().Revoke(noon)
	if g.State != oauth.Revoked || g.Access == "" {
		t.Errorf("X cannot be told: %+v", g)
	}
	if g = g.Forget(noon); g.Access != "" || g.Refresh != "" {
		t.Errorf("tokens stay: %+v", g)
	}
}

// The vector of RFC 7636 appendix B.
func TestChallenge(t *testing.T) {
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	if got := oauth.Challenge(verifier); got != "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" {
		t.Error(got)
	}
	if !oauth.IsVerifier(verifier) || !oauth.IsChallenge(oauth.Challenge(verifier)) {
		t.Error("the RFC's own example is refused")
	}
	for _, s := range []string{"", "short", verifier + " ", verifier[:42], verifier + "/"} {
		if oauth.IsVerifier(s) {
			t.Errorf("%q is taken for a verifier", s)
		}
	}
	for _, s := range []string{"", verifier + "x", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"} {
		if oauth.IsChallenge(s) {
			t.Errorf("%q is taken for a challenge", s)
		}
	}
}

func TestScopes(t *testing.T) {
	s, err := oauth.ParseScopes("  users.read tweet.read  users.read ")
	if err != nil || s != "tweet.read users.read" {
		t.Fatalf("%q, %v", s, err)
	}
	if got := s.Missing([]string{"tweet.read", "like.read"}); len(got) != 1 || got[0] != "like.read" {
		t.Error(got)
	}
	if got := s.Both("users.read like.read"); got != "users.read" {
		t.Error(got)
	}
	if s.Has("tweet") || !s.Has("tweet.read") {
		t.Error("Has is wrong")
	}
	for _, bad := range []string{"a\nb", "a\"b", "a\\b", "é", string(make([]byte, 1001))} {
		if _, err := oauth.ParseScopes(bad); err == nil {
			t.Errorf("%q is taken for scopes", bad)
		}
	}
	if all, err := oauth.ParseScopes(string(oauth.Everything)); err != nil || all != oauth.Everything {
		t.Errorf("the list of all scopes is not in order: %v", err)
	}
}

func TestGrantIDsSortByTime(t *testing.T) {
	last := oauth.NewGrantID(time.UnixMilli(0), "ZZ")
	for _, at := range []time.Time{noon, noon.Add(time.Millisecond), noon.Add(time.Hour), noon.AddDate(400, 0, 0)} {
		id := oauth.NewGrantID(at, "AA")
		if id <= last || len(id) != len(last) {
			t.Errorf("%s does not come after %s", id, last)
		}
		if !oauth.IsGrantID(string(id)) {
			t.Errorf("%s is not taken for an ID", id)
		}
		last = id
	}
	for _, s := range []string{"", "grant_", "grant_short", "sk_AAAAAAAAAAAAAAAA", "grant_0123456789\n", "grant_01234567890ABC", "grant_" + strings.Repeat("a", 200)} {
		if oauth.IsGrantID(s) {
			t.Errorf("%q is taken for an ID", s)
		}
	}
	if a, b := oauth.NewGrantID(noon, "AA"), oauth.NewGrantID(noon, "AB"); a == b {
		t.Error("two grants of one moment have one ID")
	}
}

// What was written while a clock was a year ahead does not hold for a year.
func TestAWrongClockHoldsNothingUp(t *testing.T) {
	ahead := noon.AddDate(1, 0, 0)
	leased, err := active().Acquire("dead", ahead, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for what, g := range map[string]oauth.Grant{
		"a lease": leased, "a refusal": active().Doubt(ahead), "a limit": active().Postpone(time.Minute, ahead),
	} {
		if _, err := g.Acquire("next", noon.Add(time.Hour), 30*time.Second); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
