package wiring_test

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/xhttp/xsim"
	"perch/app/keyset"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

// verb is what the verbs of keyset open: the keys and the stores, beside those
// who serve.
func verb(t *testing.T, cfg config.Config) (*keyring.Ring, *keyset.Service) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	stores, shut, err := wiring.Open(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shut)
	ring, err := keyring.Open(cfg.KeysetFile)
	if err != nil {
		t.Fatal(err)
	}
	ring.Follow(log)
	journal, err := wiring.OpenJournal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ring, keyset.New(keyset.Parts{
		Grants: stores.Vault, XApps: stores.Registry.XApps(), SigningKeys: stores.SigningKeys,
		Deliveries: stores.Deliveries, Journal: journal, Keyring: ring,
	})
}

func silent(keyset.Progress) {}

// held counts the boxes of each key, of every kind.
func held(t *testing.T, s *keyset.Service) map[string]int {
	t.Helper()
	all, err := s.Count(t.Context(), silent)
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]int{}
	for _, c := range all {
		if c.Shut.Count > 0 {
			t.Errorf("%s do not open: %v", c.Kind, c.Shut)
		}
		for key, n := range c.Boxes {
			sum[key] += n
		}
	}
	return sum
}

// Two replicas serve while their keyset is rotated, everything is resealed, and
// the old key is retired. Nobody notices, and a later start finds all in order.
func TestARotationUnderTwoHouses(t *testing.T) { lasting(t, aRotationUnderTwoHouses) }

func aRotationUnderTwoHouses(t *testing.T, e environment) {
	const tenants = 8
	callers := e.many(50)
	x := xsim.New(xsim.Options{})
	set(t, x, `{"windows":false}`)
	at, _ := serveX(t, x)
	cfg := settings(t, e, at)
	cfg.Limits = config.Off
	one := open(t, cfg)
	cfg.PublicURL = one.public
	h := pair{one, open(t, cfg)}
	one.operator(t, http.StatusCreated, "POST", "/admin/v1/xapps", object{
		"id": "second", "name": "Second", "client_id": "c", "client_secret": "s", "bearer": "b",
	})
	type owned struct {
		sk, grant string
	}
	var grants []owned
	var apps []tenant
	for i := range tenants {
		app := one.register(t, pageA, "")
		apps = append(apps, app)
		for _, user := range []string{ada, grace} {
			id := h[i%2].adopt(t, app, user, issue(t, x, "sim-client", user), time.Now().Add(time.Hour))
			grants = append(grants, owned{app.sk, id})
		}
	}
	signedIn := one.visit(t, apps[0])
	session := signedIn.signIn(t, ada)

	before, err := keyring.Open(cfg.KeysetFile)
	if err != nil {
		t.Fatal(err)
	}
	old := before.Primary()
	stop := make(chan struct{})
	var calls atomic.Int64
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := c; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				g := grants[i%len(grants)]
				a := h[i%2].act(t, g.sk, g.grant, "GET", "/2/users/me", "")
				switch {
				case a.status == http.StatusOK:
					calls.Add(1)
				case a.storeIsBusy() && (raced || e.name == config.D1):
				default:
					t.Errorf("a call during the rotation: %d %s", a.status, a.body)
					return
				}
			}
		})
	}
	if _, err := keyring.Rotate(cfg.KeysetFile); err != nil {
		t.Fatal(err)
	}
	ring, service := verb(t, cfg)
	x.Advance(2 * time.Hour) // every grant is refreshed while it is resealed
	o, err := service.Reseal(t.Context(), silent)
	now := calls.Load()
	eventually(t, "calls go on after the resealing", func() bool { return calls.Load() > now+int64(callers) })
	close(stop)
	all.Wait()
	if err != nil || o.Shut.Count > 0 || o.Moved == 0 {
		t.Fatalf("resealed %+v, %v", o, err)
	}
	if worse := happened(x, "token.replayed", "family.killed"); len(worse) > 0 {
		t.Errorf("X has seen %+v", worse)
	}

	// What a house sealed in the seconds before it noticed is left to a second run.
	eventually(t, "both houses seal with the new key", func() bool {
		for i, house := range h {
			house.adopt(t, apps[i], ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
		}
		o, err = service.Reseal(t.Context(), silent)
		return err == nil && o.Moved == 0 && o.Left() == 0
	})
	if ring.Primary() == old || held(t, service)[old] > 0 {
		t.Errorf("the keys %s and %s seal %v", old, ring.Primary(), held(t, service))
	}
	if err := service.Retirable(t.Context(), old, time.Time{}, silent); err != nil {
		t.Error(err)
	}
	if _, err := keyring.Retire(cfg.KeysetFile, old); err != nil {
		t.Fatal(err)
	}
	for i, g := range grants {
		want(t, http.StatusOK, h[i%2].act(t, g.sk, g.grant, "GET", "/2/users/me", ""))
	}
	h[0].leave()
	h[1].leave()

	again := open(t, cfg)
	for _, g := range grants {
		want(t, http.StatusOK, again.act(t, g.sk, g.grant, "GET", "/2/users/me", ""))
	}
	signedIn.house = again
	fresh := sessionOf(t, signedIn.refresh(t, session.refresh)) // the signing key opens, and API keys are found
	want(t, http.StatusOK, signedIn.page(t, pageA, fresh.access, "GET", "/2/users/me", ""))
}

// What one house seals with a key that the other has not seen yet, the other
// opens at once.
func TestAHouseOpensWhatAnotherSealedAMomentAfterARotation(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		h := openTwo(t, e, x)
		app := h[0].register(t, pageA, "")
		ring, service := verb(t, h[0].cfg)
		old := ring.Primary()
		if _, err := keyring.Rotate(h[0].cfg.KeysetFile); err != nil {
			t.Fatal(err)
		}
		eventually(t, "one house seals with the new key", func() bool {
			id := h[0].adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
			want(t, http.StatusOK, h[1].act(t, app.sk, id, "GET", "/2/users/me", ""))
			time.Sleep(100 * time.Millisecond)
			counts := held(t, service)
			return counts[old] == 1 && len(counts) == 2 // the signing key
		})
	})
}
