package grants_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/app/grants"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

func TestConcurrentCallersCauseOneRefresh(t *testing.T) {
	h := newHouse(t)
	other := grants.New(h.parts) // a second replica
	g := h.expired()
	var all sync.WaitGroup
	for i := range 200 {
		service := h.Service
		if i%2 == 1 {
			service = other
		}
		all.Go(func() {
			token, err := service.Access(t.Context(), g)
			if err != nil || token.Empty() {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if n := h.happened("token.refreshed"); n != 1 {
		t.Errorf("X refreshed %d times", n)
	}
	if got := h.read(g.ID); got.Generation != g.Generation+1 || got.Lease.Holder != "" {
		t.Errorf("generation %d, lease %+v", got.Generation, got.Lease)
	}
	if n := h.log.count("grant.refresh", audit.Done); n != 1 {
		t.Errorf("%d refreshes were written down", n)
	}
}

func TestAFreshTokenIsNotRefreshed(t *testing.T) {
	h := newHouse(t)
	token, err := h.Access(t.Context(), h.connected())
	if err != nil || !h.accepts(token) {
		t.Errorf("token is accepted: %v, error: %v", h.accepts(token), err)
	}
	if n := h.happened("token.refreshed"); n != 0 {
		t.Errorf("X refreshed %d times", n)
	}
}

func TestWhatAGrantBecomesWhenXDoesNotGiveTokens(t *testing.T) {
	for name, v := range map[string]struct {
		mischief xsim.Mischief
		kind     fault.Kind
		state    oauth.State
		leased   bool
	}{
		"X refuses the refresh token":  {xsim.Mischief{Kind: "status", Status: 400}, fault.Forbidden, oauth.Suspect, false},
		"X refuses the X App":          {xsim.Mischief{Kind: "unauthorized"}, fault.Upstream, oauth.Active, false},
		"X limits how often":           {xsim.Mischief{Kind: "rate_limit"}, fault.Limited, oauth.Active, false},
		"X is down":                    {xsim.Mischief{Kind: "outage"}, fault.Unavailable, oauth.Active, true},
		"X's reply is lost":            {xsim.Mischief{Kind: "lost"}, fault.Unavailable, oauth.Active, true},
		"X answers with a web page":    {xsim.Mischief{Kind: "html", Status: 200}, fault.Unavailable, oauth.Active, true},
		"X's reply is torn":            {xsim.Mischief{Kind: "torn"}, fault.Unavailable, oauth.Active, true},
		"X cuts before it has refresh": {xsim.Mischief{Kind: "refused"}, fault.Unavailable, oauth.Active, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			g := h.expired()
			v.mischief.Match = "token"
			h.x.Mischief(v.mischief)
			_, err := h.Access(t.Context(), g)
			if fault.KindOf(err) != v.kind {
				t.Errorf("error is %v: %v", fault.KindOf(err), err)
			}
			got := h.read(g.ID)
			if got.State != v.state || got.Leased(time.Now()) != v.leased {
				t.Errorf("state %s, leased %v", got.State, got.Leased(time.Now()))
			}
			if got.Access != g.Access || got.Refresh != g.Refresh {
				t.Error("tokens were lost")
			}
		})
	}
}

func TestTheRefreshTokenIsPresentedOnceWhateverXAnswers(t *testing.T) {
	for _, kind := range []string{"outage", "lost", "torn", "html", "refused", "rate_limit", "rate_limit_bare", "wrong_length"} {
		h := newHouse(t)
		g := h.expired()
		h.x.Mischief(xsim.Mischief{Match: "token", Kind: kind})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := h.Access(ctx, h.read(g.ID))
			cancel()
			if err == nil && kind != "wrong_length" {
				t.Errorf("%s: there is a token", kind)
			}
		}
		if n := h.happened("mischief.done"); n > 1 {
			t.Errorf("%s: X was asked %d times", kind, n)
		}
	}
}

func TestASuspectGrantIsTriedAgainAndRecovers(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	h.x.Mischief(xsim.Mischief{Match: "token", Kind: "status", Status: 400})
	if _, err := h.Access(t.Context(), g); err == nil {
		t.Fatal("there is a token")
	}
	_, err := h.Access(t.Context(), h.read(g.ID))
	kindIs(t, err, fault.Unavailable, "grant-suspect")
	h.x.ClearMischief()
	early := h.read(g.ID)
	waited := early
	waited.Retry = time.Now().Add(-time.Second)
	if waited, err = h.vault.Swap(t.Context(), early, waited); err != nil {
		t.Fatal(err)
	}
	token, err := h.Access(t.Context(), waited)
	if err != nil || !h.accepts(token) {
		t.Fatalf("a suspect grant does not recover: %v", err)
	}
	if got := h.read(g.ID); got.State != oauth.Active || got.Failures != 0 {
		t.Errorf("%s after %d failures", got.State, got.Failures)
	}
}

func TestAnAccessTokenThatStillWorksIsServedWhileRefreshingFails(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	soon := g
	soon.Expires = time.Now().Add(oauth.Margin / 2).UTC().Truncate(time.Microsecond)
	soon, err := h.vault.Swap(t.Context(), g, soon)
	if err != nil {
		t.Fatal(err)
	}
	h.x.Mischief(xsim.Mischief{Match: "token", Kind: "outage"})
	for range 3 {
		token, err := h.Access(t.Context(), soon)
		if err != nil || !h.accepts(token) {
			t.Fatalf("the token is not served: %v", err)
		}
		soon = h.read(g.ID)
	}
	if n := h.happened("mischief.done"); n != 1 {
		t.Errorf("X was asked %d times", n)
	}
}

func TestRefreshedTokensSurviveAStoreThatFails(t *testing.T) {
	for name, fail := range map[string]func(*house){
		"after the lease is kept": func(h *house) { h.vault.FailAfter(1) },
		"before the pair is kept": func(h *house) { h.vault.FailBefore(2) },
		"after the pair is kept":  func(h *house) { h.vault.FailAfter(2) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			g := h.expired()
			fail(h) // the first write is the lease, the second the new pair
			token, err := h.Access(t.Context(), g)
			if err != nil || !h.accepts(token) {
				t.Fatalf("the new token is lost: %v", err)
			}
			got := h.read(g.ID)
			if token, err = h.Access(t.Context(), got); err != nil || !h.accepts(token) || got.Generation != 1 {
				t.Errorf("generation %d: %v", got.Generation, err)
			}
			if n := h.happened("token.refreshed"); n != 1 {
				t.Errorf("X refreshed %d times", n)
			}
		})
	}
}

func TestWaitingEndsWithTheRequest(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	leased, err := g.Acquire("somebody", time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if g, err = h.vault.Swap(t.Context(), g, leased); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = h.Access(ctx, g)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

func TestAnAttemptNobodyKnowsTheEndOfIsNotRepeatedWhileTheTokenWorks(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	unknown := g
	unknown.Expires = time.Now().Add(oauth.Margin / 2).UTC().Truncate(time.Microsecond)
	unknown.Lease = oauth.Lease{Holder: "somebody who died", Until: time.Now().Add(-time.Second)}
	unknown, err := h.vault.Swap(t.Context(), g, unknown)
	if err != nil {
		t.Fatal(err)
	}
	token, err := h.Access(t.Context(), unknown)
	if err != nil || !h.accepts(token) || h.happened("token.refreshed") != 0 {
		t.Fatalf("X refreshed %d times: %v", h.happened("token.refreshed"), err)
	}
	stale, err := h.Distrust(t.Context(), unknown)
	if err != nil {
		t.Fatal(err)
	}
	if token, err := h.Access(t.Context(), stale); err != nil || !h.accepts(token) || h.happened("token.refreshed") != 1 {
		t.Errorf("it is not tried once more: X refreshed %d times: %v", h.happened("token.refreshed"), err)
	}
}

func TestXsRefusalOfANewTokenDoesNotWearXOut(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	for range 5 {
		if _, err := h.Access(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		g = h.read(g.ID)
		if again, err := h.Distrust(t.Context(), g); err == nil {
			g = again
		}
	}
	if n := h.happened("token.refreshed"); n != 1 {
		t.Errorf("X refreshed %d times", n)
	}
}

func TestDistrustLooksAtWhatIsStored(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	if _, err := h.Access(t.Context(), g); err != nil { // X gave a token just now
		t.Fatal(err)
	}
	used := h.read(g.ID)
	again := h.issued(0)
	again.Replace = true
	newer, err := h.Import(t.Context(), app, xapp.Default, again)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Distrust(t.Context(), used); err != nil || got.Access != newer.Access {
		t.Errorf("the user has connected again: %v", err)
	}
	if err := h.Revoke(t.Context(), app, g.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Distrust(t.Context(), newer); err != nil || got.State != oauth.Revoked {
		t.Errorf("the grant is revoked: %v", err)
	}
}

func TestDistrustLeavesANewerTokenAlone(t *testing.T) {
	h := newHouse(t)
	old := h.expired()
	if _, err := h.Access(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	before := h.read(old.ID)
	if got, err := h.Distrust(t.Context(), old); err != nil || got != before {
		t.Errorf("a newer token was thrown away: %v", err)
	}
}

// held has X keep its answers to refreshes until it is told to give them.
func (h *house) held() (answers func()) {
	gate := make(chan struct{})
	h.parts.X = gated{h.parts.X, gate}
	h.Service = grants.New(h.parts)
	answers = sync.OnceFunc(func() { close(gate) })
	h.t.Cleanup(answers)
	return answers
}

// gated is X whose answers to refreshes are held at a gate.
type gated struct {
	ports.TwitterGateway
	gate <-chan struct{}
}

func (x gated) Refresh(ctx context.Context, a ports.XApp, old secret.Text) (ports.Tokens, error) {
	tokens, err := x.TwitterGateway.Refresh(ctx, a, old)
	<-x.gate
	return tokens, err
}

// While a refresh is under way others may find out that the token is no good,
// the user may leave, or connect again: what X gave must not be lost to them.
func TestWhatHappensDuringARefreshDoesNotLoseIt(t *testing.T) {
	for name, v := range map[string]struct {
		meanwhile func(*house, oauth.Grant) error
		works     bool // afterwards
		refreshed int
	}{
		"X refuses the old token for somebody": {func(h *house, g oauth.Grant) error {
			_, err := h.Distrust(h.t.Context(), g)
			return err
		}, true, 1},
		"a replica revokes the grant": {func(h *house, g oauth.Grant) error {
			_, err := h.vault.Swap(h.t.Context(), g, g.Revoke(time.Now()))
			return err
		}, false, 1},
		"the user connects again": {func(h *house, _ oauth.Grant) error {
			in := h.issued(0)
			in.Replace = true
			_, err := h.Import(h.t.Context(), app, xapp.Default, in)
			return err
		}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			g := h.connected()
			soon := g
			soon.Expires = time.Now().Add(oauth.Margin / 2).UTC().Truncate(time.Microsecond)
			soon, err := h.vault.Swap(t.Context(), g, soon)
			if err != nil {
				t.Fatal(err)
			}
			answers, done := h.held(), make(chan error, 1)
			go func() {
				_, err := h.Access(t.Context(), soon)
				done <- err
			}()
			for !h.read(g.ID).Leased(time.Now()) {
				time.Sleep(time.Millisecond)
			}
			if err := v.meanwhile(h, h.read(g.ID)); err != nil {
				t.Fatal(err)
			}
			answers()
			if err := <-done; (err == nil) != v.works {
				t.Errorf("who waited for the refresh got %v", err)
			}
			token, err := h.Access(t.Context(), h.read(g.ID))
			if works := err == nil && h.accepts(token); works != v.works {
				t.Errorf("the grant works afterwards: %v (%v)", works, err)
			}
			if n := h.happened("token.refreshed"); n != v.refreshed || h.happened("token.replayed") > 0 {
				t.Errorf("X refreshed %d times, and saw %d tokens again", n, h.happened("token.replayed"))
			}
			if !v.works && h.happened("family.killed") == 0 {
				t.Error("X was not told to forget the tokens of a revoked grant")
			}
		})
	}
}
