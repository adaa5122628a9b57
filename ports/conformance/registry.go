package conformance

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// Applications checks that open's stores keep the Applications contract.
func Applications(t *testing.T, open func(*testing.T) ports.Applications) {
	r := record[ports.Applications, client.App]{
		sample: app,
		with: func(a client.App, id string, version int64) client.App {
			a.ID, a.Version = client.AppID(id), version
			return a
		},
		create: ports.Applications.Create,
		get: func(s ports.Applications, ctx context.Context, id string) (client.App, error) {
			return s.Get(ctx, client.AppID(id))
		},
		swap: ports.Applications.Swap,
	}
	run(t, open, append(r.checks(), []check[ports.Applications]{
		{"nothing that goes in or comes out shares memory with the store", appsAliasing},
		{"entries of lists are kept whole or refused", appsWhole},
		{"a list is ordered by the bytes of the ID and paged", appsList},
		{"a cancelled call is quick", func(t *testing.T, s ports.Applications) {
			quick(t, map[string]func(context.Context) error{
				"List": func(ctx context.Context) error { return drop(s.List(ctx, "", 10)) },
			})
		}},
	}...))
}

func app(id string, n int, when func(int) time.Time) client.App {
	return client.App{
		ID: client.AppID(id), Name: numbered("Näme ", n), XApp: xapp.ID(numbered("x", n)), Status: client.Suspended,
		Origins:      []client.Origin{client.Origin(numbered("https://o", n)), "https://second.example"},
		RedirectURIs: []string{numbered("https://r.example/?a=\"1\"&b=", n), "", "z", "a"},
		Actions:      []string{numbered("tag:'Posts' ", n)}, Scopes: []string{numbered("tweet.read", n), "x,y"},
		Cookies: true, DPoP: true, Limits: []string{numbered("key 10/s '", n), "app read 900/15m"},
		Budget:      money.Budget{Day: money.Micros(n) + 1, Month: 1_000_000_000 * money.USD},
		GrantBudget: money.Budget{Day: money.USD, Month: money.Micros(n) + 2},
		Created:     when(n),
	}
}

func appsAliasing(t *testing.T, s ports.Applications) {
	spoil := func(a client.App) {
		a.Origins[0], a.RedirectURIs[0], a.Actions[0], a.Scopes[0] = "spoilt", "spoilt", "spoilt", "spoilt"
		a.Limits[0] = "spoilt"
	}
	want := app("a", 1, at)
	want.Version = 1
	in := app("a", 1, at)
	created, err := s.Create(t.Context(), in)
	must(t, created, err)
	spoil(in)
	spoil(created)
	got, err := s.Get(t.Context(), "a")
	wantSame(t, "after spoiling what went through Create", must(t, got, err), want)
	spoil(got)
	list, err := s.List(t.Context(), "", 1)
	wantSame(t, "after spoiling what Get returned", must(t, list, err), []client.App{want})
	spoil(list[0])

	next, wanted := app("a", 2, at), app("a", 2, at)
	wanted.Version = 2
	swapped, err := s.Swap(t.Context(), want, next)
	must(t, swapped, err)
	spoil(next)
	spoil(swapped)
	got, err = s.Get(t.Context(), "a")
	wantSame(t, "after spoiling what went through Swap", must(t, got, err), wanted)
}

func appsWhole(t *testing.T, s ports.Applications) {
	for i, text := range append(unkept(), strange()...) {
		in := app(numbered("a", i), i, at)
		in.Actions, in.Limits = []string{"read", text}, []string{text}
		if err := drop(s.Create(t.Context(), in)); err != nil {
			wantKind(t, "Create with text no database holds", err, fault.Invalid)
			continue
		}
		got, err := s.Get(t.Context(), in.ID)
		in.Version = 1
		wantSame(t, "what is stored", must(t, got, err), in)
	}
}

func appsList(t *testing.T, s ports.Applications) {
	pages[client.AppID]{
		create: func(id client.AppID) error { return drop(s.Create(t.Context(), app(string(id), 1, at))) },
		list: func(after client.AppID, n int) ([]client.AppID, error) {
			list, err := s.List(t.Context(), after, n)
			return ids(list, func(a client.App) client.AppID { return a.ID }), err
		},
	}.check(t)
}

