package grants_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/memory"
	"perch/app/clock"
	"perch/app/grants"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// waiting is a renewal of the grant that is in the journal and not in the vault.
func (h *house) waiting(g oauth.Grant, attempt string) ports.Renewal {
	h.t.Helper()
	token, err := h.x.Issue("sim-client", string(h.x.Users()[0].ID), oauth.Everything.List())
	if err != nil {
		h.t.Fatal(err)
	}
	r := ports.Renewal{
		Attempt: attempt, Grant: g.ID, App: g.App, XApp: g.XApp, User: g.User.ID, Generation: g.Generation,
		At: time.Now().UTC().Truncate(time.Microsecond),
	}
	r.Pair.Expires = r.At.Add(2 * time.Hour)
	for _, part := range []struct {
		into  *secret.Box
		plain string
		kind  string
	}{{&r.Pair.Access, token.Access, oauth.AccessLabel}, {&r.Pair.Refresh, token.Refresh, oauth.RefreshLabel}} {
		if *part.into, err = h.parts.Keyring.Seal(h.t.Context(), secret.New(part.plain), g.Label(part.kind)); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := h.parts.Journal.Keep(h.t.Context(), r); err != nil {
		h.t.Fatal(err)
	}
	return r
}

// A vault that was restored from an older backup knows less than the journal.
func TestARenewalOutlivesAVaultThatIsSetBack(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	later := g
	later.Generation = 7
	r := h.waiting(later, "a")
	if brought, _, err := h.Replay(t.Context()); brought != 1 || err != nil {
		t.Fatalf("brought %d, %v", brought, err)
	}
	got := h.read(g.ID)
	if token, err := h.Access(t.Context(), got); got.Access != r.Pair.Access || got.Generation != 8 || err != nil || !h.accepts(token) {
		t.Errorf("generation %d, %v", got.Generation, err)
	}
}

// lossy stores one swap, has something happen, and loses its answer.
type lossy struct {
	ports.TokenVault
	once      sync.Once
	meanwhile func()
}

func (l *lossy) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	g, err := l.TokenVault.Swap(ctx, old, next)
	l.once.Do(func() {
		l.meanwhile()
		g, err = oauth.Grant{}, fault.New(fault.Unavailable, "the answer was lost")
	})
	return g, err
}

// New tokens are stored, the answer is lost, and somebody refreshes them before
// it is tried again.
func TestARetryDoesNotUndoARefresh(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	in := h.issued(0)
	in.Replace, in.Expires = true, time.Time{} // refreshed at first use
	parts := h.parts
	parts.Vault = &lossy{TokenVault: h.vault, meanwhile: func() {
		if _, err := h.Access(t.Context(), h.read(g.ID)); err != nil {
			t.Error(err)
		}
	}}
	if _, err := grants.New(parts).Import(t.Context(), app, xapp.Default, in); err != nil {
		t.Error(err)
	}
	if token, err := h.Access(t.Context(), h.read(g.ID)); err != nil || !h.accepts(token) || h.happened("token.replayed") > 0 {
		t.Errorf("the refreshed pair was overwritten: X saw %d spent tokens, %v", h.happened("token.replayed"), err)
	}
}

// late is X whose answer is looked at when the lease is long over, as by a process
// that was stopped meanwhile.
type late struct{ ports.TwitterGateway }

func (late) Refresh(context.Context, ports.XApp, secret.Text) (ports.Tokens, error) {
	time.Sleep(time.Minute)
	return ports.Tokens{Access: secret.New("A"), Refresh: secret.New("R"), TTL: 2 * time.Hour}, nil
}

// awayUntil is a vault that takes a lease and then nothing for a while.
type awayUntil struct {
	ports.TokenVault
	writes atomic.Int64
	until  time.Time
}

func (v *awayUntil) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	if v.writes.Add(1) > 1 && time.Now().Before(v.until) {
		return oauth.Grant{}, fault.New(fault.Unavailable, "away")
	}
	return v.TokenVault.Swap(ctx, old, next)
}

// Whatever X gave is kept by a process that lives, however late it is, and even
// if its journal fails while its vault is away.
func TestAProcessThatLivesKeepsWhatXGave(t *testing.T) {
	for name, spoil := range map[string]func(*grants.Parts){
		"it was stopped for a minute after X's answer": func(*grants.Parts) {},
		"and the vault was away for two": func(p *grants.Parts) {
			p.Vault = &awayUntil{TokenVault: p.Vault, until: time.Now().Add(2 * time.Minute)}
		},
		"and the journal failed as well": func(p *grants.Parts) {
			p.Vault = &awayUntil{TokenVault: p.Vault, until: time.Now().Add(2 * time.Minute)}
			p.Journal = forgetful{p.Journal}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			g := h.expired()
			synctest.Test(t, func(t *testing.T) {
				parts := h.parts
				parts.X, parts.Clock = late{}, clock.New(h.store, time.Now)
				spoil(&parts)
				s := grants.New(parts)
				g.Expires = time.Now().Add(-time.Minute) // by the clock of this bubble
				_, _ = s.Access(t.Context(), g)
				time.Sleep(3 * time.Minute)
				if _, _, err := s.Replay(t.Context()); err != nil {
					t.Error(err)
				}
				if got := h.read(g.ID); got.Generation != g.Generation+1 || got.Unsettled() {
					t.Errorf("what X gave is lost: generation %d, lease %+v", got.Generation, got.Lease)
				}
			})
			if left := h.pending(); left != 0 {
				t.Errorf("%d renewals are left", left)
			}
		})
	}
}

