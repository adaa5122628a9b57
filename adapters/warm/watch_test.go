package warm_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
)

const bound = 2 * time.Second // within which what is revoked is refused everywhere

func TestWhatIsWarmIsNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := open(t)
		n := b.reads.Load()
		for range 100 {
			if !good(t, r) {
				t.Fatal("a good grant is refused")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := b.reads.Load() - n; got != 0 {
			t.Errorf("in ten seconds a warm grant was read %d times", got)
		}
		if got := b.looks.Load(); got < 20 || got > 25 {
			t.Errorf("in ten seconds there were %d looks, want about one each half second", got)
		}
		swap(t, b, func(g oauth.Grant) oauth.Grant { return g.Stale(time.Now()) }) // no news, and yet
		time.Sleep(30 * time.Second)
		if g, err := r.vault.Warm().Get(t.Context(), "g"); err != nil || g.Usable(time.Now()) {
			t.Errorf("after half a minute what is kept is still %v, %v", g, err)
		}
	})
}

// Whatever befalls the looks: who asks without a pause is refused in time.
func TestWhatIsRevokedIsRefusedInTime(t *testing.T) {
	for name, trouble := range map[string]func(*backend){
		"all is well":         func(*backend) {},
		"the store is silent": func(b *backend) { b.silent.Store(true) },
		"looks fail":          func(b *backend) { b.lost.Store(true) },
	} {
		for _, phase := range []time.Duration{0, 100, 250, 499, 700} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, r := openTold(t, func(context.Context) error { return errors.New("cut off") })
					time.Sleep(phase * time.Millisecond)
					warmUp(t, b, r)
					trouble(b)
					swap(t, b, revoke)
					revoked := time.Now()
					for good(t, r) {
						time.Sleep(time.Millisecond)
					}
					if took := time.Since(revoked); took > bound {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}

// A store that comes back is used again, and what was revoked while it was away
// stays out.
func TestTheStoreComesBack(t *testing.T) {
	for _, revoked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, r := open(t)
			b.silent.Store(true)
			time.Sleep(bound)
			began := time.Now()
			if good(t, r) {
				t.Fatal("the store is silent, and a grant is let in")
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("to say that the store is away took %v", took)
			}
			if revoked {
				swap(t, b, revoke)
			}
			b.silent.Store(false)
			time.Sleep(bound)
			if good(t, r) == revoked {
				t.Errorf("after the store came back, revoked %v: let in %v", revoked, !revoked)
			}
			if !revoked {
				warmUp(t, b, r)
			}
		})
	}
}

// A read that is slower than the news of a change must not bring back what was.
func TestASlowReadKeepsNothingOld(t *testing.T) {
	for name, own := range map[string]bool{"changed elsewhere": false, "changed here": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, r := open(t)
				if err := drop(r.vault.Swap(t.Context(), current(t, b), current(t, b))); err != nil { // to have it read again
					t.Fatal(err)
				}
				slow := make(chan struct{})
				var second atomic.Bool
				b.held = func(oauth.Grant) {
					if !second.Swap(true) {
						<-slow
					}
				}
				read := make(chan oauth.Grant, 1)
				go func() {
					g, _ := r.vault.Warm().Get(t.Context(), "g")
					read <- g
				}()
				synctest.Wait() // it has read the row, and has not come back
				if own {
					old := current(t, b)
					if err := drop(r.vault.Swap(t.Context(), old, revoke(old))); err != nil {
						t.Fatal(err)
					}
				} else {
					swap(t, b, revoke)
					time.Sleep(bound)
				}
				if good(t, r) {
					t.Error("who comes after the change joins the read from before it")
				}
				close(slow)
				if g := <-read; g.State != oauth.Active {
					t.Fatal("the slow read was not slow")
				}
				for range 100 {
					if good(t, r) {
						t.Fatal("what a slow read found is kept")
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		})
	}
}

func TestOneReadsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := open(t)
		b.silent.Store(true)
		time.Sleep(bound) // nothing is kept any more
		b.silent.Store(false)
		b.lost.Store(true) // nor will it be
		time.Sleep(time.Second)
		b.held = func(oauth.Grant) { time.Sleep(50 * time.Millisecond) }
		n := b.reads.Load()
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = r.vault.Warm().Get(first, "g")
		})
		synctest.Wait()
		for range 50 {
			all.Go(func() {
				if !good(t, r) {
					t.Error("one of many was refused")
				}
			})
		}
		synctest.Wait()
		leave() // what was begun for the others goes on, or is begun anew
		all.Wait()
		if got := b.reads.Load() - n; got > 2 {
			t.Errorf("51 callers read %d times", got)
		}
	})
}

func TestNobodyLooksWhileNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := open(t)
		time.Sleep(2 * time.Minute)
		n := b.looks.Load()
		time.Sleep(time.Hour)
		if got := b.looks.Load() - n; got != 0 {
			t.Errorf("in an idle hour there were %d looks", got)
		}
		swap(t, b, revoke)
		if good(t, r) {
			t.Error("what was revoked while nobody read is let in")
		}
		synctest.Wait()
		if b.looks.Load() == n {
			t.Error("nobody looks although somebody reads")
		}
	})
}

// What is told of is looked at without delay.
func TestToldIsLookedAtAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		news := make(chan struct{})
		b, r := openTold(t, func(ctx context.Context) error {
			select {
			case <-news:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		swap(t, b, revoke)
		news <- struct{}{}
		synctest.Wait()
		if good(t, r) {
			t.Error("it was told, and nobody looked")
		}
	})
}

// Only what lets somebody in is kept; and only as long as it does by itself.
func TestOnlyWhatLetsInIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := open(t)
		swap(t, b, revoke)
		time.Sleep(bound)
		for range 3 {
			if good(t, r) {
				t.Fatal("a revoked grant is let in")
			}
		}
		n := b.reads.Load()
		_ = good(t, r)
		if b.reads.Load() != n+1 {
			t.Error("a revocation is kept")
		}
		for range 3 {
			if _, err := r.vault.Warm().Get(t.Context(), "none"); !errors.Is(err, fault.NotFound) {
				t.Errorf("what is not there: %v", err)
			}
		}
		if got := b.reads.Load() - n; got != 4 {
			t.Errorf("that something is not there was asked %d times of 3", got-1)
		}

		s := session.Session{ID: "s", Expires: time.Now().Add(2 * time.Second)}
		a := client.App{ID: "a", Status: client.Active}
		if err := errors.Join(drop(r.sessions.Create(t.Context(), s)), drop(r.registry.Apps().Create(t.Context(), a))); err != nil {
			t.Fatal(err)
		}
		longer := s
		longer.Expires = time.Now().Add(time.Hour)
		got, err := r.sessions.Warm().Get(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Store.Sessions().Swap(t.Context(), got, longer); err != nil { // a page refreshed elsewhere
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if got, err := r.sessions.Warm().Get(t.Context(), "s"); err != nil || !got.Good(time.Now()) {
			t.Errorf("a session that was refreshed elsewhere: %+v, %v", got, err)
		}
	})
}

// A grant is read again when it is about to have to be refreshed: elsewhere that
// may have happened.
func TestAGrantThatIsNotFreshIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := open(t)
		swap(t, b, func(g oauth.Grant) oauth.Grant { g.Expires = time.Now().Add(oauth.Margin + 10*time.Second); return g })
		time.Sleep(31 * time.Second)
		swap(t, b, func(g oauth.Grant) oauth.Grant {
			g.Expires = time.Now().Add(oauth.Margin + 10*time.Second)
			return g
		})
		warmUp(t, b, r)
		swap(t, b, func(g oauth.Grant) oauth.Grant {
			g.Lease = oauth.Lease{Holder: "another", Until: time.Now().Add(time.Minute)}
			return g
		})
		swap(t, b, func(g oauth.Grant) oauth.Grant {
			return g.Renew(oauth.Pair{Access: "newer", Expires: time.Now().Add(time.Hour)}, time.Now())
		})
		time.Sleep(11 * time.Second)
		g, err := r.vault.Warm().Get(t.Context(), "g")
		if err != nil || g.Access != secret.Box("newer") {
			t.Errorf("got %+v, %v", g, err)
		}
	})
}

// What is written here is known here at once, however much is read meanwhile.
func TestOwnWritesAreKnownAtOnce(t *testing.T) {
	b, r := open(t)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = r.vault.Warm().Get(t.Context(), "g")
				}
			}
		})
	}
	for range 1000 {
		old := current(t, b)
		next, err := r.vault.Swap(t.Context(), old, old)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.vault.Warm().Get(t.Context(), "g"); err != nil || got.Version < next.Version {
			t.Fatalf("after writing version %d, version %d was read: %v", next.Version, got.Version, err)
		}
	}
	close(stop)
	readers.Wait()
}
