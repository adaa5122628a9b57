package jws

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/keyring"
	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/session"
)

func TestRotationNeverLosesAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		a, b := h.signer(), h.signer()
		ids := map[string]bool{}
		for range 90 * 24 / 2 { // three rotations in steps of two hours
			token := sign(t, a)
			ids[header(t, token)["kid"].(string)] = true
			good(t, b, token)
			good(t, a, sign(t, b))
			time.Sleep(session.AccessTTL - time.Second)
			good(t, b, token)
			time.Sleep(2*time.Hour - session.AccessTTL + time.Second)
		}
		if len(ids) < 3 || len(ids) > 4 {
			t.Errorf("%d keys signed in 90 days", len(ids))
		}
	})
}

func TestTheNextKeyIsKnownBeforeItSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		a := h.signer()
		first := header(t, sign(t, a))["kid"]
		retires := h.shelf.keys[0].Retires
		time.Sleep(time.Until(retires) - lead + time.Minute)
		if got := header(t, sign(t, a))["kid"]; got != first {
			t.Error("the new key signs before its time")
		}
		if _, adds := h.shelf.counts(); adds != 2 {
			t.Fatalf("%d keys were made", adds)
		}
		if n := len(published(t, a)); n != 2 {
			t.Errorf("%d keys are published", n)
		}
		time.Sleep(time.Until(retires) - time.Second)
		last := sign(t, a)
		time.Sleep(time.Second)
		if got := header(t, sign(t, a))["kid"]; got == first {
			t.Error("a retired key signs")
		}
		good(t, h.signer(), last)
		time.Sleep(session.AccessTTL - 2*time.Second)
		good(t, h.signer(), last)
		if n := len(published(t, a)); n != 2 {
			t.Errorf("%d keys are published while the old one's tokens last", n)
		}
		time.Sleep(overlap + 3*time.Second)
		if n := len(published(t, a)); n != 1 {
			t.Errorf("%d keys are published afterwards", n)
		}
	})
}

func TestReplicasThatStartAtOnceAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.shelf.slow = 10 * time.Millisecond
		tokens := make([]secret.Text, 40)
		signers := make([]*Signer, 4)
		for i := range signers {
			signers[i] = h.signer()
		}
		var wg sync.WaitGroup
		for i := range tokens {
			wg.Go(func() { tokens[i] = sign(t, signers[i%len(signers)]) })
		}
		wg.Wait()
		if _, adds := h.shelf.counts(); adds != 1 {
			t.Errorf("%d keys were made", adds)
		}
		for _, token := range tokens {
			good(t, signers[0], token)
		}
	})
}

func TestReplicasThatRotateAtOnceAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		a, b := h.signer(), h.signer()
		sign(t, a)
		sign(t, b)
		h.shelf.slow = 10 * time.Millisecond
		time.Sleep(time.Until(h.shelf.keys[0].Retires) - lead)
		var wg sync.WaitGroup
		wg.Go(func() { sign(t, a) })
		wg.Go(func() {
			time.Sleep(time.Millisecond) // it lists before a's new key is stored, and adds after
			sign(t, b)
		})
		wg.Wait()
		if _, adds := h.shelf.counts(); adds != 2 {
			t.Errorf("%d keys were made in all", adds)
		}
	})
}

func TestAFreshSignerLearnsTheFirstKeyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		other, early := newHouse(), h.signer()
		// Somebody's token makes the early one list an empty store just before.
		if _, err := early.Verify(t.Context(), sign(t, other.signer())); !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("a stranger's token: %v", err)
		}
		good(t, early, sign(t, h.signer()))
	})
}

func TestInventedKeysDoNotWearOutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		s := h.signer()
		sign(t, s)
		stranger := sign(t, newHouse().signer())
		before, _ := h.shelf.counts()
		for range 1000 {
			if _, err := s.Verify(t.Context(), stranger); !errors.Is(err, fault.Unauthenticated) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if lists, _ := h.shelf.counts(); lists-before > 6 {
			t.Errorf("the store was asked %d times in ten seconds", lists-before)
		}
	})
}

func TestTheStoreMayBeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		s := h.signer()
		h.shelf.fail(true)
		if _, err := s.Sign(t.Context(), said(time.Now())); !errors.Is(err, fault.Unavailable) {
			t.Errorf("nothing known and the store down: %v", err)
		}
		h.shelf.fail(false)
		token := sign(t, s)
		h.shelf.fail(true)
		time.Sleep(5 * time.Minute)
		before, _ := h.shelf.counts()
		for range 100 {
			good(t, s, token)
			sign(t, s)
		}
		if after, _ := h.shelf.counts(); after-before > 1 {
			t.Errorf("a store that is down was asked %d times at once", after-before)
		}
		time.Sleep(time.Until(h.shelf.keys[0].Retires) - time.Minute)
		sign(t, s) // rotation fails, the old key still signs
		time.Sleep(2 * time.Minute)
		if _, err := s.Sign(t.Context(), said(time.Now())); !errors.Is(err, fault.Unavailable) {
			t.Errorf("no key in force and the store down: %v", err)
		}
		stranger := sign(t, newHouse().signer())
		if _, err := s.Verify(t.Context(), stranger); !errors.Is(err, fault.Unavailable) {
			t.Errorf("an unknown key and the store down: %v", err)
		}
	})
}

func TestARemovedKeyIsSoonDistrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		s := h.signer()
		token := sign(t, s)
		h.shelf.keys = nil
		time.Sleep(maxAge)
		if _, err := s.Verify(t.Context(), token); !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("a token of a removed key: %v", err)
		}
	})
}

func TestAKeyringThatLacksTheKeyFailsClosed(t *testing.T) {
	h := newHouse()
	token := sign(t, h.signer())
	other := New(h.shelf, keyring.Ephemeral(), issuer, time.Now)
	if _, err := other.Sign(t.Context(), said(time.Now())); !errors.Is(err, fault.Internal) {
		t.Errorf("Sign: %v", err)
	}
	if _, err := other.Verify(t.Context(), token); !errors.Is(err, fault.Internal) {
		t.Errorf("Verify: %v", err)
	}
	if _, adds := h.shelf.counts(); adds != 1 {
		t.Error("it made a key of its own")
	}
}

func TestACancelledCallIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		s := h.signer()
		h.shelf.slow = time.Hour
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = s.JWKS(context.Background())
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := s.Sign(ctx, said(time.Now()))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		<-done
	})
}

// Whoever gets hold of a key after its time can do nothing with it.
func TestAKeyThatHasRetiredVerifiesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		s := h.signer()
		sign(t, s)
		k := s.chain.Load().keys[0]
		f := forger{private: k.private, kid: k.id}
		forged := func() secret.Text { return secret.New(f.signed(f.head("ES256", "at+jwt", ""), f.body(nil))) }
		good(t, s, forged())
		time.Sleep(time.Until(k.retires) + session.AccessTTL + overlap - time.Second)
		sign(t, s)
		good(t, s, forged())
		time.Sleep(2 * time.Second)
		for name, one := range map[string]*Signer{"this replica": s, "one that starts": h.signer()} {
			if _, err := one.Verify(t.Context(), forged()); !errors.Is(err, fault.Unauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestABoundTokenNamesItsKey(t *testing.T) {
	h := newHouse()
	s := h.signer()
	c := said(time.Now())
	c.JKT = "thumbprint"
	token, err := s.Sign(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	part(t, token, 1, &members)
	if cnf, ok := members["cnf"].(map[string]any); !ok || len(cnf) != 1 || cnf["jkt"] != "thumbprint" {
		t.Errorf("cnf is %v", members["cnf"])
	}
	if got, err := s.Verify(t.Context(), token); err != nil || got.JKT != "thumbprint" {
		t.Errorf("%+v: %v", got, err)
	}
}