// sleeper is a journal on a machine that is suspended while it makes room: time
// goes on, and the process does not notice.
type sleeper struct {
	ports.Journal
	slept *atomic.Bool
}

func (s sleeper) Reserve(ctx context.Context, attempt string) error {
	s.slept.Store(true)
	return s.Journal.Reserve(ctx, attempt)
}

func TestAMachineThatWasSuspendedPresentsNothing(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	var slept atomic.Bool
	h.parts.Journal = sleeper{h.parts.Journal, &slept}
	h.parts.Clock = clock.New(h.store, func() time.Time {
		if slept.Load() {
			return time.Now().Add(10 * time.Minute)
		}
		return time.Now()
	})
	h.Service = grants.New(h.parts)
	if _, err := h.Access(t.Context(), g); err == nil {
		t.Error("there is a token")
	}
	if n := h.happened("token.refreshed"); n != 0 || h.read(g.ID).Unsettled() {
		t.Errorf("X refreshed %d times long after the lease had ended", n)
	}
}

// shutFor does not take one grant.
type shutFor struct {
	ports.TokenVault
	id   oauth.GrantID
	kind fault.Kind
}

func (s shutFor) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	if old.ID == s.id {
		return oauth.Grant{}, fault.New(s.kind, "this row cannot be written")
	}
	return s.TokenVault.Swap(ctx, old, next)
}

func TestOneRenewalDoesNotHoldUpTheOthers(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Unavailable, fault.Invalid} {
		h := newHouse(t)
		crowd := h.crowd(12)
		h.parts.Vault = shutFor{h.vault, crowd[0].ID, kind}
		h.Service = grants.New(h.parts)
		replay := func(t *testing.T) (brought, stay int, err error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return h.Replay(ctx)
		}
		synctest.Test(t, func(t *testing.T) {
			for i, g := range crowd {
				h.waiting(g, string(rune('a'+i)))
			}
			brought, stay, err := replay(t)
			if brought != 11 || (err != nil) != (kind == fault.Unavailable) || (stay == 1) != (kind == fault.Invalid) {
				t.Errorf("%v: brought %d, stay %d, %v", kind, brought, stay, err)
			}
			if n := h.pending(); n != 1 {
				t.Errorf("%v: %d are left in the journal", kind, n)
			}
			for i, g := range crowd[1:] { // one that is put off beside some that are brought
				h.waiting(h.read(g.ID), string(rune('n'+i)))
			}
			brought, stay, _ = replay(t)
			if brought != 11 || (stay == 1) != (kind == fault.Invalid) {
				t.Errorf("%v, again: brought %d, stay %d", kind, brought, stay)
			}
		})
	}
}

// deaf is X that does not take revocations.
type deaf struct{ ports.TwitterGateway }

func (deaf) Revoke(context.Context, ports.XApp, secret.Text) error {
	return fault.New(fault.Unavailable, "X does not answer")
}

// What X gave for a grant that was revoked meanwhile is given back, sooner or
// later.
func TestARenewalOfARevokedGrantStaysUntilXIsTold(t *testing.T) {
	h := newHouse(t)
	g := h.connected()
	r := h.waiting(g, "a")
	if _, err := h.vault.Swap(t.Context(), g, g.Revoke(time.Now()).Forget(time.Now())); err != nil {
		t.Fatal(err)
	}
	token, err := h.parts.Keyring.Open(t.Context(), r.Pair.Access, g.Label(oauth.AccessLabel))
	if err != nil {
		t.Fatal(err)
	}
	mute := h.parts
	mute.X = deaf{h.parts.X}
	if _, stay, err := grants.New(mute).Replay(t.Context()); stay != 1 || err != nil || h.pending() != 1 {
		t.Errorf("while X does not answer: stay %d, pending %d, %v", stay, h.pending(), err)
	}
	if _, stay, err := h.Replay(t.Context()); stay != 0 || err != nil || h.pending() != 0 || h.accepts(token) {
		t.Errorf("afterwards: stay %d, pending %d, X accepts the token: %v, %v", stay, h.pending(), h.accepts(token), err)
	}
}

func TestSettleWaitsForRefreshes(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	synctest.Test(t, func(t *testing.T) {
		parts := h.parts
		parts.X, parts.Clock, parts.Journal = late{}, clock.New(h.store, time.Now), memory.NewJournal()
		s := grants.New(parts)
		g.Expires = time.Now().Add(-time.Minute)
		go func() { _, _ = s.Access(t.Context(), g) }()
		synctest.Wait()
		began := time.Now()
		s.Settle(t.Context())
		kept, err := parts.Journal.Pending(t.Context())
		if took := time.Since(began); took < 50*time.Second || len(kept) != 1 || err != nil {
			t.Errorf("it waited %v; %d renewals are kept, %v", took, len(kept), err)
		}
	})
}
