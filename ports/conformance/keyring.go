package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
)

// Keyring checks that open's rings keep the Keyring contract.
func Keyring(t *testing.T, open func(*testing.T) ports.Keyring) {
	run(t, open, []check[ports.Keyring]{
		{"what is sealed opens under its label", keyringRoundTrip},
		{"a box shows nothing of what it holds and is never the same twice", keyringHides},
		{"a box that was moved to another label stays shut", keyringMoved},
		{"a box that was changed stays shut", keyringTampered},
		{"what is not a box is no box", keyringNoBox},
		{"the digests of a value stay the same", keyringDigests},
		{"digests differ by value and by label", keyringDigestsDiffer},
		{"the ring names its primary key", keyringPrimary},
		{"a cancelled call is quick", keyringCancelled},
	})
}

const canary = "canary-6f1c2e9a-plaintext"

func keyringRoundTrip(t *testing.T, k ports.Keyring) {
	for _, plain := range []string{canary, "", "\x00\xff", "é", strings.Repeat("long ", 20000)} {
		for _, label := range []string{secret.Label("kind", "a", "b"), "x", "é\x00"} {
			box, err := k.Seal(t.Context(), secret.New(plain), label)
			must(t, box, err)
			got, err := k.Open(t.Context(), box, label)
			if must(t, got, err).Reveal() != plain {
				t.Errorf("%d bytes sealed under %q did not come back", len(plain), label)
			}
		}
	}
}

func keyringHides(t *testing.T, k ports.Keyring) {
	a, err := k.Seal(t.Context(), secret.New(canary), "label")
	must(t, a, err)
	b, err := k.Seal(t.Context(), secret.New(canary), "label")
	must(t, b, err)
	if a == b {
		t.Error("two boxes of one text are the same")
	}
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if strings.Contains(string(a), canary) || strings.ContainsFunc(string(a), unprintable) {
		t.Error("a box is not printable, or shows what it holds")
	}
}

func keyringMoved(t *testing.T, k ports.Keyring) {
	label := secret.Label("kind", "1", "23")
	box, err := k.Seal(t.Context(), secret.New(canary), label)
	must(t, box, err)
	for _, other := range []string{
		"", label + " ", label[1:], secret.Label("kind", "12", "3"), secret.Label("kind", "1"),
		secret.Label("other", "1", "23"),
	} {
		stayShut(t, k, "a moved box", box, other)
	}
}

func keyringTampered(t *testing.T, k ports.Keyring) {
	box, err := k.Seal(t.Context(), secret.New(canary), "label")
	must(t, box, err)
	for i := range len(box) {
		for _, c := range []byte{'A', 'B', 'Q', '_'} {
			if box[i] != c {
				stayShut(t, k, numbered("a box changed at ", i), box[:i]+secret.Box(c)+box[i+1:], "label")
			}
		}
	}
	for i := range len(box) {
		stayShut(t, k, numbered("a box cut to ", i), box[:i], "label")
	}
	for _, more := range []secret.Box{box + "A", "A" + box, box + "=", box + "\n", box + box} {
		stayShut(t, k, "a box with something added", more, "label")
	}
}

func keyringNoBox(t *testing.T, k ports.Keyring) {
	for _, box := range []secret.Box{"", "A", "AAAA", "\x00", "é", secret.Box(strings.Repeat("A", 200)), canary} {
		stayShut(t, k, "something that is no box", box, "label")
	}
}

func stayShut(t *testing.T, k ports.Keyring, what string, box secret.Box, label string) {
	t.Helper()
	got, err := k.Open(t.Context(), box, label)
	wantKind(t, "Open of "+what, err, fault.Internal)
	if !got.Empty() {
		t.Errorf("Open of %s gave something", what)
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("Open of %s told a secret in its error", what)
	}
}

func keyringDigests(t *testing.T, k ports.Keyring) {
	for _, value := range []string{canary, "", "\x00"} {
		first, err := k.Digests(t.Context(), secret.New(value), "label")
		must(t, first, err)
		again, err := k.Digests(t.Context(), secret.New(value), "label")
		wantSame(t, "digests asked for again", must(t, again, err), first)
		distinct := slices.Compact(slices.Sorted(slices.Values(first)))
		if len(first) == 0 || slices.Contains(first, "") || len(distinct) != len(first) {
			t.Errorf("got %d digests, some of them empty or the same", len(first))
		}
		if value != "" && strings.Contains(strings.Join(first, " "), value) {
			t.Error("a digest shows its value")
		}
	}
}

func keyringDigestsDiffer(t *testing.T, k ports.Keyring) {
	seen := map[string]string{}
	for _, in := range [][2]string{
		{"a", "l"}, {"b", "l"}, {"a", "m"}, {"", "la"}, {"la", ""}, {"a", "l\x00"}, {"A", "l"},
	} {
		digests, err := k.Digests(t.Context(), secret.New(in[0]), in[1])
		for _, d := range must(t, digests, err) {
			if other, ok := seen[d]; ok {
				t.Errorf("%q and %s have the same digest", in, other)
			}
			seen[d] = in[0] + " under " + in[1]
		}
	}
}

func keyringPrimary(t *testing.T, k ports.Keyring) {
	if first, again := k.Primary(), k.Primary(); first == "" || first != again {
		t.Errorf("the primary key is called %q, and then %q", first, again)
	}
}

func keyringCancelled(t *testing.T, k ports.Keyring) {
	box, err := k.Seal(t.Context(), secret.New(canary), "label")
	must(t, box, err)
	quick(t, map[string]func(context.Context) error{
		"Seal":    func(ctx context.Context) error { return drop(k.Seal(ctx, secret.New(canary), "label")) },
		"Open":    func(ctx context.Context) error { return drop(k.Open(ctx, box, "label")) },
		"Digests": func(ctx context.Context) error { return drop(k.Digests(ctx, secret.New(canary), "label")) },
	})
}
