package keyset_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

func TestRetirable(t *testing.T) {
	h := newHouse(t)
	h.fill(2)
	old := h.rotate()
	long := time.Now().Add(-time.Hour)
	refused := func(key string, stopped time.Time, say string) {
		t.Helper()
		err := h.Retirable(t.Context(), key, stopped, quiet)
		if !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v, want one that says %q", key, err, say)
		}
	}
	refused(h.ring.Primary(), long, "is the key that seals")
	refused(old, long, "grants: 3, X Apps: 2, signing keys: 1")
	if _, err := h.Reseal(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
	refused(old, time.Now(), "sign-ins that were under way")
	if err := h.Retirable(t.Context(), old, long, quiet); err != nil {
		t.Errorf("a key that seals nothing: %v", err)
	}
	elsewhere := newHouse(t)
	unused := elsewhere.rotate()
	if err := elsewhere.Retirable(t.Context(), unused, long, quiet); !errors.Is(err, fault.Conflict) ||
		!strings.Contains(err.Error(), "may belong to other stores") {
		t.Errorf("stores that the keyset has sealed nothing in: %v", err)
	}
	g := h.stored("grant_000000")
	broken := g
	broken.Access = secret.Box(rand.Text())
	if _, err := h.store.Vault().Swap(t.Context(), g, broken); err != nil {
		t.Fatal(err)
	}
	refused(old, long, "do not tell which key they need (grants: 1)")
}

// What is in the journal needs its key until it is in the vault.
func TestARenewalInTheJournalKeepsItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.fill(1)
		g := h.stored("grant_000000")
		r := ports.Renewal{
			Attempt: "a", Grant: g.ID, App: g.App, Generation: g.Generation,
			Pair: oauth.Pair{Access: h.seal("newer", g.Label(oauth.AccessLabel))},
		}
		if err := h.journal.Keep(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		old := h.rotate()
		o, err := h.Reseal(t.Context(), quiet)
		if err != nil || o.Busy.String() != "the renewal of grant_000000" || o.Left() != 1 {
			t.Errorf("resealed %+v, %v", o, err)
		}
		err = h.Retirable(t.Context(), old, time.Time{}, quiet)
		if !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "(renewals: 1)") {
			t.Errorf("while the journal needs it: %v", err)
		}
		go func() { // a Perch that starts brings it to the vault
			time.Sleep(5 * time.Second)
			stored := h.stored(g.ID)
			_, err := h.store.Vault().Swap(t.Context(), stored, stored.Renew(r.Pair, time.Now()))
			if err := errors.Join(err, h.journal.Drop(t.Context(), "a")); err != nil {
				t.Error(err)
			}
		}()
		if o, err = h.Reseal(t.Context(), quiet); err != nil || o.Left() != 0 {
			t.Errorf("resealed %+v, %v", o, err)
		}
		now := h.stored(g.ID)
		h.opens(now.Access, now.Label(oauth.AccessLabel), "newer")
		if err := h.Retirable(t.Context(), old, time.Time{}, quiet); err != nil {
			t.Error(err)
		}
	})
}
