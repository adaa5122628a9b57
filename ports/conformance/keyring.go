package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

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
		{"a box names the key that sealed it, and what is no box names none", keyringKeyOf},
		{"a cancelled call is quick", keyringCancelled},
	})
}

// Rotating is two rings of the same keys, as two replicas have them, and how to
// give both another primary key.
type Rotating struct {
	One, Other ports.Keyring
	Rotate     func(t *testing.T)
}

// KeyringRotation checks that open's rings keep the Keyring contract while they
// are rotated.
func KeyringRotation(t *testing.T, open func(*testing.T) Rotating) {
	run(t, open, []check[Rotating]{
		{"after a rotation another key seals, and the old one still opens", rotationPrimary},
		{"what one ring seals after a rotation opens in the other at once", rotationOther},
		{"labels hold for boxes of every key", rotationLabels},
		{"digests outlive a rotation", rotationDigests},
		{"nothing fails while the rings are rotated", rotationUnderLoad},
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

func keyringKeyOf(t *testing.T, k ports.Keyring) {
	for _, plain := range []string{canary, ""} {
		box, err := k.Seal(t.Context(), secret.New(plain), "label")
		wantSame(t, "the key of a box", k.KeyOf(must(t, box, err)), k.Primary())
		for _, no := range []secret.Box{box[:8], box + "\n", "=" + box} {
			wantSame(t, "the key of what is no box", k.KeyOf(no), "")
		}
	}
	for _, no := range []secret.Box{"", "A", "AAAA", "\x00", "é", secret.Box(strings.Repeat("A", 200)), canary} {
		wantSame(t, "the key of what is no box", k.KeyOf(no), "")
	}
}

// rotated rotates and waits until both rings seal with another key than before.
func rotated(t *testing.T, r Rotating) (before string) {
	t.Helper()
	before = r.One.Primary()
	r.Rotate(t)
	for _, k := range []ports.Keyring{r.One, r.Other} {
		for end := time.Now().Add(20 * time.Second); k.Primary() == before; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("a ring has not noticed in twenty seconds that it was rotated")
			}
			must(t, "", drop(k.Seal(t.Context(), secret.New(""), "label")))
		}
	}
	return before
}

func rotationPrimary(t *testing.T, r Rotating) {
	var boxes []secret.Box
	for range 3 {
		box, err := r.One.Seal(t.Context(), secret.New(canary), "label")
		boxes = append(boxes, must(t, box, err))
		before := rotated(t, r)
		wantSame(t, "the key of a box from before", r.Other.KeyOf(box), before)
		wantSame(t, "the primary of the other ring", r.Other.Primary(), r.One.Primary())
		next, err := r.One.Seal(t.Context(), secret.New(canary), "label")
		wantSame(t, "the key of a new box", r.One.KeyOf(must(t, next, err)), r.One.Primary())
	}
	for _, box := range boxes {
		for _, k := range []ports.Keyring{r.One, r.Other} {
			got, err := k.Open(t.Context(), box, "label")
			wantSame(t, "what a box of an old key held", must(t, got, err).Reveal(), canary)
		}
	}
}

func rotationOther(t *testing.T, r Rotating) {
	before := r.One.Primary()
	r.Rotate(t)
	box, err := r.One.Seal(t.Context(), secret.New(canary), "label")
	for end := time.Now().Add(20 * time.Second); r.One.KeyOf(must(t, box, err)) == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the old key still seals, twenty seconds after a rotation")
		}
		box, err = r.One.Seal(t.Context(), secret.New(canary), "label")
	}
	got, err := r.Other.Open(t.Context(), box, "label")
	wantSame(t, "what the other ring opened", must(t, got, err).Reveal(), canary)
}

func rotationLabels(t *testing.T, r Rotating) {
	row, other := secret.Label("kind", "1", "a"), secret.Label("kind", "2", "a")
	old, err := r.One.Seal(t.Context(), secret.New(canary), row)
	must(t, old, err)
	rotated(t, r)
	box, err := r.One.Seal(t.Context(), secret.New(canary), row)
	must(t, box, err)
	for _, b := range []secret.Box{old, box} {
		stayShut(t, r.One, "a box moved to another row", b, other)
		stayShut(t, r.Other, "a box moved to another row", b, other)
		stayShut(t, r.One, "a changed box", retouched(b), row)
	}
	// A box cannot be passed off as another key's: the name is part of the box.
	stayShut(t, r.One, "an old box under the new key's name", box[:6]+old[6:], row)
}

// retouched changes the fourth character from the end, whose bits all count.
func retouched(b secret.Box) secret.Box {
	at := len(b) - 4
	other := secret.Box("A")
	if b[at] == 'A' {
		other = "B"
	}
	return b[:at] + other + b[at+1:]
}

func rotationDigests(t *testing.T, r Rotating) {
	before, err := r.One.Digests(t.Context(), secret.New(canary), "label")
	must(t, before, err)
	rotated(t, r)
	for _, k := range []ports.Keyring{r.One, r.Other} {
		after, err := k.Digests(t.Context(), secret.New(canary), "label")
		for _, d := range before {
			if !slices.Contains(must(t, after, err), d) {
				t.Error("a digest from before the rotation is not among those after it")
			}
		}
	}
}

func rotationUnderLoad(t *testing.T, r Rotating) {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for range 2 {
			rotated(t, r)
		}
	}()
	for _, err := range race(16, func(i int) error {
		from, to := r.One, r.Other
		if i%2 == 0 {
			from, to = to, from
		}
		for ctx.Err() == nil {
			box, err := from.Seal(t.Context(), secret.New(canary), "label")
			if err != nil {
				return err
			}
			if _, err := to.Open(t.Context(), box, "label"); err != nil {
				return err
			}
		}
		return nil
	}) {
		must(t, "", err)
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
