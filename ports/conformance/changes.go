package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/session"
	"perch/domain/xapp"
	"perch/ports"
)

// Changing are stores whose changes are counted.
type Changing interface {
	Changes() ports.Changes
	Vault() ports.TokenVault
	Registry() ports.Registry
	Sessions() ports.Sessions
}

// Changes checks that open's stores keep the Changes contract.
func Changes(t *testing.T, open func(*testing.T) Changing) {
	run(t, open, []check[Changing]{
		{"what takes something away is counted under its kind", changesCounted},
		{"what takes nothing away is not counted", changesUncounted},
		{"grants and sessions are counted as the domain says", changesByTheDomain},
		{"who can read a change finds it counted, and who finds it counted reads it", changesInStep},
		{"of changes at once each counts", changesAtOnce},
		{"waiting ends with its context", changesWait},
		{"a cancelled call is quick", changesCancelled},
	})
}

func counts(t *testing.T, p Changing) ports.Counts {
	t.Helper()
	n, err := p.Changes().Count(t.Context())
	return must(t, n, err)
}

// A house that has one of everything.
type household struct {
	grant   oauth.Grant
	app     client.App
	key     apikey.Key
	xapp    xapp.App
	session session.Session
}

func inhabit(t *testing.T, p Changing) (h household) {
	t.Helper()
	var err error
	r := p.Registry()
	if h.grant, err = p.Vault().Create(t.Context(), held()); err != nil {
		t.Fatal(err)
	}
	if h.app, err = r.Apps().Create(t.Context(), client.App{ID: "a", Status: client.Active}); err != nil {
		t.Fatal(err)
	}
	if h.key, err = r.Keys().Create(t.Context(), apikey.Key{ID: "k", App: "a", Digest: "d"}); err != nil {
		t.Fatal(err)
	}
	if h.xapp, err = r.XApps().Create(t.Context(), xapp.App{ID: "x", ClientID: "c"}); err != nil {
		t.Fatal(err)
	}
	h.session, err = p.Sessions().Create(t.Context(), live("s", h.grant.ID))
	return must(t, h, err)
}

// held is a grant as its user has just given it.
func held() oauth.Grant {
	return oauth.Grant{
		ID: "g", App: "a", XApp: "x", Scopes: "tweet.read", State: oauth.Active, Access: "access", Refresh: "refresh",
		Expires: at(120), Created: at(0), Updated: at(0),
	}
}

func changesCounted(t *testing.T, p Changing) {
	h, ctx := inhabit(t, p), t.Context()
	r := p.Registry()
	revoked := h.key
	revoked.Revoked = at(1)
	suspended := h.app
	suspended.Status = client.Suspended
	other := h.xapp
	other.ClientID = "another"
	before := counts(t, p)
	for _, c := range []struct {
		what string
		do   func() error
		kind func(*ports.Counts) *int64
	}{
		{"a grant", func() error { return drop(p.Vault().Swap(ctx, h.grant, h.grant.Revoke(at(1)))) },
			func(n *ports.Counts) *int64 { return &n.Grants }},
		{"an application", func() error { return drop(r.Apps().Swap(ctx, h.app, suspended)) },
			func(n *ports.Counts) *int64 { return &n.Applications }},
		{"a key", func() error { return drop(r.Keys().Swap(ctx, h.key, revoked)) },
			func(n *ports.Counts) *int64 { return &n.Keys }},
		{"an X App", func() error { return drop(r.XApps().Swap(ctx, h.xapp, other)) },
			func(n *ports.Counts) *int64 { return &n.XApps }},
		{"an X App that goes", func() error { return r.XApps().Delete(ctx, "x") },
			func(n *ports.Counts) *int64 { return &n.XApps }},
		{"a session", func() error { return drop(p.Sessions().Swap(ctx, h.session, h.session.End(at(1)))) },
			func(n *ports.Counts) *int64 { return &n.Sessions }},
		{"the sessions of a grant", func() error {
			must(t, true, drop(p.Sessions().Create(ctx, live("s2", h.grant.ID))))
			return drop(p.Sessions().EndAll(ctx, h.grant.ID, at(2)))
		}, func(n *ports.Counts) *int64 { return &n.Sessions }},
	} {
		must(t, true, c.do())
		after := counts(t, p)
		if *c.kind(&after) == *c.kind(&before) {
			t.Errorf("%s: the change is not counted", c.what)
		}
		*c.kind(&before) = *c.kind(&after)
		wantSame(t, c.what+": the counts of other kinds", after, before)
	}
}

func changesUncounted(t *testing.T, p Changing) {
	before := counts(t, p)
	h, ctx := inhabit(t, p), t.Context()
	for what, err := range map[string]error{
		"a stale swap":       drop(p.Registry().Apps().Swap(ctx, client.App{ID: "a", Version: 77}, client.App{})),
		"an unknown key":     drop(p.Registry().Keys().Swap(ctx, apikey.Key{ID: "none"}, apikey.Key{})),
		"an unknown X App":   p.Registry().XApps().Delete(ctx, "none"),
		"a revocation, late": drop(p.Vault().Swap(ctx, oauth.Grant{ID: "g", Version: 77}, h.grant.Revoke(at(1)))),
	} {
		if err == nil {
			t.Errorf("%s succeeds", what)
		}
	}
	leased, err := h.grant.Acquire("me", at(1), time.Minute)
	must(t, leased, err)
	leased, err = p.Vault().Swap(ctx, h.grant, leased)
	must(t, leased, err)
	renewed, err := p.Vault().Swap(ctx, leased, leased.Renew(oauth.Pair{Access: "new", Refresh: "newer"}, at(1)))
	must(t, renewed, err)
	must(t, true, drop(p.Vault().Swap(ctx, renewed, renewed.Doubt(at(2)))))
	next := h.session
	next.Previous, next.Current, next.Expires = next.Current, "next", at(99)
	must(t, true, drop(p.Sessions().Swap(ctx, h.session, next)))
	must(t, true, drop(p.Sessions().EndAll(ctx, "no such grant", at(1))))
	must(t, true, drop(p.Sessions().Sweep(ctx, at(1000))))
	wantSame(t, "the counts", counts(t, p), before)
}

