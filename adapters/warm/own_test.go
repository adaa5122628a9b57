package warm_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/memory"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/session"
	"perch/domain/xapp"
)

// Whatever is taken away here is gone here at once, before anybody has looked.
func TestWhatIsTakenAwayHereIsGoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		t.Cleanup(func() { _ = s.Close() })
		r, ctx := before(t, s, s.Changes()), t.Context()
		reg, seen := r.registry, r.registry.Warm()
		app, err := reg.Apps().Create(ctx, client.App{ID: "a", Status: client.Active})
		key, err2 := reg.Keys().Create(ctx, apikey.Key{ID: "k", App: "a", Digest: "older"})
		x, err3 := reg.XApps().Create(ctx, xapp.App{ID: "x", ClientID: "one"})
		one := session.Session{ID: "one", Grant: "g", Expires: time.Now().Add(time.Hour)}
		one, err4 := r.sessions.Create(ctx, one)
		two, err5 := r.sessions.Create(ctx, session.Session{ID: "two", Grant: "g", Expires: one.Expires})
		if err := errors.Join(err, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		active := func() bool {
			a, err := seen.Apps().Get(ctx, "a")
			return err == nil && a.Status == client.Active
		}
		known := func() bool {
			k, err := seen.Keys().ByDigest(ctx, []string{"newer", "older"})
			return err == nil && k.Good(time.Now())
		}
		same := func() bool { got, err := seen.XApps().Get(ctx, "x"); return err == nil && got.ClientID == "one" }
		goesOn := func(id session.ID) func() bool {
			return func() bool {
				got, err := r.sessions.Warm().Get(ctx, id)
				return err == nil && got.Good(time.Now())
			}
		}
		for range 2 { // the first wakes who looks, the second is kept
			for what, holds := range map[string]func() bool{
				"application": active, "key": known, "X App": same, "one": goesOn("one"), "two": goesOn("two"),
			} {
				if !holds() {
					t.Fatalf("%s does not hold to begin with", what)
				}
			}
			synctest.Wait()
		}

		suspended, revoked, other := app, key, x
		suspended.Status, revoked.Revoked, other.ClientID = client.Suspended, time.Now(), "another"
		for _, c := range []struct {
			what  string
			do    func() error
			holds func() bool
		}{
			{"application", func() error { return drop(reg.Apps().Swap(ctx, app, suspended)) }, active},
			{"key", func() error { return drop(reg.Keys().Swap(ctx, key, revoked)) }, known},
			{"X App", func() error { return drop(reg.XApps().Swap(ctx, x, other)) }, same},
			{"session", func() error { return drop(r.sessions.Swap(ctx, one, one.End(time.Now()))) }, goesOn("one")},
			{"sessions of a grant", func() error { return drop(r.sessions.EndAll(ctx, two.Grant, time.Now())) }, goesOn("two")},
		} {
			if err := c.do(); err != nil || c.holds() {
				t.Errorf("%s: %v; it holds: %v", c.what, err, c.holds())
			}
		}
		if err := reg.XApps().Delete(ctx, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := seen.XApps().Get(ctx, "x"); !errors.Is(err, fault.NotFound) {
			t.Errorf("an X App that was removed: %v", err)
		}
	})
}
