package wiring_test

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"perch/adapters/cloudflare"
	"perch/adapters/redis"
	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/secret"
	"perch/ports/conformance/workerd"
)

// leftApart is what a house leaves in Workers KV and in Redis.
func leftApart(t *testing.T, h *house) papers {
	t.Helper()
	all := papers{}
	kind, place := config.Backend(h.cfg.Vault)
	if kind != config.KV {
		return all
	}
	account, id := config.InKV(place)
	client, err := cloudflare.NewClient(cloudflare.Config{
		URL: h.cfg.Cloudflare.URL, Account: account, Token: h.cfg.Cloudflare.Token,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var keys []struct{ Name string }
	path := "/storage/kv/namespaces/" + id
	if err := client.Ask(t.Context(), cloudflare.Call{Method: "GET", Path: path + "/keys"}, &keys, nil); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	body, err := json.Marshal(object{"keys": names})
	if err != nil {
		t.Fatal(err)
	}
	var values json.RawMessage
	call := cloudflare.Call{Method: "POST", Path: path + "/bulk/get", Body: body}
	if err := client.Ask(t.Context(), call, &values, nil); err != nil {
		t.Fatal(err)
	}
	all["perch.db in KV"] = append(values, body...)
	if kind, _ := config.Backend(h.cfg.Leases); kind == config.Redis {
		all["perch.db in Redis"] = leftInRedis(t, h.cfg.Leases)
	}
	return all
}

func leftInRedis(t *testing.T, url string) (all []byte) {
	t.Helper()
	r, err := redis.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	heads, err := r.Heads().List(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, head := range heads {
		all = append(all, head.ID+"\n"+head.Body+"\n"...)
	}
	return all
}

// A second machine that also says it is the only writer is refused, and so is one
// that has lost its heads.
func TestASecondSingleWriterIsRefused(t *testing.T) {
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	place := workerd.KV(t)
	start := func() error {
		t.Chdir(t.TempDir()) // another machine
		cfg := settings(t, environment{"kv", func(_ testing.TB, dir string, cfg *config.Config) {
			cfg.Store = "sqlite:" + filepath.Join(dir, "perch.db")
			cfg.Vault = "kv:" + place.Account + "/" + place.ID
			cfg.SingleWriter = true
			cfg.Cloudflare.URL, cfg.Cloudflare.Token = place.URL, secret.New(place.Token)
		}}, at)
		if cfg.Leases != config.DefaultLeases {
			t.Fatalf("the heads are in %s", cfg.Leases)
		}
		cfg.PublicURL = "http://127.0.0.1:8080"
		for range 2 { // a restart is no second one
			_, end, err := wiring.Serve(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			end()
		}
		return nil
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "other heads than those in this store") {
		t.Errorf("the second one: %v", err)
	}
}