// changesByTheDomain has each transition stored, whatever it comes from.
func changesByTheDomain(t *testing.T, p Changing) {
	h, ctx := inhabit(t, p), t.Context()
	pair := oauth.Pair{Access: "b", Refresh: "c", Scopes: "tweet.read users.read", Expires: at(200)}
	stored := h.grant
	for i, next := range []func(oauth.Grant) oauth.Grant{
		func(g oauth.Grant) oauth.Grant { return g.Reconnect(g.User, pair, at(3)) }, // with another scope
		func(g oauth.Grant) oauth.Grant { return g.Reconnect(g.User, pair, at(4)) }, // with the same ones
		func(g oauth.Grant) oauth.Grant { return g.Stale(at(5)) },
		func(g oauth.Grant) oauth.Grant { g.Lease = oauth.Lease{Holder: "me", Until: at(6)}; return g },
		func(g oauth.Grant) oauth.Grant { return g.Renew(oauth.Pair{Access: "d", Scopes: "tweet.read"}, at(6)) },
		func(g oauth.Grant) oauth.Grant { g.Lease = oauth.Lease{Holder: "me", Until: at(6)}; return g },
		func(g oauth.Grant) oauth.Grant { return g.Renew(oauth.Pair{Access: "e"}, at(6)) },
		func(g oauth.Grant) oauth.Grant { return g.Postpone(time.Minute, at(6)) },
		func(g oauth.Grant) oauth.Grant { return g.Doubt(at(7)) },
		func(g oauth.Grant) oauth.Grant { return g.Release() },
		func(g oauth.Grant) oauth.Grant { g.Access, g.Refresh = "sealed", "anew"; return g },
		func(g oauth.Grant) oauth.Grant { return g.Revoke(at(8)) },
		func(g oauth.Grant) oauth.Grant { return g.Forget(at(9)) },
		func(g oauth.Grant) oauth.Grant { return g.Reconnect(g.User, pair, at(10)) },
	} {
		before := counts(t, p).Grants
		was := stored
		var err error
		stored, err = p.Vault().Swap(ctx, was, next(was))
		must(t, stored, err)
		if got, want := counts(t, p).Grants != before, stored.Alters(was); got != want {
			t.Errorf("transition %d of a grant: counted %v, and the domain says %v", i, got, want)
		}
	}
	s, wider := h.session, h.session
	wider.Scopes += " users.email"
	for i, next := range []session.Session{s, wider, s, s.End(at(1)), s.End(at(1)), s} {
		before := counts(t, p).Sessions
		was := s
		var err error
		s, err = p.Sessions().Swap(ctx, was, next)
		must(t, s, err)
		if got, want := counts(t, p).Sessions != before, s.Alters(was); got != want {
			t.Errorf("change %d of a session: counted %v, and the domain says %v", i, got, want)
		}
	}
}

// changesInStep has one write and another read as a replica that remembers does.
func changesInStep(t *testing.T, p Changing) {
	inhabit(t, p)
	apps, ctx := p.Registry().Apps(), t.Context()
	wrote := make(chan error, 1)
	go func() {
		for range 100 {
			old, err := apps.Get(ctx, "a")
			if err == nil {
				_, err = apps.Swap(ctx, old, old)
			}
			if err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	for done := false; !done; {
		select {
		case err := <-wrote:
			must(t, true, err)
			done = true
		default:
		}
		before := counts(t, p).Applications
		app, err := apps.Get(ctx, "a")
		must(t, app, err)
		after := counts(t, p).Applications
		// Each swap counts one more of both.
		if version := app.Version - 1; version < before || version > after {
			t.Fatalf("between the counts %d and %d the version of %d changes was read", before, after, version)
		}
	}
}

func changesAtOnce(t *testing.T, p Changing) {
	const n = 10
	apps, ctx := p.Registry().Apps(), t.Context()
	before := counts(t, p).Applications
	for _, err := range race(n, func(i int) error {
		a, err := apps.Create(ctx, client.App{ID: client.AppID(numbered("a", i))})
		if err == nil {
			_, err = apps.Swap(ctx, a, a)
		}
		return err
	}) {
		must(t, true, err)
	}
	if got := counts(t, p).Applications - before; got != n {
		t.Errorf("%d changes at once were counted as %d", n, got)
	}
}

func changesWait(t *testing.T, p Changing) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for {
		err := p.Changes().Wait(ctx)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			wantKind(t, "Wait whose context has ended", err, fault.Unavailable)
			return
		}
		must(t, true, err)
	}
}

func changesCancelled(t *testing.T, p Changing) {
	quick(t, map[string]func(context.Context) error{
		"Count": func(ctx context.Context) error { return drop(p.Changes().Count(ctx)) },
		"Wait":  p.Changes().Wait,
	})
}
