package cloudflare_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/adapters/cloudflare"
	"perch/adapters/memory"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

func TestAWriteThatKVMissesIsMadeUpFor(t *testing.T) {
	d := newDesk(t)
	kv := d.open(t, memoryHeads(t))
	g, err := kv.Vault().Create(t.Context(), kvGrant("g"))
	if err != nil {
		t.Fatal(err)
	}
	d.at(closed)
	next := g
	next.Access = "newer box"
	if _, err := kv.Vault().Swap(t.Context(), g, next); err != nil {
		t.Errorf("a swap that KV misses: %v", err)
	}
	if _, err := kv.Vault().Create(t.Context(), kvGrant("h")); err != nil {
		t.Errorf("a grant that KV misses: %v", err)
	}
	if got, err := kv.Vault().Get(t.Context(), "g"); err != nil || got.Access != "newer box" || got.Version != 2 {
		t.Errorf("reading it: %+v, %v", got, err)
	}
	d.wantKV(t, "grants/g", "1")
	d.wantKV(t, "grants/h", "0")
	if err := kv.Ping(t.Context()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("Ping meanwhile: %v, want unavailable", err)
	}
	if n, err := kv.Sync(t.Context()); err == nil || n != 0 {
		t.Errorf("Sync meanwhile: %d, %v; want an error", n, err)
	}

	d.at(nil)
	if n, err := kv.Sync(t.Context()); err != nil || n != 2 {
		t.Errorf("Sync: %d, %v; want 2 made up for", n, err)
	}
	d.wantKV(t, "grants/g", "2")
	d.wantKV(t, "grants/h", "1")
	if n, err := kv.Sync(t.Context()); err != nil || n != 0 {
		t.Errorf("Sync again: %d, %v; want nothing left to do", n, err)
	}
	if err := kv.Ping(t.Context()); err != nil {
		t.Errorf("Ping afterwards: %v", err)
	}
}

func TestARemovalThatKVMissesIsMadeUpFor(t *testing.T) {
	d := newDesk(t)
	kv := d.open(t, memoryHeads(t))
	xapps := kv.Registry().XApps()
	_, err := xapps.Create(t.Context(), xappOf("x"))
	if err != nil {
		t.Fatal(err)
	}
	d.at(closed)
	if err := xapps.Delete(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	d.at(nil)
	d.wantKV(t, "xapps/x", "1")
	if n, err := kv.Sync(t.Context()); err != nil || n != 1 {
		t.Errorf("Sync: %d, %v", n, err)
	}
	d.wantKV(t, "xapps/x", "0")
	if x, err := xapps.Create(t.Context(), xappOf("x")); err != nil || x.Version != 3 {
		t.Errorf("made anew: %+v, %v; want version 3", x, err)
	}
	d.wantKV(t, "xapps/x", "3")
}

// Of two writers the one that stored first may reach KV last.
func TestALateWriterLeavesTheNewestInKV(t *testing.T) {
	d := newDesk(t)
	kv := d.open(t, memoryHeads(t))
	first, err := kv.Vault().Create(t.Context(), kvGrant("g"))
	if err != nil {
		t.Fatal(err)
	}
	held, let := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.at(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			late := false
			once.Do(func() { late = true })
			if late {
				close(held)
				<-let
			}
		}
		return false
	})
	done := make(chan error, 1)
	go func() {
		_, err := kv.Vault().Swap(t.Context(), first, first)
		done <- err
	}()
	<-held
	second, err := kv.Vault().Get(t.Context(), "g")
	if err != nil || second.Version != 2 {
		t.Fatalf("while the writer is held: %+v, %v", second, err)
	}
	if _, err := kv.Vault().Swap(t.Context(), second, second); err != nil {
		t.Fatal(err)
	}
	d.wantKV(t, "grants/g", "3")
	close(let)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d.wantKV(t, "grants/g", "3")
	if n, err := kv.Sync(t.Context()); err != nil || n != 0 {
		t.Errorf("Sync: %d, %v; want nothing left to do", n, err)
	}
}

func TestTwoPerchesShareANamespaceAndItsHeads(t *testing.T) {
	d, heads := newDesk(t), sqliteHeads(t)
	one, two := d.open(t, heads), d.open(t, heads)
	g, err := one.Vault().Create(t.Context(), kvGrant("g"))
	if err != nil {
		t.Fatal(err)
	}
	won := make(chan bool, 40)
	var all sync.WaitGroup
	for i := range cap(won) {
		all.Go(func() {
			_, err := []*cloudflare.KV{one, two}[i%2].Vault().Swap(t.Context(), g, g)
			if err != nil && !errors.Is(err, fault.Conflict) {
				t.Error(err)
			}
			won <- err == nil
		})
	}
	all.Wait()
	close(won)
	wins := 0
	for w := range won {
		if w {
			wins++
		}
	}
	if wins != 1 {
		t.Errorf("%d swaps won, want 1", wins)
	}
	for _, kv := range []*cloudflare.KV{one, two} {
		if got, err := kv.Vault().Get(t.Context(), "g"); err != nil || got.Version != 2 {
			t.Errorf("got %+v, %v; want version 2 at once", got, err)
		}
	}
}

