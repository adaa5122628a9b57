package clients_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

var addressed atomic.Uint32

// someAddress is one that nobody has called from.
func someAddress() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24|addressed.Add(1))
	return netip.AddrFrom4(b)
}

func unknown() secret.Text { return secret.New("sk_" + rand.Text()) }

func TestAKeyIsRefusedFromOtherAddresses(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	_, text := h.issue(t, apikey.Key{
		App: app.ID, Kind: apikey.Secret, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	for from, slug := range map[string]string{
		"192.0.2.9": "", "::ffff:192.0.2.9": "", "192.0.3.1": "key-address-not-allowed", "::1": "key-address-not-allowed", "": "key-address-not-allowed",
	} {
		a, _ := netip.ParseAddr(from)
		got, _, err := h.Authenticate(t.Context(), text, a)
		if fault.SlugOf(err) != slug || (got.ID != "") != (slug == "") {
			t.Errorf("from %q: %q, %v", from, got.ID, err)
		}
	}
}

// asked counts what stores are asked.
type asked struct {
	ports.Applications
	ports.APIKeys
	apps, keys int
}

type askedApps struct {
	ports.Applications
	*asked
}

func (a askedApps) Get(ctx context.Context, id client.AppID) (client.App, error) {
	a.apps++
	return a.Applications.Get(ctx, id)
}

type askedKeys struct {
	ports.APIKeys
	*asked
}

func (a askedKeys) ByDigest(ctx context.Context, digests []string) (apikey.Key, error) {
	a.keys++
	return a.APIKeys.ByDigest(ctx, digests)
}

func TestWhateverIsWrongWithAKeyTheStoreIsAskedTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := newHouse(t), &asked{}
		r := h.store.Registry()
		through := h.Through(askedApps{r.Apps(), n}, askedKeys{r.Keys(), n})
		app, closed := h.register(t, client.App{}), h.register(t, client.App{})
		_, good := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
		_, publishable := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Publishable})
		_, suspended := h.issue(t, apikey.Key{App: closed.ID, Kind: apikey.Secret})
		_, expired := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret, Expires: time.Now().Add(time.Minute)})
		_, elsewhere := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret, Addresses: apikey.Read([]string{"::1/128"})})
		gone, revoked := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
		if _, err := h.RevokeKey(t.Context(), gone.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Change(t.Context(), closed.ID, func(a client.App) client.App { a.Status = client.Suspended; return a }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for range 2 { // before anybody was let in, and after
			for name, text := range map[string]string{
				"unknown": unknown().Reveal(), "revoked": revoked.Reveal(), "expired": expired.Reveal(), "suspended": suspended.Reveal(),
				"from elsewhere": elsewhere.Reveal(), "nothing": "", "no key": "x", "SQL": "sk_' OR 1=1--", "a quote": "sk_\"", "NUL": "sk_%00\x00",
				"not UTF-8": "sk_\xff\xfe", "a megabyte": "sk_" + strings.Repeat("A", 1<<20), "publishable": publishable.Reveal(),
				"the other kind": "pk_" + good.Reveal()[3:],
			} {
				n.apps, n.keys = 0, 0
				_, _, err := through.Authenticate(t.Context(), secret.New(text), someAddress())
				if n.apps != 1 || n.keys != 1 || err == nil != (name == "publishable") {
					t.Errorf("%s: asked for %d keys and %d applications: %v", name, n.keys, n.apps, err)
				}
			}
			if _, _, err := through.Authenticate(t.Context(), good, someAddress()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// unfamiliar reports whether an answer took as long as that to a key that is not
// known to be right, besides the time it waited.
func unfamiliar(took, waited time.Duration) bool {
	return took >= waited+5*time.Millisecond && took < waited+15*time.Millisecond
}

func TestWrongKeysAreSlowedAndRightOnesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		app := h.register(t, client.App{})
		_, known := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
		_, fresh := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
		from := netip.MustParseAddr("192.0.2.1")
		try := func(text secret.Text, from netip.Addr) (slug string, wait, took time.Duration) {
			t.Helper()
			began := time.Now()
			_, _, err := h.Authenticate(t.Context(), text, from)
			if f, ok := errors.AsType[*fault.Error](err); ok {
				wait = f.Wait
			}
			return fault.SlugOf(err), wait, time.Since(began)
		}
		if slug, _, _ := try(known, from); slug != "" {
			t.Fatal(slug)
		}
		for i := range 10 {
			if slug, _, took := try(unknown(), from); slug != "bad-api-key" || !unfamiliar(took, 0) {
				t.Errorf("wrong key %d: %s after %v", i+1, slug, took)
			}
		}
		if slug, wait, _ := try(unknown(), from); slug != "too-many-wrong-keys" || wait <= 5*time.Second || wait > 6*time.Second {
			t.Errorf("wrong key 11: %s, come back in %v", slug, wait)
		}
		began := time.Now()
		for range 100 {
			if slug, _, took := try(unknown(), from); slug != "too-many-wrong-keys" || !unfamiliar(took, 50*time.Millisecond) {
				t.Errorf("then: %s after %v", slug, took)
			}
		}
		if took := time.Since(began); took < 5*time.Second {
			t.Errorf("a hundred more took %v", took)
		}
		if slug, _, took := try(known, from); slug != "" || took != 0 {
			t.Errorf("the right key that was seen before: %s after %v", slug, took)
		}
		if slug, _, took := try(fresh, from); slug != "" || took > time.Second+15*time.Millisecond {
			t.Errorf("a right key that comes for the first time: %s after %v", slug, took)
		}
		if slug, _, took := try(fresh, from); slug != "" || took != 0 {
			t.Errorf("when it comes again: %s after %v", slug, took)
		}
		if slug, _, took := try(unknown(), netip.MustParseAddr("192.0.2.2")); slug != "bad-api-key" || !unfamiliar(took, 0) {
			t.Errorf("from the next address: %s after %v", slug, took)
		}
		time.Sleep(2 * time.Minute)
		if slug, _, took := try(unknown(), from); slug != "bad-api-key" || !unfamiliar(took, 0) {
			t.Errorf("two minutes later: %s after %v", slug, took)
		}
	})
}

func TestARightKeyGetsThroughAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		app := h.register(t, client.App{})
		from := netip.MustParseAddr("192.0.2.1")
		var tries atomic.Int64
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		for range 200 {
			go func() {
				for ctx.Err() == nil {
					tries.Add(1)
					_, _, _ = h.Authenticate(ctx, unknown(), from)
				}
			}()
		}
		for range 4 {
			time.Sleep(time.Second)
			_, text := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
			began := time.Now()
			_, _, err := h.Authenticate(ctx, text, from)
			if took := time.Since(began); err != nil || took > time.Second+15*time.Millisecond {
				t.Errorf("a new key is answered after %v: %v", took, err)
			}
		}
		<-ctx.Done()
		synctest.Wait()
		if n := tries.Load(); n > 200*11+400 {
			t.Errorf("200 callers at one address had %d tries in ten seconds", n)
		}
	})
}

