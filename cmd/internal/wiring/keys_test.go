package wiring_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

func TestKeysThatDoNotFitTheStoreAreRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{
		Listen: "127.0.0.1:8080", Store: "sqlite:" + filepath.Join(dir, "perch.db"),
		KeysetFile: filepath.Join(dir, "keys.json"),
		X:          config.X{ClientID: "x", APIURL: "http://127.0.0.1:1", AuthorizeURL: "http://127.0.0.1:1"},
	}.Settled()
	start := func() error {
		_, end, err := wiring.Serve(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
		if err == nil {
			end()
		}
		return err
	}
	for range 2 {
		if err := start(); err != nil {
			t.Fatal(err)
		}
	}
	kept := cfg.KeysetFile + ".kept"
	if err := os.Rename(cfg.KeysetFile, kept); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), cfg.KeysetFile+" is missing") {
		t.Errorf("without its keys: %v", err)
	}
	if _, err := os.Stat(cfg.KeysetFile); err == nil {
		t.Error("new keys were made beside a store that has some")
	}
	if err := keyring.Generate(cfg.KeysetFile); err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`\b[0-9a-f]{8}\b`) // of keys, which may spell anything
	if err := start(); err == nil || !strings.Contains(err.Error(), cfg.KeysetFile) ||
		!strings.Contains(err.Error(), "with which the signing key") ||
		strings.Contains(ids.ReplaceAllString(err.Error(), ""), "aead") {
		t.Errorf("with other keys: %v", err)
	}
	if err := os.Rename(kept, cfg.KeysetFile); err != nil {
		t.Fatal(err)
	}
	if err := start(); err != nil {
		t.Errorf("with its keys back: %v", err)
	}
}

// A copy of the keyset from before a rotation opens what is old, and that alone.
func TestAKeysetFromBeforeARotationIsRefused(t *testing.T) {
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	cfg := settings(t, environments()[1], at)
	h := open(t, cfg)
	app := h.register(t, pageA, "")
	h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
	h.leave()
	before, err := os.ReadFile(cfg.KeysetFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Rotate(cfg.KeysetFile); err != nil {
		t.Fatal(err)
	}
	h = open(t, cfg)
	h.adopt(t, app, grace, issue(t, x, "sim-client", grace), time.Now().Add(time.Hour))
	h.leave()
	if err := os.WriteFile(cfg.KeysetFile, before, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.PublicURL = "http://127.0.0.1"
	_, end, err := wiring.Serve(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	if err == nil {
		end()
	}
	if err == nil || !strings.Contains(err.Error(), "lacks the key") {
		t.Errorf("with an older copy of its keys: %v", err)
	}
}

func TestAnotherXAppUnderTheSameNameIsRefusedAtStart(t *testing.T) {
	everywhere(t, func(t *testing.T, e environment) {
		if e.name == "memory" {
			return // nothing outlives the house
		}
		x := xsim.New(xsim.Options{})
		at, _ := serveX(t, x)
		cfg := settings(t, e, at)
		h := open(t, cfg)
		app := h.register(t, pageA, "")
		h.leave()

		other := cfg
		other.X.ClientID = "another"
		h = open(t, other) // no grant yet: a mistake that can be mended
		h.leave()
		h = open(t, cfg)
		h.adopt(t, app, ada, issue(t, x, "sim-client", ada), time.Now().Add(time.Hour))
		if list := h.operator(t, 200, "GET", "/admin/v1/xapps", nil).body; strings.Count(list, `"default"`) != 1 {
			t.Errorf("X Apps are %s", list)
		}
		h.leave()
		other.PublicURL = "http://127.0.0.1"
		_, end, err := wiring.Serve(t.Context(), other, "test", slog.New(slog.DiscardHandler))
		if err == nil {
			end()
		}
		if err == nil || !strings.Contains(err.Error(), `"sim-client"`) {
			t.Errorf("with grants of another X App: %v", err)
		}
	})
}
