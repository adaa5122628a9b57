package keyring

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports/conformance"
)

func TestRotation(t *testing.T) {
	conformance.KeyringRotation(t, func(t *testing.T) conformance.Rotating {
		path := generate(t)
		return conformance.Rotating{
			One: following(t, path, nil), Other: following(t, path, nil),
			Rotate: func(t *testing.T) {
				if _, err := Rotate(path); err != nil {
					t.Error(err)
				}
			},
		}
	})
}

func generate(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := Generate(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func following(t *testing.T, path string, log *slog.Logger) *Ring {
	t.Helper()
	r := open(t, path)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r.Follow(log)
	return r
}

func states(keys []Key) (s []State) {
	for _, k := range keys {
		s = append(s, k.State)
	}
	return s
}

func wantStates(t *testing.T, keys []Key, err error, want ...State) []Key {
	t.Helper()
	if got := states(keys); err != nil || !slices.Equal(got, want) {
		t.Fatalf("the keys are %v, want %v; error %v", got, want, err)
	}
	return keys
}

func TestAStagedKeyOpensAndDoesNotSealUntilItIsPromoted(t *testing.T) {
	path := generate(t)
	first := open(t, path)
	keys, err := Stage(path)
	wantStates(t, keys, err, Primary, Staged)
	staged := open(t, path)
	if staged.Primary() != first.Primary() || !keys[1].Since.IsZero() || keys[1].Created.IsZero() {
		t.Errorf("a staged key changed more than it should: %+v", keys)
	}
	if _, err := Stage(path); !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "perch keyset rotate") {
		t.Errorf("a second staged key: %v", err)
	}
	keys, err = Rotate(path)
	wantStates(t, keys, err, Enabled, Primary)
	promoted := open(t, path)
	if promoted.Primary() != keys[1].ID || keys[1].Since.IsZero() {
		t.Errorf("the promoted key is %+v", keys[1])
	}
	opens(t, staged, seal(t, promoted, "new"), "new") // the replica with the older copy
	if first.KeyOf(seal(t, promoted, "new")) != promoted.Primary() {
		t.Error("a box does not name its key to a ring that lacks it")
	}
	keys, err = Rotate(path)
	wantStates(t, keys, err, Enabled, Enabled, Primary)
}

func TestAFileOfTheFirstVersionIsRotatedToo(t *testing.T) {
	f, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	text := `{"version":1,"aead":` + string(f.Boxes) + `,"prf":` + string(f.Peppers) + `}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	first := open(t, path)
	if k := first.Keys()[0]; k.State != Primary || !k.Created.IsZero() || !k.Since.IsZero() {
		t.Errorf("of a key of unknown age is told %+v", k)
	}
	keys, err := Stage(path)
	wantStates(t, keys, err, Primary, Staged)
	keys, err = Rotate(path)
	wantStates(t, keys, err, Enabled, Primary)
	now := open(t, path)
	opens(t, now, seal(t, first, "old"), "old")
	if !slices.Equal(digests(t, now), digests(t, first)) {
		t.Error("a rotation changed the peppers")
	}
}

func TestRetireRemovesAKeyAndNeverThePrimary(t *testing.T) {
	path := generate(t)
	old := open(t, path)
	if _, err := Rotate(path); err != nil {
		t.Fatal(err)
	}
	now := open(t, path)
	if _, err := Retire(path, now.Primary()); !errors.Is(err, fault.Conflict) {
		t.Errorf("retiring the primary: %v", err)
	}
	if _, err := Retire(path, "00000000"); !errors.Is(err, fault.NotFound) {
		t.Errorf("retiring a key that is not there: %v", err)
	}
	keys, err := Retire(path, old.Primary())
	wantStates(t, keys, err, Primary)
	after := open(t, path)
	if _, err := after.Open(t.Context(), seal(t, old, "old"), "label"); !errors.Is(err, fault.Internal) ||
		!strings.Contains(err.Error(), old.Primary()) {
		t.Errorf("a box of the retired key: %v", err)
	}
}

func TestManyRotationsAtOnceLoseNoKey(t *testing.T) {
	const many = 12
	path := generate(t)
	first := open(t, path)
	box := seal(t, first, "kept")
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if _, err := Rotate(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last := open(t, path)
	if n := len(last.Keys()); n != many+1 {
		t.Errorf("%d rotations left %d keys", many, n)
	}
	opens(t, last, box, "kept")
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the keyset lie %v, %v", left, err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode() != 0o600 {
		t.Errorf("the file has mode %v, error %v", stat.Mode(), err)
	}
}

func TestAnEditGoesThroughASymbolicLinkAndLeavesIt(t *testing.T) {
	path := generate(t)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		conformance.Absent(t, "symlinks", err.Error())
	}
	if _, err := Rotate(link); err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Lstat(link); err != nil || stat.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is now %v, %v", stat.Mode(), err)
	}
	if n := len(open(t, path).Keys()); n != 2 {
		t.Errorf("the file behind the link has %d keys", n)
	}
}

func TestAnEditRefusesWhatIsNoRingAndLeavesIt(t *testing.T) {
	path := generate(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{}", string(whole[:len(whole)/2])} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Rotate(path); !errors.Is(err, fault.Invalid) {
			t.Errorf("a damaged file: %v", err)
		}
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Error("a damaged file was written over")
		}
	}
	if _, err := Rotate(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// A damaged file, a foreign one or none at all leaves the keys in memory as they
// are, and is told once; when it is whole again, the ring goes on with it.
func TestAFileThatCannotBeUsedReplacesNothing(t *testing.T) {
	path := generate(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(generate(t))
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	r := following(t, path, slog.New(slog.NewTextHandler(&said, nil)))
	kept, primary := seal(t, r, "kept"), r.Primary()
	unknown := seal(t, Ephemeral(), "elsewhere")
	old := time.Now().Add(-time.Hour) // the other Perch's file may be as long as ours, and be written in the same tick
	for name, damage := range map[string]func() error{
		"half":    func() error { return os.WriteFile(path, whole[:len(whole)/2], 0o600) },
		"empty":   func() error { return os.WriteFile(path, nil, 0o600) },
		"foreign": func() error { return errors.Join(os.WriteFile(path, foreign, 0o600), os.Chtimes(path, old, old)) },
		"public":  func() error { return errors.Join(os.WriteFile(path, whole, 0o600), os.Chmod(path, 0o644)) },
		"none":    func() error { return os.Remove(path) },
	} {
		said.Reset()
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			r.follow.glanced.Store(0)
			r.follow.read = time.Time{}
			if _, err := r.Open(t.Context(), unknown, "label"); !errors.Is(err, fault.Internal) {
				t.Errorf("%s: a foreign box: %v", name, err)
			}
			opens(t, r, seal(t, r, "new"), "new")
			opens(t, r, kept, "kept")
		}
		if r.Primary() != primary {
			t.Errorf("%s: another key seals", name)
		}
		if n := strings.Count(said.String(), "cannot be used"); n != 1 || !strings.Contains(said.String(), path) {
			t.Errorf("%s: told %d times:\n%s", name, n, said.String())
		}
		if err := errors.Join(os.WriteFile(path, whole, 0o600), os.Chmod(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		r.follow.glanced.Store(0)
		seal(t, r, "whole again")
		if r.follow.told != "" {
			t.Errorf("%s: the whole file was not noticed", name)
		}
	}
	if _, err := Rotate(path); err != nil {
		t.Fatal(err)
	}
	r.follow.glanced.Store(0)
	if seal(t, r, "rotated"); r.Primary() == primary {
		t.Error("a rotation after the damage was not noticed")
	}
}

// What a process has opened it goes on opening when the file loses the key: the
// file may be an older copy.
func TestAKeyThatLeftTheFileStillOpensUntilTheEnd(t *testing.T) {
	path := generate(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(path); err != nil {
		t.Fatal(err)
	}
	r := following(t, path, nil)
	box, newer := seal(t, r, "kept"), r.Primary()
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	r.follow.glanced.Store(0)
	if old := seal(t, r, "old"); r.KeyOf(old) == newer {
		t.Error("a key that is not in the file seals")
	}
	opens(t, r, box, "kept")
}

func TestManyBoxesOfAnUnknownKeyReadTheFileOnce(t *testing.T) {
	path := generate(t)
	r := following(t, path, nil)
	if _, err := Rotate(path); err != nil {
		t.Fatal(err)
	}
	box := seal(t, open(t, path), "new")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, err := r.Open(t.Context(), box, "label"); err != nil || got.Reveal() != "new" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.follow.read = time.Now().Add(-time.Hour) // nothing else reads: the clock tells
	before := r.follow.read
	opens(t, r, box, "new")
	if !r.follow.read.Equal(before) {
		t.Error("a known key had the file read")
	}
	foreign := secret.Box(seal(t, Ephemeral(), "foreign"))
	_, _ = r.Open(t.Context(), foreign, "label")
	after := r.follow.read
	if after.Equal(before) {
		t.Error("an unknown key did not have the file read")
	}
	if _, err := r.Open(t.Context(), foreign, "label"); err == nil || r.follow.read.Sub(after) != 0 && r.follow.read.Sub(after) < seekEvery {
		t.Errorf("an unknown key had the file read again within a second; %v", err)
	}
}

func TestStoppedIsWhenTheNextKeyBeganToSeal(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 11, 25, h, 0, 0, 0, time.UTC) }
	list := []Key{
		{"old", Enabled, time.Time{}, time.Time{}}, {"a", Enabled, at(1), at(2)}, {"c", Enabled, at(3), at(6)},
		{"b", Primary, at(2), at(7)}, {"next", Staged, at(8), time.Time{}},
	}
	for id, want := range map[string]time.Time{
		"old": at(2), "a": at(6), "c": at(7), "b": {}, "next": {}, "nobody": {},
	} {
		if got := Stopped(list, id); !got.Equal(want) {
			t.Errorf("%s stopped at %v, want %v", id, got, want)
		}
	}
}

// A replica with an older copy of the file knows that it lacks a key, once that
// is certain, and is well again when it has the newest copy.
func TestARingThatLacksAKeyIsNotWell(t *testing.T) {
	path, copied := generate(t), filepath.Join(t.TempDir(), "keys.json")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(copied, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	behind := following(t, copied, nil)
	if _, err := Rotate(path); err != nil {
		t.Fatal(err)
	}
	ahead := open(t, path)
	for n := range several {
		if err := behind.Ping(t.Context()); err != nil {
			t.Errorf("after %d boxes: %v", n, err)
		}
		box := seal(t, ahead, "new")
		for range 5 { // one box alone may be damaged, however often it is tried
			if _, err := behind.Open(t.Context(), box, "label"); err == nil {
				t.Fatal("it opens a box of a key that it lacks")
			}
		}
	}
	if err := behind.Ping(t.Context()); !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), ahead.Primary()) {
		t.Errorf("a ring that lacks a key: %v", err)
	}
	if text, err = os.ReadFile(path); err == nil {
		err = os.WriteFile(copied, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); behind.Ping(t.Context()) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("with the newest copy it is still not well")
		}
	}
}
