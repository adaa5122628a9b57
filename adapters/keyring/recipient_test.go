package keyring

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"perch/domain/fault"
)

// pair makes a new pair and returns both halves and where they are.
func pair(t *testing.T) (Recipient, RecipientKey, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recipient")
	id, err := GenerateRecipient(path)
	if err != nil {
		t.Fatal(err)
	}
	to, err := OpenRecipient(path + PublicSuffix)
	if err != nil {
		t.Fatal(err)
	}
	key, err := OpenRecipientKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if id == "" || to.ID != id || key.ID != id {
		t.Fatalf("the pair %q has the halves %q and %q", id, to.ID, key.ID)
	}
	return to, key, path
}

func TestAPairIsMadeOnce(t *testing.T) {
	_, _, path := pair(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, there := range []string{path, path + PublicSuffix} {
		if _, err := GenerateRecipient(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), there) {
			t.Errorf("with %s there: got %v", there, err)
		}
		if err := os.Rename(path, path+".kept"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if after, err := os.ReadFile(path + ".kept"); err != nil || string(after) != string(before) {
		t.Errorf("the private half changed: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pair that is not made leaves a half behind: %v", err)
	}
}

func TestHalvesAreNotMistakenForEachOther(t *testing.T) {
	_, _, path := pair(t)
	public := path + PublicSuffix
	for name, mode := range map[string]fs.FileMode{path: 0o600, public: 0o644} {
		if stat, err := os.Stat(name); err != nil || stat.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, %v; want %v", name, stat.Mode(), err, mode)
		}
	}
	text, err := os.ReadFile(public)
	if err != nil || strings.Contains(string(text), "PRIVATE") {
		t.Errorf("the public half holds a private key: %v", err)
	}
	if _, err := OpenRecipient(path); err == nil || !strings.Contains(err.Error(), "name the public one, recipient.pub") {
		t.Errorf("the private half as the public one: %v", err)
	}
	if _, err := OpenRecipientKey(public); err == nil || !strings.Contains(err.Error(), "name the private one") {
		t.Errorf("the public half as the private one: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRecipientKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a private half that others may read: %v", err)
	}
}

func TestWhatIsNoPair(t *testing.T) {
	ring := filepath.Join(t.TempDir(), "ring")
	if err := Generate(ring); err != nil {
		t.Fatal(err)
	}
	canary := `{"version":1,"recipient_private":{"primaryKeyId":1,"key":"CANARY"}}`
	for name, text := range map[string]string{
		"nothing": "", "another file": "CANARY", "half a form": `{"version":1}`, "no keyset": canary,
		"two halves":   `{"version":1,"recipient_private":{},"recipient_public":{}}`,
		"a later form": strings.Replace(canary, "1", "2", 1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, private := OpenRecipientKey(path)
			_, public := OpenRecipient(path)
			for _, err := range []error{private, public} {
				if !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), "CANARY") {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	if _, err := OpenRecipientKey(ring); !errors.Is(err, fault.Invalid) {
		t.Errorf("a keyring: %v", err)
	}
	if _, err := OpenRecipientKey(ring + "-away"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
