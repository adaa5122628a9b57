package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoVerbShowsASecret runs every verb that reads settings, stores or keys, well
// and badly, with a mark in every secret that it is given or that is sealed there.
func TestNoVerbShowsASecret(t *testing.T) {
	s := stopAt(t, "sqlite")
	s.settle(t, 25)
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "token")
	if err := os.WriteFile(secretFile, []byte(marked+"-of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.more = append(s.more, "PERCH_X_CLIENT_ID=X1", "PERCH_X_CLIENT_SECRET="+marked+"-client", "PERCH_X_BEARER="+marked+"-bearer",
		"PERCH_X_API_URL=http://127.0.0.1:1", "PERCH_ADMIN_TOKEN="+marked+"-operator-0123456789", "PERCH_LOG_LEVEL=debug",
		"PERCH_CLOUDFLARE_TOKEN="+marked+"-cloudflare", "PERCH_JOURNAL="+filepath.Join(dir, "journal"))
	said := 0
	for _, args := range []string{
		"doctor", "doctor --json", "keyset list", "keyset rotate", "keyset reseal", "keyset list", "migrate", "backup " + filepath.Join(dir, "copy.db"),
		"keyset recipient " + filepath.Join(dir, "to"), "grants export --to=" + filepath.Join(dir, "to.pub"),
		"grants export --to=" + secretFile, "serve --listen=nowhere", "serve --store=postgres://u:" + marked + "@127.0.0.1:1/x --listen=127.0.0.1:0",
		"serve --store=d1:a/" + marked + "?x", "doctor --store=postgres://u:" + marked + "@127.0.0.1:1/x", "migrate --store=postgres://u:" + marked + "@127.0.0.1:1/x",
		"doctor --quota=redis://u:" + marked + "@127.0.0.1:1", "apps list", "keys list --app=app_1", "grants list", "operators list",
		"apps list --server=http://127.0.0.1:1", "apps list --admin-token-file=" + secretFile, "xapps add n --client-id=c --client-secret-file=" + secretFile,
		"version", "grants import --app=app_1 " + secretFile, "restore " + secretFile,
	} {
		r := s.perch(t, strings.Fields(args)...)
		text := r.out.String() + r.err.String()
		said += len(text)
		hidden(t, "perch "+args, []byte(text))
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == secretFile {
			return err
		}
		text, err := os.ReadFile(path)
		hidden(t, path, text)
		return err
	})
	if err != nil || said < 2000 {
		t.Errorf("%d bytes were said: %v", said, err)
	}
	if shows([]byte(strings.Join(s.environ(), "\n"))) == "" { // the search finds what is there
		t.Error("a secret of the settings is not found where it stands")
	}
}
