package grants_test

import (
	"context"
	"testing"
	"time"

	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/grants"
	"perch/domain/audit"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// crowd returns n grants whose access tokens have run out, of as many users.
func (h *house) crowd(n int) []oauth.Grant {
	h.t.Helper()
	all := make([]oauth.Grant, n)
	for i := range all {
		in := h.issued(0)
		in.User = user.User{ID: user.ID("9" + string(rune('0'+i/10)) + string(rune('0'+i%10)))}
		in.Expires = time.Now().Add(-time.Hour)
		g, err := h.Import(h.t.Context(), app, xapp.Default, in)
		if err != nil {
			h.t.Fatal(err)
		}
		all[i] = g
	}
	return all
}

// tried asks for a token as a caller does who will not wait.
func (h *house) tried(id oauth.GrantID) error {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := h.Access(ctx, h.read(id))
	return err
}

// X had an hour in which it answered 401 to everybody. Whatever it says to
// everybody says nothing of a single grant.
func TestWhenXRefusesEverybodyNobodyIsDisconnected(t *testing.T) {
	for name, trouble := range map[string]xsim.Mischief{
		"401 to everything":             {Kind: "unauthorized"},
		"400 to every refresh":          {Match: "token", Kind: "status", Status: 400},
		"503 to everything":             {Kind: "outage"},
		"an HTML page for every answer": {Kind: "html", Status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			crowd := h.crowd(33) // of whom three do not come before it is over
			h.x.Mischief(trouble)
			began := time.Now()
			for range 3 {
				for _, g := range crowd[:30] {
					if err := h.tried(g.ID); err == nil {
						t.Fatal("there is a token")
					}
				}
			}
			if n := h.happened("mischief.done"); n < 5 || n > 12+int(time.Since(began)/rest) {
				t.Errorf("X was asked %d times in its outage", n)
			}
			if n := h.log.count("x.token_endpoint.open", audit.Failed); n == 0 {
				t.Error("nobody was told")
			}
			h.x.ClearMischief()
			time.Sleep(rest + 100*time.Millisecond)

			suspect := 0
			for _, g := range crowd {
				stored := h.read(g.ID)
				if stored.State == oauth.Revoked || stored.Refresh.Empty() {
					t.Errorf("a grant is lost: %+v", stored)
				}
				if stored.State == oauth.Suspect || stored.Unsettled() {
					suspect++ // tried again by itself, a little later
					continue
				}
				if token, err := h.Access(t.Context(), stored); err != nil || !h.accepts(token) {
					t.Errorf("after the outage: %v", err)
				}
			}
			if suspect > 12+int(time.Since(began)/rest) {
				t.Errorf("%d of 30 grants have to wait", suspect)
			}
			if h.log.count("x.token_endpoint.close", audit.Done) != 1 {
				t.Error("nobody was told that it is over")
			}
		})
	}
}

func TestOneGrantThatXRefusesOpensNothing(t *testing.T) {
	h := newHouse(t)
	crowd := h.crowd(10)
	dead := crowd[0]
	h.x.Mischief(xsim.Mischief{Match: "token", Kind: "status", Status: 400, Times: 1})
	for range 20 {
		if _, err := h.Access(t.Context(), h.read(dead.ID)); err == nil {
			t.Fatal("there is a token")
		}
		stored := h.read(dead.ID) // let its time pass
		waited := stored
		waited.Retry = time.Now().Add(-time.Second).UTC().Truncate(time.Microsecond)
		if _, err := h.vault.Swap(t.Context(), stored, waited); err != nil {
			t.Fatal(err)
		}
		h.x.Mischief(xsim.Mischief{Match: "token", Kind: "status", Status: 400, Times: 1})
	}
	h.x.ClearMischief()
	for _, g := range crowd[1:] {
		if token, err := h.Access(t.Context(), g); err != nil || !h.accepts(token) {
			t.Errorf("another grant: %v", err)
		}
	}
}

func TestAnXAppsOutageIsItsOwn(t *testing.T) {
	h := newHouse(t)
	h.parts.Breaker = xhttp.NewBreakers(time.Hour, h.log) // which rests for as long as this takes
	g := h.expired()
	for range 10 {
		tell, err := h.parts.Breaker.Allow("another")
		if err != nil {
			break
		}
		tell(ports.Failed, nil)
	}
	if _, err := h.parts.Breaker.Allow("another"); err == nil {
		t.Fatal("ten failures opened nothing")
	}
	if token, err := grants.New(h.parts).Access(t.Context(), g); err != nil || !h.accepts(token) {
		t.Error(err)
	}
}
