package keyset_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/app/keyset"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// A house is stores in memory and a keyset in a file.
type house struct {
	*keyset.Service
	t     testing.TB
	store *memory.Store
	ring  *keyring.Ring
	path  string
	parts keyset.Parts

	journal ports.Journal
}

func newHouse(t testing.TB) *house {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := keyring.Generate(path); err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, store: memory.Open(), path: path, journal: memory.NewJournal()}
	t.Cleanup(func() { _ = h.store.Close() })
	h.open()
	return h
}

// open reads the keys anew, as a verb does that starts.
func (h *house) open() {
	h.t.Helper()
	ring, err := keyring.Open(h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	ring.Follow(slog.New(slog.DiscardHandler))
	h.ring = ring
	h.parts = keyset.Parts{
		Grants: h.store.Vault(), XApps: h.store.Registry().XApps(), SigningKeys: h.store.SigningKeys(), Keyring: ring,
		Journal: h.journal, Deliveries: h.store.Deliveries(),
	}
	h.Service = keyset.New(h.parts)
}

// rotate has another key seal and returns the one that did before.
func (h *house) rotate() (before string) {
	h.t.Helper()
	before = h.ring.Primary()
	if _, err := keyring.Rotate(h.path); err != nil {
		h.t.Fatal(err)
	}
	h.open()
	return before
}

func (h *house) seal(plain, label string) secret.Box {
	h.t.Helper()
	box, err := h.ring.Seal(context.Background(), secret.New(plain), label)
	if err != nil {
		h.t.Fatal(err)
	}
	return box
}

func (h *house) opens(box secret.Box, label, want string) {
	h.t.Helper()
	got, err := h.ring.Open(context.Background(), box, label)
	if err != nil || got.Reveal() != want {
		h.t.Errorf("a box of %q does not open: %v", want, err)
	}
}

func (h *house) grant(n int) oauth.Grant {
	h.t.Helper()
	g := oauth.Grant{
		ID: oauth.GrantID(fmt.Sprintf("grant_%06d", n)), App: "app", User: user.User{ID: user.ID(fmt.Sprint(n))},
		State: oauth.Active, Generation: 7, Updated: time.Unix(1, 0).UTC(), Expires: time.Unix(9, 0).UTC(),
	}
	g.Access = h.seal("access", g.Label(oauth.AccessLabel))
	if n%3 > 0 {
		g.Refresh = h.seal("refresh", g.Label(oauth.RefreshLabel))
	}
	g, err := h.store.Vault().Create(context.Background(), g)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

func (h *house) stored(id oauth.GrantID) oauth.Grant {
	h.t.Helper()
	g, err := h.store.Vault().Get(context.Background(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

func (h *house) fill(grants int) {
	h.t.Helper()
	for n := range grants {
		h.grant(n)
	}
	x := xapp.App{
		ID: "x", ClientID: "c", ClientSecret: h.seal("secret", secret.Label(xapp.SecretLabel, "x")),
		APIKey: "k", APISecret: h.seal("api", secret.Label(xapp.APISecretLabel, "x")),
	}
	if _, err := h.store.Registry().XApps().Create(context.Background(), x); err != nil {
		h.t.Fatal(err)
	}
	k := ports.SigningKey{ID: "k", Private: h.seal("private", secret.Label(ports.SigningKeyLabel, "k")), Retires: time.Unix(1, 0)}
	if err := h.store.SigningKeys().Add(context.Background(), k); err != nil {
		h.t.Fatal(err)
	}
}

func quiet(keyset.Progress) {}

// counts is how many boxes of each kind the key seals.
func (h *house) counts(key string) string {
	h.t.Helper()
	all, err := h.Count(context.Background(), quiet)
	if err != nil {
		h.t.Fatal(err)
	}
	var s []string
	for _, c := range all {
		s = append(s, fmt.Sprint(c.Boxes[key]))
	}
	return strings.Join(s, " ")
}

func TestResealBringsEveryBoxUnderTheNewKeyAndChangesNothingElse(t *testing.T) {
	h := newHouse(t)
	h.fill(1200)
	was := h.stored("grant_000001")
	old := h.rotate()
	if got := h.counts(old); got != "0 2000 2 1 0" {
		t.Errorf("the old key seals %s", got)
	}
	var said []keyset.Progress
	o, err := h.Reseal(t.Context(), func(p keyset.Progress) { said = append(said, p) })
	if err != nil || o.Moved != 1202 || o.Left() != 0 || o.Busy.Count+o.Shut.Count != 0 || o.Key != h.ring.Primary() {
		t.Errorf("resealed %+v, %v", o, err)
	}
	if got := h.counts(old) + ", " + h.counts(h.ring.Primary()); got != "0 0 0 0 0, 0 2000 2 1 0" {
		t.Errorf("the old key and the new one seal %s", got)
	}
	now := h.stored(was.ID)
	h.opens(now.Access, now.Label(oauth.AccessLabel), "access")
	h.opens(now.Refresh, now.Label(oauth.RefreshLabel), "refresh")
	if now.Access == was.Access || now.Version != was.Version+1 {
		t.Errorf("the grant was not swapped: version %d, then %d", was.Version, now.Version)
	}
	now.Access, now.Refresh, now.Version = was.Access, was.Refresh, was.Version
	if now != was {
		t.Errorf("resealing changed the grant\nfrom %+v\nto   %+v", was, now)
	}
	x, err := h.store.Registry().XApps().Get(t.Context(), "x")
	if err != nil || !x.Bearer.Empty() {
		t.Errorf("the X App is %+v, %v", x, err)
	}
	h.opens(x.ClientSecret, secret.Label(xapp.SecretLabel, "x"), "secret")
	h.opens(x.APISecret, secret.Label(xapp.APISecretLabel, "x"), "api")
	keys, err := h.store.SigningKeys().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.opens(keys[0].Private, secret.Label(ports.SigningKeyLabel, "k"), "private")
	last := keyset.Progress{}
	for _, p := range said {
		if p.Doing == "resealing grants" {
			last = p
		}
	}
	if last.Rows != 1200 || last.Of != 1200 {
		t.Errorf("the last that was told of grants is %+v", last)
	}
	again, err := h.Reseal(t.Context(), quiet)
	if err != nil || again.Moved != 0 || h.stored(was.ID).Version != was.Version+1 {
		t.Errorf("a second run moved %d, %v", again.Moved, err)
	}
}

// A run that is ended half way leaves every row whole, and the next one does
// only what is left.
func TestAResealThatWasEndedGoesOn(t *testing.T) {
	h := newHouse(t)
	h.fill(1600)
	old := h.rotate()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, err := h.Reseal(ctx, func(p keyset.Progress) {
		if p.Doing == "resealing grants" && p.Rows >= 500 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || first.Moved < 500 || first.Moved > 1100 {
		t.Fatalf("the ended run moved %d, %v", first.Moved, err)
	}
	if h.counts(old) == "0 0 0 0 0" {
		t.Fatal("the ended run did everything")
	}
	second, err := h.Reseal(t.Context(), quiet)
	if err != nil || first.Moved+second.Moved != 1602 || second.Left() != 0 {
		t.Errorf("the runs moved %d and %d, %d left; %v", first.Moved, second.Moved, second.Left(), err)
	}
}

func TestGrantsThatAreBeingRefreshedComeBackLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		vault := h.store.Vault()
		lease := func(n int, ttl time.Duration) oauth.Grant {
			g := h.grant(n)
			leased, err := g.Acquire("holder", time.Now(), ttl)
			if err == nil {
				leased, err = vault.Swap(t.Context(), g, leased)
			}
			if err != nil {
				t.Fatal(err)
			}
			return leased
		}
		short, crashed, stuck := lease(1, 30*time.Second), lease(2, 30*time.Second), lease(4, 30*time.Second)
		h.grant(5)
		old := h.rotate()
		over, ended := make(chan struct{}), make(chan struct{})
		go func() { // one refresh after the other
			defer close(ended)
			for held := stuck; ; {
				select {
				case <-over:
					return
				case <-time.After(20 * time.Second):
				}
				next, err := held.Acquire("holder", time.Now(), 30*time.Second)
				if err == nil {
					held, err = vault.Swap(t.Context(), held, next)
				}
				if err != nil {
					t.Error("the holder of a lease found it changed:", err)
				}
			}
		}()
		go func() {
			time.Sleep(10 * time.Second)
			if _, err := vault.Swap(t.Context(), short, short.Release()); err != nil {
				t.Error("the holder of a lease found it changed:", err)
			}
		}()
		began := time.Now()
		o, err := h.Reseal(t.Context(), quiet)
		if err != nil || o.Moved != 3 || o.Busy.Count != 1 || o.Busy.First[0] != string(stuck.ID) || o.Left() != 2 {
			t.Errorf("resealed %+v, %v", o, err)
		}
		if took := time.Since(began); took < 80*time.Second || took > 5*time.Minute {
			t.Errorf("it waited %v for leases", took)
		}
		if g := h.stored(crashed.ID); g.Lease != crashed.Lease || h.ring.KeyOf(g.Refresh) == old {
			t.Errorf("a lease that nobody ended became %+v", g.Lease)
		}
		close(over)
		<-ended
		if g := h.stored(stuck.ID); g.Access != stuck.Access || g.Refresh != stuck.Refresh {
			t.Error("a grant that is being refreshed was written to")
		}
	})
}

// Refreshes, new grants and resealing at once: nothing is lost.
func TestResealWhileOthersWrite(t *testing.T) {
	h := newHouse(t)
	h.fill(400)
	old := h.rotate()
	vault := h.store.Vault()
	stop := make(chan struct{})
	var renewed atomic.Int64
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := w; ; i = (i + 8) % 400 {
				select {
				case <-stop:
					return
				default:
				}
				g := h.stored(oauth.GrantID(fmt.Sprintf("grant_%06d", i)))
				next := g.Renew(oauth.Pair{Access: h.seal("access", g.Label(oauth.AccessLabel)), Expires: g.Expires}, time.Now())
				_, err := vault.Swap(context.Background(), g, next)
				if err == nil {
					renewed.Add(1)
				} else if !errors.Is(err, fault.Conflict) {
					t.Error(err)
				}
			}
		})
	}
	o, err := h.Reseal(t.Context(), quiet)
	close(stop)
	all.Wait()
	if err != nil || o.Left() != 0 || o.Shut.Count != 0 || renewed.Load() == 0 {
		t.Errorf("resealed %+v beside %d renewals, %v", o, renewed.Load(), err)
	}
	for n := range 400 {
		g := h.stored(oauth.GrantID(fmt.Sprintf("grant_%06d", n)))
		h.opens(g.Access, g.Label(oauth.AccessLabel), "access")
		if n%3 > 0 {
			h.opens(g.Refresh, g.Label(oauth.RefreshLabel), "refresh")
		}
	}
	if got := h.counts(old); got != "0 0 0 0 0" {
		t.Errorf("the old key seals %s", got)
	}
}

func TestABoxThatDoesNotOpenIsLeftAndNamed(t *testing.T) {
	h := newHouse(t)
	h.fill(10)
	moved, other := h.stored("grant_000003"), h.stored("grant_000004")
	next := moved
	next.Access = other.Access // as somebody would who can write to the store
	if _, err := h.store.Vault().Swap(t.Context(), moved, next); err != nil {
		t.Fatal(err)
	}
	h.rotate()
	o, err := h.Reseal(t.Context(), quiet)
	if err != nil || o.Moved != 11 || o.Shut.String() != "grant_000003" || o.Left() != 1 || o.After[1].Shut.Count != 1 {
		t.Errorf("resealed %+v, %v", o, err)
	}
	if h.stored("grant_000003").Access != other.Access {
		t.Error("a box that does not open was replaced")
	}
}

func TestAStoreThatFailsEndsTheRun(t *testing.T) {
	h := newHouse(t)
	h.fill(20)
	h.rotate()
	vault := memory.Mischief(h.store.Vault())
	vault.FailBefore(5)
	h.parts.Grants = vault
	if o, err := keyset.New(h.parts).Reseal(t.Context(), quiet); !errors.Is(err, memory.ErrMischief) || o.After != nil {
		t.Errorf("a store that fails: %+v, %v", o, err)
	}
	if o, err := keyset.New(h.parts).Reseal(t.Context(), quiet); err != nil || o.Left() != 0 {
		t.Errorf("the next run: %+v, %v", o, err)
	}
}
