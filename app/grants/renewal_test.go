package grants_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/journal"
	"perch/adapters/memory"
	"perch/app/clock"
	"perch/app/grants"
	"perch/domain/audit"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// journaled has the house keep its journal in a folder, and returns a restart:
// the house as another process would find it.
func (h *house) journaled() (restart func()) {
	h.t.Helper()
	dir := filepath.Join(h.t.TempDir(), "journal")
	restart = func() {
		h.t.Helper()
		j, err := journal.Open(dir)
		if err != nil {
			h.t.Fatal(err)
		}
		h.parts.Journal = j
		h.Service = grants.New(h.parts)
	}
	restart()
	return restart
}

func (h *house) pending() int {
	h.t.Helper()
	list, err := h.parts.Journal.Pending(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return len(list)
}

// storeAway makes every write of the vault from the n-th on fail, until it is
// taken back.
type storeAway struct {
	ports.TokenVault
	mu   sync.Mutex
	left int // writes until it is away; negative: it is not to go
}

func (s *storeAway) Swap(ctx context.Context, old, next oauth.Grant) (oauth.Grant, error) {
	s.mu.Lock()
	away := s.left == 0
	if s.left > 0 {
		s.left--
	}
	s.mu.Unlock()
	if away {
		return oauth.Grant{}, fault.New(fault.Unavailable, "the vault is away").Because(memory.ErrMischief)
	}
	return s.TokenVault.Swap(ctx, old, next)
}

func (s *storeAway) set(left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = left
}

// X has answered, and the process dies before the vault has it.
func TestAProcessThatDiesAfterXsAnswerLosesNothing(t *testing.T) {
	h := newHouse(t)
	restart := h.journaled()
	away := &storeAway{TokenVault: h.vault, left: -1}
	h.parts.Vault = away
	restart()
	g := h.expired()
	away.set(1) // the lease is taken, and then the store is away for longer than the process lives
	died := make(chan struct{})
	go func() { // as much of it as a process does that is killed
		defer close(died)
		_, _ = h.Access(t.Context(), g)
	}()
	for h.pending() == 0 {
		time.Sleep(time.Millisecond)
	}

	away.set(-1)
	restart()
	if _, _, err := h.Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := h.read(g.ID)
	token, err := h.Access(t.Context(), got)
	if err != nil || !h.accepts(token) || got.Generation != g.Generation+1 || got.Unsettled() {
		t.Errorf("after the restart: generation %d, lease %+v, %v", got.Generation, got.Lease, err)
	}
	if n := h.happened("token.refreshed"); n != 1 || h.happened("token.replayed") != 0 {
		t.Errorf("X refreshed %d times", n)
	}
	<-died
	if n := h.pending(); n != 0 {
		t.Errorf("%d renewals are still in the journal", n)
	}
}

func TestReplayingTwiceDoesNothingMore(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	var r ports.Renewal
	keep := &keeper{Journal: h.parts.Journal}
	h.parts.Journal = keep
	h.Service = grants.New(h.parts)
	if _, err := h.Access(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	r = keep.last
	want := h.read(g.ID)
	for range 2 {
		if err := h.parts.Journal.Keep(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if brought, stay, err := h.Replay(t.Context()); brought != 0 || stay != 0 || err != nil {
			t.Errorf("replaying what is there: %d, %d, %v", brought, stay, err)
		}
	}
	if got := h.read(g.ID); got != want || h.pending() != 0 {
		t.Errorf("it changed the grant to %+v, and %d renewals are left", got, h.pending())
	}
}

// keeper remembers what was kept last.
type keeper struct {
	ports.Journal
	last ports.Renewal
}

func (k *keeper) Keep(ctx context.Context, r ports.Renewal) error {
	k.last = r
	return k.Journal.Keep(ctx, r)
}

// A renewal that comes late is not put in the place of what came after it.
func TestWhatStandsBeforeARenewal(t *testing.T) {
	for name, v := range map[string]struct {
		after func(*house, oauth.Grant)
		state oauth.State
	}{
		"a new consent": {func(h *house, g oauth.Grant) {
			in := h.issued(0)
			in.Replace = true
			if _, err := h.Import(h.t.Context(), app, xapp.Default, in); err != nil {
				h.t.Fatal(err)
			}
		}, oauth.Active},
		"a revocation": {func(h *house, g oauth.Grant) {
			if _, err := h.vault.Swap(h.t.Context(), h.read(g.ID), h.read(g.ID).Revoke(time.Now().UTC())); err != nil {
				h.t.Fatal(err)
			}
		}, oauth.Revoked},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			g := h.expired()
			keep := &keeper{Journal: h.parts.Journal}
			h.parts.Journal = keep
			h.Service = grants.New(h.parts)
			h.vault.FailBefore(2) // so that what is stored is the grant of before for a moment
			away := &storeAway{TokenVault: h.vault, left: 1}
			h.vault.FailBefore(0)
			h.parts.Vault = away
			h.Service = grants.New(h.parts)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _, _ = h.Access(ctx, g) }()
			for h.pending() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
			h.parts.Vault = h.vault
			h.Service = grants.New(h.parts)
			v.after(h, g)
			want := h.read(g.ID)
			away.set(-1)
			<-done
			if _, _, err := h.Replay(t.Context()); err != nil {
				t.Error(err)
			}
			if got := h.read(g.ID); got != want || got.State != v.state {
				t.Errorf("it was put in the place of what came after:\n got %+v\nwant %+v", got, want)
			}
			if h.pending() != 0 {
				t.Error("it is still in the journal")
			}
			if v.state == oauth.Revoked && h.happened("family.killed") == 0 {
				t.Error("X was not told to forget it")
			}
		})
	}
}

