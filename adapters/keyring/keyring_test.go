package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/ports"
	"perch/ports/conformance"
)

func TestEphemeral(t *testing.T) {
	conformance.Keyring(t, func(*testing.T) ports.Keyring { return Ephemeral() })
}

func TestFile(t *testing.T) {
	conformance.Keyring(t, func(t *testing.T) ports.Keyring {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := Generate(path); err != nil {
			t.Fatal(err)
		}
		return open(t, path)
	})
}

func TestTwoRingsOfOneFileAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	first, created, err := OpenOrCreate(path)
	if err != nil || !created {
		t.Fatalf("OpenOrCreate of nothing: created %v, error %v", created, err)
	}
	second, created, err := OpenOrCreate(path)
	if err != nil || created {
		t.Fatalf("OpenOrCreate of a ring: created %v, error %v", created, err)
	}
	opens(t, second, seal(t, first, "kept"), "kept")
	if first.Primary() != second.Primary() {
		t.Errorf("the primary is %s and then %s", first.Primary(), second.Primary())
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode() != 0o600 {
		t.Errorf("the file has mode %v, error %v", stat.Mode(), err)
	}
}

func TestGenerateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Generate(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Generate over a file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "mine" {
		t.Error("Generate changed a file that was there")
	}
	if err := Generate(filepath.Join(t.TempDir(), "none", "keys.json")); err == nil {
		t.Error("Generate made a folder")
	}
}

func TestOneOfManyGenerates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = Generate(path) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, fs.ErrExist):
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("%d rings were made", made)
	}
	open(t, path)
}

func TestOpenRefusesWhatOthersMayRead(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o644, 0o660, 0o666, 0o777} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := errors.Join(Generate(path), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
		if _, created, err := OpenOrCreate(path); err == nil || created {
			t.Errorf("mode %o: OpenOrCreate went on", mode)
		}
	}
}

func TestOpenRefusesWhatIsNoRing(t *testing.T) {
	whole, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	boxes, peppers := string(whole.Boxes), string(whole.Peppers)
	form := `{"version":%d,"aead":%s,"prf":%s}`
	for name, text := range map[string]string{
		"empty":            "",
		"blank":            " \n",
		"no JSON":          "AGE-SECRET-KEY-1",
		"a list":           "[]",
		"cut":              fmt.Sprintf(form, 1, boxes, peppers)[:200],
		"something after":  fmt.Sprintf(form, 1, boxes, peppers) + "{}",
		"another version":  fmt.Sprintf(form, 3, boxes, peppers),
		"no version":       fmt.Sprintf(`{"aead":%s,"prf":%s}`, boxes, peppers),
		"no peppers":       fmt.Sprintf(`{"version":1,"aead":%s}`, boxes),
		"null":             fmt.Sprintf(form, 1, boxes, "null"),
		"swapped":          fmt.Sprintf(form, 1, peppers, boxes),
		"boxes twice":      fmt.Sprintf(form, 1, boxes, boxes),
		"peppers twice":    fmt.Sprintf(form, 1, peppers, peppers),
		"an empty keyset":  fmt.Sprintf(form, 1, "{}", peppers),
		"an unknown field": fmt.Sprintf(`{"version":1,"aead":%s,"prf":%s,"x":1}`, boxes, peppers),
		"too large":        strings.Repeat(" ", maxFile) + fmt.Sprintf(form, 1, boxes, peppers),
	} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		leaksNot(t, name, fmt.Sprintf("%v %+v %#v", err, err, err), boxes, peppers)
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Errorf("%s: Open changed the file", name)
		}
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, fault.Invalid) {
		t.Errorf("a folder: %v", err)
	}
}

