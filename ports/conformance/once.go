package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/session"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// Authorizations checks that open's stores keep the Authorizations contract.
func Authorizations(t *testing.T, open func(*testing.T) ports.Authorizations) {
	run(t, open, []check[ports.Authorizations]{
		{"what is put is taken as it was", authorizationRoundTrip},
		{"an ID can be taken once", authorizationTakenID},
		{"of many takers one gets it and the others find nothing", authorizationRace},
		{"what has expired is not found", authorizationExpired},
		{"a sweep removes what has expired and nothing else", authorizationSweep},
		{"awkward names are only names", authorizationStrange},
		{"a cancelled call is quick and takes nothing", authorizationCancelled},
	})
}

func authorization(id string, when func(int) time.Time) oauth.Authorization {
	return oauth.Authorization{
		ID: id, Verifier: secret.Box("verifier-" + id), Browser: "browser-" + id, XApp: xapp.ID("x-" + id),
		Expires: when(10), App: client.AppID("app-" + id), Redirect: "https://r.example/?q='a'&b=\"" + id,
		State: "state ?0 é " + id, Challenge: "challenge-" + id, Scopes: oauth.Scopes("tweet.read users.read"),
		JKT: "jkt-" + id, Mode: oauth.ModeExtend, Extends: oauth.GrantID("grant-" + id), Session: "session-" + id,
	}
}

func authorizationRoundTrip(t *testing.T, s ports.Authorizations) {
	must(t, true, s.Put(t.Context(), authorization("a", fine)))
	must(t, true, s.Put(t.Context(), oauth.Authorization{ID: "bare", Expires: fine(10)}))
	got, err := s.Take(t.Context(), "a", at(0))
	wantSame(t, "what Take returned", must(t, got, err), authorization("a", at))
	got, err = s.Take(t.Context(), "bare", at(0))
	wantSame(t, "what Take returned", must(t, got, err), oauth.Authorization{ID: "bare", Expires: at(10)})
	wantKind(t, "Take for the second time", drop(s.Take(t.Context(), "a", at(0))), fault.NotFound)
}

func authorizationTakenID(t *testing.T, s ports.Authorizations) {
	must(t, true, s.Put(t.Context(), authorization("a", at)))
	other := authorization("b", at)
	other.ID = "a"
	wantKind(t, "Put with an ID that is taken", s.Put(t.Context(), other), fault.Conflict)
	got, err := s.Take(t.Context(), "a", at(0))
	wantSame(t, "what is stored", must(t, got, err), authorization("a", at))
}

func authorizationRace(t *testing.T, s ports.Authorizations) {
	must(t, true, s.Put(t.Context(), authorization("a", at)))
	oneWins(t, race(50, func(int) error { return drop(s.Take(t.Context(), "a", at(0))) }), fault.NotFound)
}

func authorizationExpired(t *testing.T, s ports.Authorizations) {
	must(t, true, s.Put(t.Context(), authorization("a", at)))
	wantKind(t, "Take after its end", drop(s.Take(t.Context(), "a", at(11))), fault.NotFound)
	wantKind(t, "Take at its end", drop(s.Take(t.Context(), "a", at(10))), fault.NotFound)

	must(t, true, s.Put(t.Context(), authorization("b", at)))
	must(t, true, drop(s.Take(t.Context(), "b", at(10).Add(-time.Microsecond))))
}

func authorizationSweep(t *testing.T, s ports.Authorizations) {
	for i := range 5 {
		a := authorization(numbered("a", i), at)
		a.Expires = at(i)
		must(t, true, s.Put(t.Context(), a))
	}
	n, err := s.Sweep(t.Context(), at(2))
	wantSame(t, "how many a sweep removed", must(t, n, err), 3)
	n, err = s.Sweep(t.Context(), at(2))
	wantSame(t, "how many a second sweep removed", must(t, n, err), 0)
	wantKind(t, "Take of what was swept", drop(s.Take(t.Context(), "a002", at(0))), fault.NotFound)
	must(t, true, drop(s.Take(t.Context(), "a003", at(0))))
}

func authorizationStrange(t *testing.T, s ports.Authorizations) {
	for _, id := range append(strange(), unkept()...) {
		wantKind(t, "Take of an awkward name", drop(s.Take(t.Context(), id, at(0))), fault.NotFound)
		if err := s.Put(t.Context(), authorization(id, at)); err != nil {
			wantKind(t, "Put with text no database holds", err, fault.Invalid)
			continue
		}
		got, err := s.Take(t.Context(), id, at(0))
		wantSame(t, "what Take returned", must(t, got, err), authorization(id, at))
	}
}

func authorizationCancelled(t *testing.T, s ports.Authorizations) {
	must(t, true, s.Put(t.Context(), authorization("a", at)))
	quick(t, map[string]func(context.Context) error{
		"Put":   func(ctx context.Context) error { return s.Put(ctx, authorization("b", at)) },
		"Take":  func(ctx context.Context) error { return drop(s.Take(ctx, "a", at(0))) },
		"Sweep": func(ctx context.Context) error { return drop(s.Sweep(ctx, at(99))) },
	})
	must(t, true, drop(s.Take(t.Context(), "a", at(0))))
	wantKind(t, "Take of what was not put", drop(s.Take(t.Context(), "b", at(0))), fault.NotFound)
}

