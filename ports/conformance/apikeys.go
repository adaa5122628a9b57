package conformance

import (
	"context"
	"testing"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

// APIKeys checks that open's stores keep the APIKeys contract.
func APIKeys(t *testing.T, open func(*testing.T) ports.APIKeys) {
	r := record[ports.APIKeys, apikey.Key]{
		sample: apiKey,
		with: func(k apikey.Key, id string, version int64) apikey.Key {
			k.ID, k.Version = apikey.ID(id), version
			return k
		},
		create: ports.APIKeys.Create,
		get: func(s ports.APIKeys, ctx context.Context, id string) (apikey.Key, error) {
			return s.Get(ctx, apikey.ID(id))
		},
		swap: ports.APIKeys.Swap,
	}
	run(t, open, append(r.checks(), []check[ports.APIKeys]{
		{"a digest can be taken once", keysDigestTaken},
		{"a key is found by any of its digests", keysByDigest},
		{"the digest of a key never changes", keysDigestFixed},
		{"a list is ordered by the bytes of the ID and paged", keysList},
		{"a list can be of one application", keysListApp},
		{"nothing that goes in or comes out shares memory with the store", keysAliasing},
		{"a cancelled call is quick", keysCancelled},
	}...))
}

func keysDigestTaken(t *testing.T, s ports.APIKeys) {
	must(t, true, drop(s.Create(t.Context(), apiKey("a", 1, at))))
	again := apiKey("b", 2, at)
	again.Digest = "digest-a"
	wantKind(t, "Create with a digest that is taken", drop(s.Create(t.Context(), again)), fault.Conflict)
	wantKind(t, "Get of what was refused", drop(s.Get(t.Context(), "b")), fault.NotFound)
	oneWins(t, race(20, func(i int) error {
		k := apiKey(numbered("k", i), i, at)
		k.Digest = "same"
		return drop(s.Create(t.Context(), k))
	}), fault.Conflict)
}

func keysByDigest(t *testing.T, s ports.APIKeys) {
	want, err := s.Create(t.Context(), apiKey("a", 1, at))
	must(t, want, err)
	must(t, true, drop(s.Create(t.Context(), apiKey("b", 2, at))))
	for _, digests := range [][]string{
		{"digest-a"}, {"newer", "digest-a"}, {"digest-a", "older"}, {"1", "' OR 1=1--", "\x00", "digest-a"},
	} {
		got, err := s.ByDigest(t.Context(), digests)
		wantSame(t, "what ByDigest returned", must(t, got, err), want)
	}
	for _, digests := range [][]string{
		nil, {}, {""}, {"DIGEST-A"}, {"digest"}, {"digest-a "}, {"digest-a\x00"}, {"%"}, {"' OR 1=1--"}, {"\xff"}, strange(),
	} {
		wantKind(t, "ByDigest of other digests", drop(s.ByDigest(t.Context(), digests)), fault.NotFound)
	}
}

func keysDigestFixed(t *testing.T, s ports.APIKeys) {
	old, err := s.Create(t.Context(), apiKey("a", 1, at))
	must(t, old, err)
	next := apiKey("a", 2, at)
	next.Digest = "another"
	want := apiKey("a", 2, at)
	want.Version = 2
	got, err := s.Swap(t.Context(), old, next)
	wantSame(t, "what Swap returned", must(t, got, err), want)
	got, err = s.ByDigest(t.Context(), []string{"digest-a"})
	wantSame(t, "what the first digest finds", must(t, got, err), want)
	wantKind(t, "ByDigest of one given to Swap only", drop(s.ByDigest(t.Context(), []string{"another"})), fault.NotFound)

	forged := want
	forged.Digest = "another"
	must(t, true, drop(s.Swap(t.Context(), forged, forged)))
	must(t, true, drop(s.ByDigest(t.Context(), []string{"digest-a"})))
}

func keysList(t *testing.T, s ports.APIKeys) {
	pages[apikey.ID]{
		create: func(id apikey.ID) error { return drop(s.Create(t.Context(), apiKey(string(id), 1, at))) },
		list: func(after apikey.ID, n int) ([]apikey.ID, error) {
			list, err := s.List(t.Context(), "", after, n)
			return ids(list, func(k apikey.Key) apikey.ID { return k.ID }), err
		},
	}.check(t)
}

func keysListApp(t *testing.T, s ports.APIKeys) {
	for i := range 6 {
		k := apiKey(numbered("k", i), 1, at)
		k.App = []client.AppID{"even", "odd"}[i%2]
		must(t, true, drop(s.Create(t.Context(), k)))
	}
	list, err := s.List(t.Context(), "even", "k000", 1)
	got := ids(must(t, list, err), func(k apikey.Key) apikey.ID { return k.ID })
	wantSame(t, "one key of even after k000", got, []apikey.ID{"k002"})
}

func keysAliasing(t *testing.T, s ports.APIKeys) {
	spoil := func(k apikey.Key) { k.Grants[0], k.Actions[0], k.Addresses[0] = "spoilt", "spoilt", k.Addresses[1] }
	want := apiKey("a", 1, at)
	want.Version = 1
	in := apiKey("a", 1, at)
	created, err := s.Create(t.Context(), in)
	must(t, created, err)
	spoil(in)
	spoil(created)
	got, err := s.ByDigest(t.Context(), []string{"digest-a"})
	wantSame(t, "after spoiling what went through Create", must(t, got, err), want)
	spoil(got)
	got, err = s.Get(t.Context(), "a")
	wantSame(t, "after spoiling what ByDigest returned", must(t, got, err), want)
}

func keysCancelled(t *testing.T, s ports.APIKeys) {
	must(t, true, drop(s.Create(t.Context(), apiKey("a", 1, at))))
	quick(t, map[string]func(context.Context) error{
		"ByDigest": func(ctx context.Context) error { return drop(s.ByDigest(ctx, []string{"digest-a"})) },
		"List":     func(ctx context.Context) error { return drop(s.List(ctx, "", "", 10)) },
	})
}