func TestOldKeysStillOpen(t *testing.T) {
	boxes := manager(t, aead.AES256GCMKeyTemplate())
	peppers := manager(t, prf.HMACSHA256PRFKeyTemplate())
	old := ring(t, boxes, peppers)
	oldBox, oldDigest := seal(t, old, "old"), digests(t, old)[0]

	first := handleOf(t, boxes)
	add(t, boxes, aead.AES256GCMKeyTemplate())
	add(t, peppers, prf.HMACSHA256PRFKeyTemplate())
	both := ring(t, boxes, peppers)
	opens(t, both, oldBox, "old")
	newBox := seal(t, both, "new")
	opens(t, both, newBox, "new")
	if both.Primary() == old.Primary() {
		t.Error("the primary's name did not change")
	}
	if got := digests(t, both); len(got) != 2 || got[1] != oldDigest {
		t.Errorf("the old pepper's digest is not the second of %d", len(got))
	}
	if _, err := old.Open(t.Context(), newBox, "label"); !errors.Is(err, fault.Internal) {
		t.Errorf("a ring without the key: %v", err)
	}
	entry, err := first.Primary()
	if err := errors.Join(err, boxes.Disable(entry.KeyID())); err != nil {
		t.Fatal(err)
	}
	if _, err := ring(t, boxes, peppers).Open(t.Context(), oldBox, "label"); !errors.Is(err, fault.Internal) {
		t.Errorf("a ring with the key disabled: %v", err)
	}
}

func TestDigestsGoFromTheNewestPepper(t *testing.T) {
	boxes := manager(t, aead.AES256GCMKeyTemplate())
	peppers := manager(t, prf.HMACSHA256PRFKeyTemplate())
	var newestFirst []string
	for range 4 {
		newestFirst = slices.Insert(newestFirst, 0, digests(t, ring(t, boxes, peppers))[0])
		add(t, peppers, prf.HMACSHA256PRFKeyTemplate())
	}
	if got := digests(t, ring(t, boxes, peppers))[1:]; !slices.Equal(got, newestFirst) {
		t.Errorf("got %d digests in another order", len(got))
	}
}

func manager(t *testing.T, template *tinkpb.KeyTemplate) *keyset.Manager {
	t.Helper()
	m := keyset.NewManager()
	add(t, m, template)
	return m
}

// add puts a new primary into the keyset.
func add(t *testing.T, m *keyset.Manager, template *tinkpb.KeyTemplate) {
	t.Helper()
	id, err := m.Add(template)
	if err := errors.Join(err, m.SetPrimary(id)); err != nil {
		t.Fatal(err)
	}
}

func handleOf(t *testing.T, m *keyset.Manager) *keyset.Handle {
	t.Helper()
	h, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ring writes the two keysets to a file and opens it.
func ring(t *testing.T, boxes, peppers *keyset.Manager) *Ring {
	t.Helper()
	f, err := fileOf(handleOf(t, boxes), handleOf(t, peppers))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	text := fmt.Sprintf(`{"version":1,"aead":%s,"prf":%s}`, f.Boxes, f.Peppers)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func open(t *testing.T, path string) *Ring {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seal(t *testing.T, r *Ring, plain string) secret.Box {
	t.Helper()
	box, err := r.Seal(t.Context(), secret.New(plain), "label")
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func opens(t *testing.T, r *Ring, box secret.Box, want string) {
	t.Helper()
	got, err := r.Open(t.Context(), box, "label")
	if err != nil || got.Reveal() != want {
		t.Errorf("the box of %q does not open: %v", want, err)
	}
}

func digests(t *testing.T, r *Ring) []string {
	t.Helper()
	all, err := r.Digests(t.Context(), secret.New("value"), "label")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// leaksNot looks for pieces of key material in what was said.
func leaksNot(t *testing.T, name, said string, keysets ...string) {
	t.Helper()
	for _, k := range keysets {
		var set struct {
			Key []struct {
				KeyData struct{ Value string }
			}
		}
		if err := json.Unmarshal([]byte(k), &set); err != nil || len(set.Key) != 1 || len(set.Key[0].KeyData.Value) < 20 {
			t.Fatalf("the keyset's value was not found: %v", err)
		}
		value := set.Key[0].KeyData.Value
		if strings.Contains(said, value[:12]) || strings.Contains(said, value[len(value)-12:]) {
			t.Errorf("%s: key material in an error", name)
		}
	}
}
