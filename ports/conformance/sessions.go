package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/session"
	"perch/domain/user"
	"perch/ports"
)

// Sessions checks that open's stores keep the Sessions contract.
func Sessions(t *testing.T, open func(*testing.T) ports.Sessions) {
	r := record[ports.Sessions, session.Session]{
		sample: browser,
		with: func(s session.Session, id string, version int64) session.Session {
			s.ID, s.Version = session.ID(id), version
			return s
		},
		create: ports.Sessions.Create,
		get: func(p ports.Sessions, ctx context.Context, id string) (session.Session, error) {
			return p.Get(ctx, session.ID(id))
		},
		swap: ports.Sessions.Swap,
	}
	run(t, open, append(r.checks(), []check[ports.Sessions]{
		{"all sessions of a grant are ended at once, and of no other", sessionsEndAll},
		{"a swap from before the end is refused", sessionsEndAllSwap},
		{"ending all leaves no session alive, whoever swaps meanwhile", sessionsEndAllRace},
		{"a sweep removes what expired before and nothing else", sessionsSweep},
		{"a cancelled call is quick and ends nothing", sessionsCancelled},
	}...))
}

func browser(id string, n int, when func(int) time.Time) session.Session {
	return session.Session{
		ID: session.ID(id), App: client.AppID(numbered("app", n)), Grant: oauth.GrantID(numbered("grant", n)),
		User: user.ID(numbered("user", n)), Scopes: oauth.Scopes(numbered("tweet.read x", n)),
		Current: numbered("current", n), Previous: numbered("previous", n),
		JKT: numbered("jkt", n), Cookie: true,
		Expires: when(n), Revoked: when(n + 1), Created: when(n + 2),
	}
}

// live is a session of the grant that has not ended.
func live(id string, grant oauth.GrantID) session.Session {
	s := browser(id, 1, at)
	s.Grant, s.Revoked = grant, time.Time{}
	return s
}

func sessionsEndAll(t *testing.T, p ports.Sessions) {
	for _, id := range []string{"a", "b", "c"} {
		must(t, true, drop(p.Create(t.Context(), live(id, "g"))))
	}
	ended := live("ended", "g").End(at(3))
	ended, err := p.Create(t.Context(), ended)
	must(t, ended, err)
	other, err := p.Create(t.Context(), live("other", "h"))
	must(t, other, err)

	n, err := p.EndAll(t.Context(), "g", fine(7))
	wantSame(t, "how many ended", must(t, n, err), 3)
	for _, id := range []session.ID{"a", "b", "c"} {
		got, err := p.Get(t.Context(), id)
		want := live(string(id), "g").End(at(7))
		want.Version = got.Version
		wantSame(t, "a session that was ended", must(t, got, err), want)
	}
	got, err := p.Get(t.Context(), "ended")
	wantSame(t, "a session that had ended before", must(t, got, err), ended)
	got, err = p.Get(t.Context(), "other")
	wantSame(t, "a session of another grant", must(t, got, err), other)

	for _, g := range []oauth.GrantID{"g", "", "%", "' OR 1=1--", "h\x00"} {
		n, err = p.EndAll(t.Context(), g, at(8))
		wantSame(t, "how many ended where none was left", must(t, n, err), 0)
	}
}

func sessionsEndAllSwap(t *testing.T, p ports.Sessions) {
	old, err := p.Create(t.Context(), live("a", "g"))
	must(t, old, err)
	must(t, true, drop(p.EndAll(t.Context(), "g", at(7))))
	wantKind(t, "Swap of a session ended meanwhile", drop(p.Swap(t.Context(), old, live("a", "g"))), fault.Conflict)
	now, err := p.Get(t.Context(), "a")
	must(t, now, err)
	if now.Version <= old.Version || now.Revoked.IsZero() {
		t.Errorf("after its end the session has version %d, revoked %v", now.Version, now.Revoked)
	}
	if _, err := p.Swap(t.Context(), now, now); err != nil {
		t.Errorf("Swap from what is stored: %v", err)
	}
}

// sessionsEndAllRace rotates while another ends: a rotation that came first is
// ended too, one that came later is refused.
func sessionsEndAllRace(t *testing.T, p ports.Sessions) {
	must(t, true, drop(p.Create(t.Context(), live("a", "g"))))
	for _, err := range race(10, func(i int) error {
		if i == 5 {
			return drop(p.EndAll(t.Context(), "g", at(7)))
		}
		old, err := p.Get(t.Context(), "a")
		if err != nil || !old.Revoked.IsZero() {
			return err
		}
		next := old
		next.Current = numbered("rotated", i)
		if _, err = p.Swap(t.Context(), old, next); errors.Is(err, fault.Conflict) {
			return nil
		}
		return err
	}) {
		must(t, true, err)
	}
	got, err := p.Get(t.Context(), "a")
	if must(t, got, err).Revoked.IsZero() {
		t.Error("a session survived the end of all")
	}
}

func sessionsSweep(t *testing.T, p ports.Sessions) {
	for i := range 5 {
		s := live(numbered("s", i), "g")
		s.Expires = at(i)
		must(t, true, drop(p.Create(t.Context(), s)))
	}
	n, err := p.Sweep(t.Context(), at(2))
	wantSame(t, "how many a sweep removed", must(t, n, err), 2)
	wantKind(t, "Get of what was swept", drop(p.Get(t.Context(), "s001")), fault.NotFound)
	must(t, true, drop(p.Get(t.Context(), "s002")))
}

func sessionsCancelled(t *testing.T, p ports.Sessions) {
	old, err := p.Create(t.Context(), live("a", "g"))
	must(t, old, err)
	quick(t, map[string]func(context.Context) error{
		"EndAll": func(ctx context.Context) error { return drop(p.EndAll(ctx, "g", at(1))) },
		"Sweep":  func(ctx context.Context) error { return drop(p.Sweep(ctx, at(99))) },
	})
	got, err := p.Get(t.Context(), "a")
	wantSame(t, "what is stored", must(t, got, err), old)
}
