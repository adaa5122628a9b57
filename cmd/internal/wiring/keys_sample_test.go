package wiring_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"perch/adapters/sqlstore"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/oauth"
	"perch/domain/user"
)

func TestAForeignKeyIsNoticedByAnyGrantThatStillHasATokenToOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "perch.db")
	cfg := config.Config{
		Listen: "127.0.0.1:8080", Store: "memory:", Vault: "sqlite:" + file, KeysetFile: file + ".keys",
		X: config.X{ClientID: "x", APIURL: "http://127.0.0.1:1", AuthorizeURL: "http://127.0.0.1:1"},
	}.Settled()
	start := func() (func(), error) {
		_, end, err := wiring.Serve(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
		return end, err
	}
	end, err := start()
	if err != nil {
		t.Fatal(err)
	}
	end()
	store, err := sqlstore.Open(t.Context(), cfg.Vault)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range []oauth.Grant{{State: oauth.Revoked}, {State: oauth.Revoked}, {State: oauth.Active, Refresh: "sealed"}} {
		g.ID, g.App, g.User.ID = oauth.GrantID(fmt.Sprintf("grant_%d", i)), "app_1", user.ID(strconv.Itoa(i))
		if _, err := store.Vault().Create(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := start(); err == nil || !strings.Contains(err.Error(), "does not open the grant grant_2") {
		t.Errorf("with a token that does not open: %v", err)
	}
}
