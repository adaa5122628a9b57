package conformance

import (
	"context"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// TokenVault checks that open's vaults keep the TokenVault contract. Each call
// of open must return an empty vault; the same holds for every suite.
func TokenVault(t *testing.T, open func(*testing.T) ports.TokenVault) {
	r := record[ports.TokenVault, oauth.Grant]{
		sample: grant,
		with: func(g oauth.Grant, id string, version int64) oauth.Grant {
			g.ID, g.Version = oauth.GrantID(id), version
			return g
		},
		create: ports.TokenVault.Create,
		get: func(v ports.TokenVault, ctx context.Context, id string) (oauth.Grant, error) {
			return v.Get(ctx, oauth.GrantID(id))
		},
		swap: ports.TokenVault.Swap,
	}
	run(t, open, append(r.checks(), []check[ports.TokenVault]{
		{"a user has one grant for an application and an X App", vaultOwner},
		{"of many sign-ins of one user one creates the grant", vaultOwnerRace},
		{"a grant is found by its owner, and by no other", vaultFind},
		{"a revoked grant is found too", vaultFindRevoked},
		{"a swap never changes the user, the application or the X App", vaultFixed},
		{"a list is ordered by the bytes of the ID and paged", vaultList},
		{"a list can be of one application", vaultListApp},
		{"a cancelled call is quick", vaultCancelled},
	}...))
}

func grant(id string, n int, when func(int) time.Time) oauth.Grant {
	return oauth.Grant{
		ID: oauth.GrantID(id), App: client.AppID("app-" + id), XApp: xapp.ID("xapp-" + id),
		User:   user.User{ID: user.ID("user-" + id), Username: numbered("handle", n), Name: numbered("Ünal 'Q' ", n)},
		Scopes: oauth.Scopes(numbered("tweet.read users.read x", n)), State: oauth.Suspect,
		Access: secret.Box(numbered("access+/=_-", n)), Refresh: secret.Box(numbered("refresh", n)),
		Expires: when(n), Generation: 1<<53 - 1 - int64(n), Failures: n + 3, Retry: when(n + 1),
		Lease:   oauth.Lease{Holder: numbered("holder", n), Until: when(n + 2)},
		Created: when(n + 3), Updated: when(n + 4),
	}
}

func vaultOwner(t *testing.T, v ports.TokenVault) {
	first := must(t, true, drop(v.Create(t.Context(), grant("a", 1, at))))
	again := grant("a", 2, at)
	again.ID = "b"
	wantKind(t, "Create for the same owner", drop(v.Create(t.Context(), again)), fault.Conflict)
	wantKind(t, "Get of what was refused", drop(v.Get(t.Context(), "b")), fault.NotFound)
	for i, other := range []oauth.Grant{again, again, again} {
		other.ID = oauth.GrantID(numbered("other", i))
		switch i {
		case 0:
			other.App = "another"
		case 1:
			other.XApp = "another"
		case 2:
			other.User.ID = "another"
		}
		if _, err := v.Create(t.Context(), other); err != nil || !first {
			t.Errorf("Create for another owner: %v", err)
		}
	}
}

func vaultOwnerRace(t *testing.T, v ports.TokenVault) {
	oneWins(t, race(20, func(i int) error {
		g := grant("a", i, at)
		g.ID = oauth.GrantID(numbered("g", i))
		return drop(v.Create(t.Context(), g))
	}), fault.Conflict)
}

func vaultFind(t *testing.T, v ports.TokenVault) {
	want, err := v.Create(t.Context(), grant("a", 1, at))
	must(t, want, err)
	must(t, true, drop(v.Create(t.Context(), grant("b", 2, at))))
	got, err := v.Find(t.Context(), "app-a", "xapp-a", "user-a")
	wantSame(t, "what Find returned", must(t, got, err), want)
	for _, o := range [][3]string{
		{"app-b", "xapp-a", "user-a"}, {"app-a", "xapp-b", "user-a"}, {"app-a", "xapp-a", "user-b"},
		{"", "", ""}, {"app-a", "xapp-a", ""}, {"app-a", "xapp-a", "user-a\x00"}, {"xapp-a", "app-a", "user-a"},
	} {
		_, err := v.Find(t.Context(), client.AppID(o[0]), xapp.ID(o[1]), user.ID(o[2]))
		wantKind(t, "Find of another owner", err, fault.NotFound)
	}
}

func vaultFindRevoked(t *testing.T, v ports.TokenVault) {
	old, err := v.Create(t.Context(), grant("a", 1, at))
	must(t, old, err)
	want, err := v.Swap(t.Context(), old, old.Revoke(at(9)).Forget(at(9)))
	must(t, want, err)
	got, err := v.Find(t.Context(), old.App, old.XApp, old.User.ID)
	wantSame(t, "what Find returned", must(t, got, err), want)
	if got.State != oauth.Revoked || !got.Access.Empty() || !got.Refresh.Empty() {
		t.Errorf("a revoked grant came back as %q with tokens %q, %q", got.State, got.Access, got.Refresh)
	}
	again := grant("a", 2, at)
	again.ID = "b"
	wantKind(t, "Create beside a revoked grant", drop(v.Create(t.Context(), again)), fault.Conflict)
}

func vaultFixed(t *testing.T, v ports.TokenVault) {
	old, err := v.Create(t.Context(), grant("a", 1, at))
	must(t, old, err)
	next := grant("b", 2, at)
	want := grant("a", 2, at)
	want.Version = 2
	got, err := v.Swap(t.Context(), old, next)
	wantSame(t, "what Swap returned", must(t, got, err), want)
	got, err = v.Find(t.Context(), old.App, old.XApp, old.User.ID)
	wantSame(t, "what the first owner finds", must(t, got, err), want)
	_, err = v.Find(t.Context(), next.App, next.XApp, next.User.ID)
	wantKind(t, "Find of an owner given to Swap only", err, fault.NotFound)

	forged := grant("b", 2, at)
	forged.ID, forged.Version = want.ID, want.Version
	must(t, true, drop(v.Swap(t.Context(), forged, forged)))
	got, err = v.Get(t.Context(), want.ID)
	if must(t, got, err); got.App != want.App || got.XApp != want.XApp || got.User.ID != want.User.ID {
		t.Errorf("a forged old grant moved the stored one to %s, %s, %s", got.App, got.XApp, got.User.ID)
	}
}

func vaultList(t *testing.T, v ports.TokenVault) {
	pages[oauth.GrantID]{
		create: func(id oauth.GrantID) error { return drop(v.Create(t.Context(), grant(string(id), 1, at))) },
		list: func(after oauth.GrantID, n int) ([]oauth.GrantID, error) {
			list, err := v.List(t.Context(), "", after, n)
			return ids(list, func(g oauth.Grant) oauth.GrantID { return g.ID }), err
		},
	}.check(t)
	list, err := v.List(t.Context(), "", "", 1)
	must(t, list, err)
	want := grant(string(list[0].ID), 1, at)
	want.Version = 1
	wantSame(t, "a listed grant", list[0], want)
}

func vaultListApp(t *testing.T, v ports.TokenVault) {
	for i := range 6 {
		g := grant(numbered("g", i), 1, at)
		g.App = []client.AppID{"even", "odd"}[i%2]
		must(t, true, drop(v.Create(t.Context(), g)))
	}
	list, err := v.List(t.Context(), "odd", "g001", 10)
	got := ids(must(t, list, err), func(g oauth.Grant) oauth.GrantID { return g.ID })
	wantSame(t, "grants of odd after g001", got, []oauth.GrantID{"g003", "g005"})
	list, err = v.List(t.Context(), "none", "", 10)
	wantSame(t, "grants of an unknown application", must(t, list, err), []oauth.Grant{})
}

func vaultCancelled(t *testing.T, v ports.TokenVault) {
	must(t, true, drop(v.Create(t.Context(), grant("a", 1, at))))
	quick(t, map[string]func(context.Context) error{
		"Find": func(ctx context.Context) error { return drop(v.Find(ctx, "app-a", "xapp-a", "user-a")) },
		"List": func(ctx context.Context) error { return drop(v.List(ctx, "", "", 10)) },
	})
}
