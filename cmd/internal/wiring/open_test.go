package wiring_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

func TestOpenMakesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "perch.db")
	open := func(store, vault string) error {
		_, shut, err := wiring.Open(t.Context(), config.Config{Store: store, Vault: vault}.Settled(), slog.New(slog.DiscardHandler))
		if err == nil {
			shut()
		}
		return err
	}
	if err := open("sqlite:"+file, ""); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a store that is not there: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a store was made")
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open("sqlite:"+file, ""); err == nil || !strings.Contains(err.Error(), "run perch migrate") {
		t.Errorf("a store without its schema: %v", err)
	}
	if _, err := wiring.Migrate(t.Context(), config.Config{Store: "sqlite:" + file}.Settled(), false); err != nil {
		t.Fatal(err)
	}
	if err := open("sqlite:"+file, ""); err != nil {
		t.Errorf("a store that is up to date: %v", err)
	}
	for _, memory := range [][2]string{{"memory:", ""}, {"memory:", "sqlite:" + file}, {"sqlite:" + file, "memory:"}} {
		if err := open(memory[0], memory[1]); err == nil || !strings.Contains(err.Error(), "in memory") {
			t.Errorf("%v: %v", memory, err)
		}
	}
}