func TestNeighboursInOneIPv6NetworkAreOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		slug := func(from string) string {
			_, _, err := h.Authenticate(t.Context(), unknown(), netip.MustParseAddr(from))
			return fault.SlugOf(err)
		}
		for i := range 10 {
			slug(fmt.Sprintf("2001:db8:0:1::%x", i))
		}
		if got := slug("2001:db8:0:1:ffff::1"); got != "too-many-wrong-keys" {
			t.Errorf("from the same /64: %s", got)
		}
		if got := slug("2001:db8:0:2::1"); got != "bad-api-key" {
			t.Errorf("from the next /64: %s", got)
		}
		if got := slug("::ffff:192.0.2.1"); got != "bad-api-key" {
			t.Errorf("from IPv4: %s", got)
		}
	})
}

func TestARevokedKeyIsNoLongerSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, from := newHouse(t), someAddress()
		app := h.register(t, client.App{})
		k, text := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret})
		if _, _, err := h.Authenticate(t.Context(), text, from); err != nil {
			t.Fatal(err)
		}
		if _, err := h.RevokeKey(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 20 {
			_, _, _ = h.Authenticate(t.Context(), text, from)
		}
		if _, _, err := h.Authenticate(t.Context(), text, from); fault.SlugOf(err) != "too-many-wrong-keys" || time.Since(began) < 400*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestChangingAKeyTouchesNothingElse(t *testing.T) {
	h := newHouse(t)
	app := h.register(t, client.App{})
	k, text := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret, Name: "old", Actions: []string{"read"}})
	changed, err := h.ChangeKey(t.Context(), k.ID, func(apikey.Key) apikey.Key {
		return apikey.Key{
			ID: "key_forged", App: "app_forged", Kind: apikey.Publishable, Digest: "forged", AppOnly: true, Name: "new",
			Actions: []string{"post"}, Grants: []oauth.GrantID{"g"}, Revoked: time.Now(), Expires: time.Now().Add(time.Hour),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := h.Authenticate(t.Context(), text, someAddress())
	if err != nil || got.ID != k.ID || got.App != app.ID || got.AppOnly || got.Name != "new" || fmt.Sprint(got.Actions, got.Grants) != "[post] [g]" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, edit := range map[string]func(k apikey.Key) apikey.Key{
		"an unknown action": func(k apikey.Key) apikey.Key { k.Actions = []string{"nothing"}; return k },
		"the past":          func(k apikey.Key) apikey.Key { k.Expires = time.Now().Add(-time.Second); return k },
	} {
		if _, err := h.ChangeKey(t.Context(), k.ID, edit); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.RevokeKey(t.Context(), changed.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.ChangeKey(t.Context(), k.ID, func(k apikey.Key) apikey.Key { return k }); fault.SlugOf(err) != "key-revoked" {
		t.Errorf("after its end: %v", err)
	}
	if _, _, err := h.RotateKey(t.Context(), k.ID, 0); fault.SlugOf(err) != "key-ended" {
		t.Errorf("after its end: %v", err)
	}
}

func TestARotatedKeyGoesOnForTheOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		app := h.register(t, client.App{})
		good := func(text secret.Text) bool {
			_, _, err := h.Authenticate(t.Context(), text, someAddress())
			return err == nil
		}
		k, old := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret, Actions: []string{"read"}})
		next, text, err := h.RotateKey(t.Context(), k.ID, time.Hour)
		if err != nil || next.ID == k.ID || fmt.Sprint(next.Actions) != "[read]" || !next.Expires.IsZero() {
			t.Fatalf("%+v, %v", next, err)
		}
		if !good(old) || !good(text) {
			t.Error("both are good in the overlap")
		}
		// The reply was lost: nobody has seen the new key, which is rotated at once.
		again, text2, err := h.RotateKey(t.Context(), next.ID, 0)
		if err != nil || good(text) || !good(text2) || !good(old) || !again.Expires.IsZero() {
			t.Errorf("after the repair: %v", err)
		}
		time.Sleep(time.Hour)
		if good(old) || !good(text2) {
			t.Error("the old key has ended, and the new one has not")
		}
		soon, _ := h.issue(t, apikey.Key{App: app.ID, Kind: apikey.Secret, Expires: time.Now().Add(time.Minute)})
		if _, _, err := h.RotateKey(t.Context(), soon.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
		if kept, err := h.Key(t.Context(), soon.ID); err != nil || !kept.Expires.Equal(soon.Expires) {
			t.Errorf("a key that would end sooner ends at %v: %v", kept.Expires, err)
		}
		for _, overlap := range []time.Duration{-1, 30*24*time.Hour + 1} {
			if _, _, err := h.RotateKey(t.Context(), again.ID, overlap); fault.KindOf(err) != fault.Invalid {
				t.Errorf("an overlap of %v: %v", overlap, err)
			}
		}
	})
}