// furnish puts some of everything into the namespace.
func furnish(t *testing.T, kv *cloudflare.KV) {
	t.Helper()
	for i := range 130 { // more than one call fetches
		if _, err := kv.Vault().Create(t.Context(), kvGrant(fmt.Sprintf("g%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	_, app := kv.Registry().Apps().Create(t.Context(), client.App{ID: "a", Origins: []client.Origin{"https://a.example"}})
	_, key := kv.Registry().Keys().Create(t.Context(), apikey.Key{ID: "k", Digest: "d"})
	_, x := kv.Registry().XApps().Create(t.Context(), xappOf("x"))
	_, gone := kv.Registry().XApps().Create(t.Context(), xappOf("gone"))
	if err := errors.Join(app, key, x, gone, kv.Registry().XApps().Delete(t.Context(), "gone")); err != nil {
		t.Fatal(err)
	}
}

func TestHeadsThatAreLostAreFoundedAnewWhereAnOperatorSaysSo(t *testing.T) {
	d := newDesk(t)
	furnish(t, d.open(t, memoryHeads(t)))

	heads := sqliteHeads(t)
	_, err := d.try(t, heads)
	if !errors.Is(err, cloudflare.ErrHeads) || !strings.Contains(err.Error(), "delete the key perch/founded") {
		t.Fatalf("with other heads: %v, want what to do", err)
	}
	if status, text := d.ask(t, http.MethodDelete, "perch/founded", ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	kv := d.open(t, heads)
	g, err := kv.Vault().Find(t.Context(), "app", "x", "user of g129")
	if err != nil || g.ID != "g129" || g.Version != 1 {
		t.Errorf("a grant by its owner: %+v, %v", g, err)
	}
	if list, err := kv.Vault().List(t.Context(), "", "", 500); err != nil || len(list) != 130 {
		t.Errorf("%d grants, %v; want 130", len(list), err)
	}
	if k, err := kv.Registry().Keys().ByDigest(t.Context(), []string{"d"}); err != nil || k.ID != "k" {
		t.Errorf("a key by its digest: %+v, %v", k, err)
	}
	if a, err := kv.Registry().Apps().Get(t.Context(), "a"); err != nil || len(a.Origins) != 1 {
		t.Errorf("an application: %+v, %v", a, err)
	}
	if list, err := kv.Registry().XApps().List(t.Context(), "", 9); err != nil || len(list) != 1 {
		t.Errorf("X Apps: %+v, %v; want the one that was not removed", list, err)
	}
	again := kvGrant("another")
	again.User.ID = g.User.ID
	if _, err := kv.Vault().Create(t.Context(), again); !errors.Is(err, fault.Conflict) {
		t.Errorf("a second grant of a user: %v, want a conflict", err)
	}
	if n, err := kv.Sync(t.Context()); err != nil || n != 0 {
		t.Errorf("Sync: %d, %v; want nothing to do", n, err)
	}
	d.open(t, heads)
}

func TestFoundingTakesWhatIsNewer(t *testing.T) {
	d, heads := newDesk(t), memoryHeads(t)
	kv := d.open(t, heads)
	old, err := kv.Vault().Create(t.Context(), kvGrant("behind"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Vault().Create(t.Context(), kvGrant("ahead")); err != nil {
		t.Fatal(err)
	}
	d.at(closed)
	if _, err := kv.Vault().Swap(t.Context(), old, old); err != nil {
		t.Fatal(err)
	}
	d.at(nil)
	_, text := d.ask(t, http.MethodGet, "grants/ahead", "")
	d.ask(t, http.MethodPut, "grants/ahead", strings.Replace(text, `"version":1`, `"version":7`, 1))
	d.ask(t, http.MethodDelete, "perch/founded", "")
	kv = d.open(t, heads)
	for id, version := range map[oauth.GrantID]int64{"behind": 2, "ahead": 7} {
		if g, err := kv.Vault().Get(t.Context(), id); err != nil || g.Version != version {
			t.Errorf("%s: version %d, %v; want %d", id, g.Version, err, version)
		}
	}
	d.ask(t, http.MethodPut, "grants/strange", "what is this")
	d.ask(t, http.MethodDelete, "perch/founded", "")
	if _, err := d.try(t, heads); err == nil || !strings.Contains(err.Error(), `"grants/strange" was not written by Perch`) {
		t.Errorf("with something strange in KV: %v", err)
	}
}

// fading heads lose everything at once, as a Redis that restarts without a log.
type fading struct {
	mu sync.Mutex
	ports.Heads
}

func (f *fading) Get(ctx context.Context, id string) (ports.Head, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Heads.Get(ctx, id)
}

func (f *fading) fade() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Heads = memory.NewHeads()
}

// A store that has lost all heads does not know which records there are.
func TestHeadsThatAreLostWhileServing(t *testing.T) {
	d, heads := newDesk(t), &fading{Heads: memory.NewHeads()}
	kv := d.open(t, heads)
	g, err := kv.Vault().Create(t.Context(), kvGrant("g"))
	if err != nil {
		t.Fatal(err)
	}
	heads.fade()
	_, get := kv.Vault().Get(t.Context(), "g")
	_, find := kv.Vault().Find(t.Context(), g.App, g.XApp, g.User.ID)
	_, swap := kv.Vault().Swap(t.Context(), g, g)
	_, create := kv.Vault().Create(t.Context(), kvGrant("h"))
	_, digest := kv.Registry().Keys().ByDigest(t.Context(), []string{"d"})
	for name, err := range map[string]error{
		"Get": get, "Find": find, "Swap": swap, "Create": create, "ByDigest": digest,
		"Delete": kv.Registry().XApps().Delete(t.Context(), "x"),
	} {
		if !errors.Is(err, fault.Unavailable) || !errors.Is(err, cloudflare.ErrHeads) {
			t.Errorf("%s: %v, want unavailable", name, err)
		}
	}
	d.wantKV(t, "grants/g", "1")
	d.wantKV(t, "grants/h", "0")
}

// slow heads hold up the next advance of a head with the text in its ID.
type slow struct {
	ports.Heads
	text      string
	held, let chan struct{}
	once      sync.Once
}

func (s *slow) Advance(ctx context.Context, version int64, next ports.Head) error {
	if strings.Contains(next.ID, s.text) {
		late := false
		s.once.Do(func() { late = true })
		if late {
			close(s.held)
			<-s.let
		}
	}
	return s.Heads.Advance(ctx, version, next)
}

// Somebody who claims a user's grant and then takes very long, or dies, stands in
// nobody's way, and comes too late.
func TestASlowSignInLosesToALaterOne(t *testing.T) {
	d := newDesk(t)
	heads := &slow{Heads: memory.NewHeads(), text: "grants/slow", held: make(chan struct{}), let: make(chan struct{})}
	kv := d.open(t, heads)
	late, quick := kvGrant("slow"), kvGrant("quick")
	quick.User = late.User
	done := make(chan error, 1)
	go func() {
		_, err := kv.Vault().Create(t.Context(), late)
		done <- err
	}()
	<-heads.held
	if _, err := kv.Vault().Find(t.Context(), late.App, late.XApp, late.User.ID); !errors.Is(err, fault.NotFound) {
		t.Errorf("the grant that is claimed only: %v, want not found", err)
	}
	start := time.Now()
	if _, err := kv.Vault().Create(t.Context(), quick); err != nil {
		t.Fatalf("the later sign-in: %v after %v", err, time.Since(start))
	}
	close(heads.let)
	if err := <-done; !errors.Is(err, fault.Conflict) {
		t.Errorf("the slow sign-in: %v, want a conflict", err)
	}
	g, err := kv.Vault().Find(t.Context(), late.App, late.XApp, late.User.ID)
	if err != nil || g.ID != "quick" {
		t.Errorf("the grant of the user: %+v, %v", g, err)
	}
	if list, err := kv.Vault().List(t.Context(), "", "", 9); err != nil || len(list) != 1 {
		t.Errorf("all grants: %+v, %v; want one", list, err)
	}
}

func TestAnotherPerchWithHeadsOfItsOwnIsNoticed(t *testing.T) {
	d := newDesk(t)
	kv := d.open(t, memoryHeads(t))
	d.ask(t, http.MethodPut, "perch/founded", "somebody else")
	if _, err := kv.Sync(t.Context()); !errors.Is(err, cloudflare.ErrHeads) || !strings.Contains(err.Error(), "stop one") {
		t.Errorf("Sync: %v, want what to do", err)
	}
}

func TestAnIDThatIsTooLongForKV(t *testing.T) {
	kv := newDesk(t).open(t, memoryHeads(t))
	long := oauth.GrantID(strings.Repeat("x", 506))
	if _, err := kv.Vault().Get(t.Context(), long); !errors.Is(err, fault.NotFound) {
		t.Errorf("Get: %v", err)
	}
	if _, err := kv.Vault().Create(t.Context(), kvGrant(string(long))); !errors.Is(err, fault.Invalid) {
		t.Errorf("Create: %v", err)
	}
	if _, err := kv.Vault().Create(t.Context(), kvGrant(string(long[:505]))); err != nil {
		t.Errorf("Create with the longest ID there can be: %v", err)
	}
}

func TestKVErrorsDoNotShowTheToken(t *testing.T) {
	d := newDesk(t)
	d.at(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "errors": []any{
			map[string]any{"code": 10000, "message": r.Header.Get("Authorization")},
		}})
		return true
	})
	_, err := d.try(t, memoryHeads(t))
	if err == nil || strings.Contains(err.Error(), d.place.Token) {
		t.Errorf("got %v", err)
	}
}