// XApps checks that open's stores keep the XApps contract.
func XApps(t *testing.T, open func(*testing.T) ports.XApps) {
	r := record[ports.XApps, xapp.App]{
		sample: func(id string, n int, when func(int) time.Time) xapp.App {
			return xapp.App{
				ID: xapp.ID(id), Name: numbered("name", n), ClientID: numbered("client", n),
				ClientSecret: secret.Box(numbered("secret", n)), Bearer: secret.Box(numbered("bearer", n)),
				APIKey: numbered("key", n), APISecret: secret.Box(numbered("apisecret", n)), Created: when(n),
			}
		},
		with: func(x xapp.App, id string, version int64) xapp.App {
			x.ID, x.Version = xapp.ID(id), version
			return x
		},
		create: ports.XApps.Create,
		get: func(s ports.XApps, ctx context.Context, id string) (xapp.App, error) {
			return s.Get(ctx, xapp.ID(id))
		},
		swap: ports.XApps.Swap,
	}
	run(t, open, append(r.checks(), []check[ports.XApps]{
		{"what is deleted is gone, and its ID free again", xappsDelete},
		{"a list is ordered by the bytes of the ID and paged", xappsList},
		{"a cancelled call is quick and deletes nothing", xappsCancelled},
	}...))
}

func xappsDelete(t *testing.T, s ports.XApps) {
	must(t, true, drop(s.Create(t.Context(), xapp.App{ID: "a"})))
	kept, err := s.Create(t.Context(), xapp.App{ID: "b"})
	must(t, kept, err)
	must(t, true, s.Delete(t.Context(), "a"))
	wantKind(t, "Delete for the second time", s.Delete(t.Context(), "a"), fault.NotFound)
	wantKind(t, "Delete of an unkept name", s.Delete(t.Context(), "b\x00"), fault.NotFound)
	wantKind(t, "Get of what is deleted", drop(s.Get(t.Context(), "a")), fault.NotFound)
	wantKind(t, "Swap of what is deleted", drop(s.Swap(t.Context(), xapp.App{ID: "a", Version: 1}, xapp.App{})),
		fault.NotFound)
	must(t, true, drop(s.Create(t.Context(), xapp.App{ID: "a"})))
	got, err := s.Get(t.Context(), "b")
	wantSame(t, "its neighbour", must(t, got, err), kept)
}

func xappsList(t *testing.T, s ports.XApps) {
	pages[xapp.ID]{
		create: func(id xapp.ID) error { return drop(s.Create(t.Context(), xapp.App{ID: id})) },
		list: func(after xapp.ID, n int) ([]xapp.ID, error) {
			list, err := s.List(t.Context(), after, n)
			return ids(list, func(x xapp.App) xapp.ID { return x.ID }), err
		},
	}.check(t)
}

func xappsCancelled(t *testing.T, s ports.XApps) {
	must(t, true, drop(s.Create(t.Context(), xapp.App{ID: "a"})))
	quick(t, map[string]func(context.Context) error{
		"List":   func(ctx context.Context) error { return drop(s.List(ctx, "", 10)) },
		"Delete": func(ctx context.Context) error { return s.Delete(ctx, "a") },
	})
	must(t, true, drop(s.Get(t.Context(), "a")))
}

func apiKey(id string, n int, when func(int) time.Time) apikey.Key {
	return apikey.Key{
		ID: apikey.ID(id), App: client.AppID(numbered("app", n)), Kind: apikey.Publishable, Hint: numbered("pk_a…", n),
		Name: numbered("Näme ", n), Digest: "digest-" + id, AppOnly: true, Batch: true,
		Grants:  []oauth.GrantID{oauth.GrantID(numbered("grant", n)), "g'\"2"},
		Actions: []string{numbered("tag:'Posts' ", n), "read"},
		Addresses: []netip.Prefix{
			netip.PrefixFrom(netip.MustParseAddr("10.1.2.3"), n%32), netip.MustParsePrefix("2001:db8::/32"),
		},
		Created: when(n), Expires: when(n + 1), Revoked: when(n + 2),
	}
}