// Codes checks that open's stores keep the Codes contract.
func Codes(t *testing.T, open func(*testing.T) ports.Codes) {
	run(t, open, []check[ports.Codes]{
		{"what is put is taken as it was", codeRoundTrip},
		{"a digest can be taken once", codeTakenDigest},
		{"of many takers one gets it without an error and the others with a conflict", codeRace},
		{"expiry is the caller's to judge", codeExpired},
		{"a sweep removes what expired before, used or not, and nothing else", codeSweep},
		{"awkward names are only names", codeStrange},
		{"a cancelled call is quick and takes nothing", codeCancelled},
	})
}

func code(digest string, when func(int) time.Time) session.Code {
	return session.Code{
		Digest: digest, App: client.AppID("app-" + digest), Redirect: "https://r.example/?'" + digest,
		Challenge: "challenge-" + digest, Grant: oauth.GrantID("grant-" + digest), User: user.ID("user-" + digest),
		Scopes: "tweet.read users.read", Session: session.ID("session-" + digest),
		JKT: "jkt-" + digest, Expires: when(10),
	}
}

func codeRoundTrip(t *testing.T, s ports.Codes) {
	must(t, true, s.Put(t.Context(), code("a", fine)))
	must(t, true, s.Put(t.Context(), session.Code{Digest: "bare"}))
	got, err := s.Take(t.Context(), "a")
	wantSame(t, "what Take returned", must(t, got, err), code("a", at))
	got, err = s.Take(t.Context(), "bare")
	wantSame(t, "what Take returned", must(t, got, err), session.Code{Digest: "bare"})
	for range 2 {
		got, err = s.Take(t.Context(), "a")
		wantKind(t, "a later Take", err, fault.Conflict)
		wantSame(t, "what a later Take returned", got, code("a", at))
	}
}

func codeTakenDigest(t *testing.T, s ports.Codes) {
	must(t, true, s.Put(t.Context(), code("a", at)))
	other := code("b", at)
	other.Digest = "a"
	wantKind(t, "Put with a digest that is taken", s.Put(t.Context(), other), fault.Conflict)
	must(t, true, drop(s.Take(t.Context(), "a")))
	wantKind(t, "Put with a digest that is used", s.Put(t.Context(), other), fault.Conflict)
}

func codeRace(t *testing.T, s ports.Codes) {
	must(t, true, s.Put(t.Context(), code("a", at)))
	oneWins(t, race(50, func(int) error {
		got, err := s.Take(t.Context(), "a")
		if got.Session != "session-a" || got.Grant != "grant-a" {
			return errors.Join(err, errors.New("the code was not returned"))
		}
		return err
	}), fault.Conflict)
}

func codeExpired(t *testing.T, s ports.Codes) {
	long := code("a", at)
	long.Expires = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	must(t, true, s.Put(t.Context(), long))
	got, err := s.Take(t.Context(), "a")
	wantSame(t, "what Take returned", must(t, got, err), long)
}

func codeSweep(t *testing.T, s ports.Codes) {
	for i := range 5 {
		c := code(numbered("c", i), at)
		c.Expires = at(i)
		must(t, true, s.Put(t.Context(), c))
	}
	must(t, true, drop(s.Take(t.Context(), "c000")))
	must(t, true, drop(s.Take(t.Context(), "c002")))
	n, err := s.Sweep(t.Context(), at(2))
	wantSame(t, "how many a sweep removed", must(t, n, err), 2)
	wantKind(t, "Take of a used code that was swept", drop(s.Take(t.Context(), "c000")), fault.NotFound)
	wantKind(t, "Take of a code that was swept", drop(s.Take(t.Context(), "c001")), fault.NotFound)
	wantKind(t, "Take of a used code that is kept", drop(s.Take(t.Context(), "c002")), fault.Conflict)
	must(t, true, drop(s.Take(t.Context(), "c003")))
}

func codeStrange(t *testing.T, s ports.Codes) {
	for _, digest := range append(strange(), unkept()...) {
		wantKind(t, "Take of an awkward name", drop(s.Take(t.Context(), digest)), fault.NotFound)
		if err := s.Put(t.Context(), code(digest, at)); err != nil {
			wantKind(t, "Put with text no database holds", err, fault.Invalid)
			continue
		}
		got, err := s.Take(t.Context(), digest)
		wantSame(t, "what Take returned", must(t, got, err), code(digest, at))
	}
}

func codeCancelled(t *testing.T, s ports.Codes) {
	must(t, true, s.Put(t.Context(), code("a", at)))
	quick(t, map[string]func(context.Context) error{
		"Put":   func(ctx context.Context) error { return s.Put(ctx, code("b", at)) },
		"Take":  func(ctx context.Context) error { return drop(s.Take(ctx, "a")) },
		"Sweep": func(ctx context.Context) error { return drop(s.Sweep(ctx, at(99))) },
	})
	must(t, true, drop(s.Take(t.Context(), "a")))
	wantKind(t, "Take of what was not put", drop(s.Take(t.Context(), "b")), fault.NotFound)
}
