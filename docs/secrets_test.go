package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// secretForms are how the secrets of a real Perch read: keys, refresh tokens,
// signed tokens, private keys, keysets.
var secretForms = regexp.MustCompile(`\bsk_[A-Z2-7]{26}\b|\brt_ses_[a-z2-7]{26}|\bsim_(access|refresh|code)_[A-Za-z0-9]{20,}|` +
	`\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{40,}|-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}|"primaryKeyId"\s*:\s*[1-9][0-9]{4,}`)

// invented is in what tests make up in place of a secret.
var invented = regexp.MustCompile(`ABCDEFGH|AAAAAAAA`)

// TestNoSecretIsCommitted looks into every file of the tree, samples and corpora
// included.
func TestNoSecretIsCommitted(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".cache", "node_modules", "bin", ".wrangler":
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, found := range secretForms.FindAllString(string(text), -1) {
			if !invented.MatchString(found) {
				t.Errorf("%s holds what reads like a secret, at %.12q", path, found)
			}
		}
		return nil
	})
	if err != nil || files < 500 {
		t.Fatalf("read %d files: %v", files, err)
	}
}

func TestSecretsAreKnownByTheirForm(t *testing.T) {
	for _, secret := range []string{
		"sk_" + strings.Repeat("B", 26), "rt_ses_" + strings.Repeat("a", 26), "sim_refresh_" + strings.Repeat("x", 20),
		"eyJ" + strings.Repeat("a", 20) + ".eyJ" + strings.Repeat("b", 20) + "." + strings.Repeat("c", 43), `{"primaryKeyId":` + "1234567890}",
		"-----BEGIN EC PRIVATE KEY-----\n" + strings.Repeat("M", 64),
	} {
		if !secretForms.MatchString("x: " + secret) {
			t.Errorf("%.12s… is not known", secret)
		}
	}
}