func TestARenewalOfAnUnknownGrantStaysInTheJournal(t *testing.T) {
	h := newHouse(t)
	stray := ports.Renewal{Attempt: "a", Grant: "grant_of_another_store", Pair: oauth.Pair{Access: "box"}, At: time.Now().UTC()}
	if err := h.parts.Journal.Keep(t.Context(), stray); err != nil {
		t.Fatal(err)
	}
	if brought, stay, err := h.Replay(t.Context()); brought != 0 || stay != 1 || err != nil || h.pending() != 1 {
		t.Errorf("brought %d, stay %d, pending %d, %v", brought, stay, h.pending(), err)
	}
	if n := h.log.count("grant.replay", audit.Failed); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// full is a journal without room.
type full struct{ ports.Journal }

func (full) Reserve(context.Context, string) error {
	return fault.New(fault.Unavailable, "full").Named("journal-full")
}

func TestWithoutRoomInTheJournalNothingIsPresented(t *testing.T) {
	h := newHouse(t)
	room := h.parts.Journal
	h.parts.Journal = full{room}
	h.Service = grants.New(h.parts)
	g := h.expired()
	_, err := h.Access(t.Context(), g)
	kindIs(t, err, fault.Unavailable, "journal-full")
	if n := h.happened("token.refreshed"); n != 0 || h.read(g.ID).Unsettled() {
		t.Errorf("X refreshed %d times, lease %+v", n, h.read(g.ID).Lease)
	}
	h.parts.Journal = room
	h.Service = grants.New(h.parts)
	if token, err := h.Access(t.Context(), h.read(g.ID)); err != nil || !h.accepts(token) {
		t.Errorf("when there is room again: %v", err)
	}
}

// forgetful loses what it is to keep.
type forgetful struct{ ports.Journal }

func (forgetful) Keep(context.Context, ports.Renewal) error { return errors.New("the disk has gone") }

func TestAJournalThatFailsDoesNotLoseTheTokens(t *testing.T) {
	h := newHouse(t)
	h.parts.Journal = forgetful{h.parts.Journal}
	h.Service = grants.New(h.parts)
	if token, err := h.Access(t.Context(), h.expired()); err != nil || !h.accepts(token) {
		t.Error(err)
	}
	if n := h.log.count("grant.journal", audit.Failed); n != 1 {
		t.Errorf("it was written down %d times", n)
	}
}

// prompt is X that answers at once, and counts how often it is asked.
type prompt struct {
	ports.TwitterGateway
	asked atomic.Int64
}

func (p *prompt) Refresh(context.Context, ports.XApp, secret.Text) (ports.Tokens, error) {
	n := fmt.Sprint(p.asked.Add(1))
	return ports.Tokens{Access: secret.New("A" + n), Refresh: secret.New("R" + n), TTL: 2 * time.Hour}, nil
}

// Whoever takes an unsettled grant over waits first. If the one before was only
// slow to store what X gave, that wins.
func TestASlowHolderWinsOverWhoTakesOver(t *testing.T) {
	h := newHouse(t)
	connected := h.connected()
	synctest.Test(t, func(t *testing.T) {
		swap := func(old, next oauth.Grant) oauth.Grant {
			g, err := h.vault.Swap(t.Context(), old, next)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		x, away, parts := &prompt{}, &storeAway{TokenVault: h.vault, left: 1}, h.parts
		parts.X, parts.WaitAndSee = x, grants.WaitAndSee
		slow := parts
		slow.Vault, slow.Journal = away, memory.NewJournal()
		ended := make(chan error, 2)
		refresh := func(p grants.Parts, g oauth.Grant) {
			go func() { _, err := grants.New(p).Access(t.Context(), g); ended <- err }()
			synctest.Wait()
		}
		refresh(slow, swap(connected, connected.Stale(time.Now())))
		leased := h.read(connected.ID)
		over := leased
		over.Lease.Until = time.Now().Add(-time.Second)
		refresh(parts, swap(leased, over)) // time has passed
		if x.asked.Load() != 1 || h.read(leased.ID).Lease.Holder == leased.Lease.Holder {
			t.Fatal("nobody takes over and waits")
		}
		time.Sleep(grants.WaitAndSee * 7 / 10)
		away.set(-1) // the store is back
		if err := errors.Join(<-ended, <-ended); err != nil || x.asked.Load() != 1 {
			t.Errorf("X was asked %d times: %v", x.asked.Load(), err)
		}
		if token, err := grants.New(parts).Access(t.Context(), h.read(leased.ID)); err != nil || token.Reveal() != "A1" {
			t.Errorf("the grant is lost: %v", err)
		}
	})
}

func TestResealingDuringARefreshIsNoNewConsent(t *testing.T) {
	h := newHouse(t)
	g := h.expired()
	answers, done := h.held(), make(chan error, 1)
	go func() { _, err := h.Access(t.Context(), g); done <- err }()
	for !h.read(g.ID).Leased(time.Now()) {
		time.Sleep(time.Millisecond)
	}
	leased := h.read(g.ID)
	resealed := leased
	for _, part := range []struct {
		box  *oauth.Grant
		kind string
	}{{&resealed, oauth.AccessLabel}, {&resealed, oauth.RefreshLabel}} {
		into := &part.box.Access
		if part.kind == oauth.RefreshLabel {
			into = &part.box.Refresh
		}
		plain, err := h.parts.Keyring.Open(t.Context(), *into, g.Label(part.kind))
		if err != nil {
			t.Fatal(err)
		}
		if *into, err = h.parts.Keyring.Seal(t.Context(), plain, g.Label(part.kind)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.vault.Swap(t.Context(), leased, resealed); err != nil {
		t.Fatal(err)
	}
	answers()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if token, err := h.Access(t.Context(), h.read(g.ID)); err != nil || !h.accepts(token) {
		t.Errorf("the grant is lost: %v", err)
	}
}

// Replicas whose clocks are wrong by ten minutes take the store's for the time.
func TestReplicasWithWrongClocks(t *testing.T) {
	for _, wrong := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		h := newHouse(t)
		skewed := h.parts
		skewed.Clock = clock.New(h.store, func() time.Time { return time.Now().Add(wrong) })
		other := grants.New(skewed)
		g := h.expired()
		var all sync.WaitGroup
		for i := range 50 {
			service := h.Service
			if i%2 == 1 {
				service = other
			}
			all.Go(func() {
				if token, err := service.Access(t.Context(), g); err != nil || token.Empty() {
					t.Errorf("off by %v, caller %d: %v", wrong, i, err)
				}
			})
		}
		all.Wait()
		got := h.read(g.ID)
		if n := h.happened("token.refreshed"); n != 1 || h.happened("token.replayed") != 0 {
			t.Errorf("off by %v: X refreshed %d times", wrong, n)
		}
		if left := time.Until(got.Expires); left < 119*time.Minute || left > 121*time.Minute {
			t.Errorf("off by %v: the new token is taken to be good for %v", wrong, left)
		}
		// A fresh token stays fresh for a replica that has never looked.
		never := h.parts
		never.Clock = clock.New(h.store, func() time.Time { return time.Now().Add(3 * time.Hour) })
		if _, err := grants.New(never).Access(t.Context(), got); err != nil || h.happened("token.refreshed") != 1 {
			t.Errorf("off by hours: X refreshed %d times, %v", h.happened("token.refreshed"), err)
		}
	}
}
