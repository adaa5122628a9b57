package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/cmd/internal/config"
	"perch/domain/secret"
)

var plain = cmp.Transformer("reveal", func(t secret.Text) string { return t.Reveal() })

func TestDefaults(t *testing.T) {
	got, err := load(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Listen: "127.0.0.1:8080", AdminListen: "127.0.0.1:8081", PublicURL: "http://127.0.0.1:8080",
		Store: "sqlite:./perch.db", Vault: "sqlite:./perch.db", Registry: "sqlite:./perch.db", Quota: "sqlite:./perch.db",
		QuotaMode: "exact", QuotaDown: "closed",
		MaxConnections: 10000, MaxConnectionsPerAddress: 1000,
		KeysetFile: "./perch.keyset.json", Journal: "./perch.journal",
		Cloudflare:  config.Cloudflare{URL: "https://api.cloudflare.com/client/v4"},
		X:           config.X{APIURL: "https://api.x.com", AuthorizeURL: "https://x.com/i/oauth2/authorize"},
		ClientLimit: 6000, LogLevel: "info", LogFormat: "json", ShutdownGrace: 30 * time.Second,
	}
	if diff := cmp.Diff(want, got, plain); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestWhereSettingsComeFrom(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		args []string
		pick func(config.Config) string
		want string
	}{
		{"a variable", []string{"PERCH_LISTEN=127.0.0.1:1"}, nil,
			func(c config.Config) string { return c.Listen }, "127.0.0.1:1"},
		{"a flag wins", []string{"PERCH_LISTEN=127.0.0.1:1"}, []string{"--listen=127.0.0.1:2"},
			func(c config.Config) string { return c.Listen }, "127.0.0.1:2"},
		{"a flag wins over a mistaken variable's default", []string{"PERCH_SHUTDOWN_GRACE=5m"}, nil,
			func(c config.Config) string { return c.ShutdownGrace.String() }, "5m0s"},
		{"the public URL follows", nil, []string{"--listen=127.0.0.1:9"},
			func(c config.Config) string { return c.PublicURL }, "http://127.0.0.1:9"},
		{"the public URL waits for the port", nil, []string{"--listen=127.0.0.1:0"},
			func(c config.Config) string { return c.PublicURL }, ""},
		{"the public URL follows TLS", []string{"PERCH_TLS_CERT_FILE=c", "PERCH_TLS_KEY_FILE=k"}, nil,
			func(c config.Config) string { return c.PublicURL }, "https://127.0.0.1:8080"},
		{"an empty variable is not set", []string{"PERCH_STORE="}, nil,
			func(c config.Config) string { return c.Store }, "sqlite:./perch.db"},
		{"operators: an empty variable is off", []string{"PERCH_ADMIN_LISTEN="}, nil,
			func(c config.Config) string { return c.AdminListen }, ""},
		{"operators: off", []string{"PERCH_ADMIN_LISTEN=off"}, nil,
			func(c config.Config) string { return c.AdminListen }, ""},
		{"the founding token is off", []string{"PERCH_ADMIN_TOKEN=off"}, nil,
			func(c config.Config) string {
				return fmt.Sprintln(c.AdminTokenOff, c.AdminToken.Empty(), value(c, "PERCH_ADMIN_TOKEN"))
			}, "true true off\n"},
		{"the founding token is on", []string{"PERCH_ADMIN_TOKEN=01234567890123456789"}, nil,
			func(c config.Config) string {
				return fmt.Sprintln(c.AdminTokenOff, c.AdminToken.Empty(), value(c, "PERCH_ADMIN_TOKEN"))
			}, "false false [secret]\n"},
		{"memory alone needs no key file", []string{"PERCH_STORE=memory:"}, nil,
			func(c config.Config) string { return c.KeysetFile }, ""},
		{"a vault that stays needs one", []string{"PERCH_STORE=memory:", "PERCH_VAULT=sqlite:v.db"}, nil,
			func(c config.Config) string { return c.KeysetFile }, "./perch.keyset.json"},
		{"a key file for memory", []string{"PERCH_STORE=memory:", "PERCH_KEYSET_FILE=k"}, nil,
			func(c config.Config) string { return c.KeysetFile }, "k"},
		{"memory alone needs no journal", []string{"PERCH_STORE=memory:"}, nil,
			func(c config.Config) string { return c.Journal }, "off"},
		{"a vault that stays has one", []string{"PERCH_STORE=memory:", "PERCH_VAULT=sqlite:v.db"}, nil,
			func(c config.Config) string { return c.Journal }, "./perch.journal"},
		{"a vault that stays, and no disk that does", []string{"PERCH_JOURNAL=off"}, nil,
			func(c config.Config) string { return c.Journal }, "off"},
		{"X", []string{"PERCH_X_CLIENT_ID=abc"}, nil,
			func(c config.Config) string { return c.X.ClientID }, "abc"},
		{"a secret", []string{"PERCH_X_BEARER=canary"}, nil,
			func(c config.Config) string { return c.X.Bearer.Reveal() }, "canary"},
		{"the callback", []string{"PERCH_PUBLIC_URL=https://perch.example"}, nil,
			config.Config.Callback, "https://perch.example/oauth/callback"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := load(c.env, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if c.pick(got) != c.want {
				t.Errorf("got %q, want %q", c.pick(got), c.want)
			}
		})
	}
}

// value is what is shown of the setting.
func value(c config.Config, variable string) string {
	for _, s := range c.Show() {
		if s.Variable == variable {
			return s.Value
		}
	}
	return ""
}

func TestSecretsFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, empty, two := write("good", "canary-1\n"), write("empty", "\n"), write("two", "canary-2\n\n")

	got, err := load([]string{"PERCH_X_CLIENT_ID=a", "PERCH_X_CLIENT_SECRET_FILE=" + good})
	if err != nil || got.X.ClientSecret.Reveal() != "canary-1" {
		t.Errorf("from a file: got %q, %v", got.X.ClientSecret.Reveal(), err)
	}
	for _, c := range []struct{ name, env, say string }{
		{"empty", "PERCH_X_BEARER_FILE=" + empty, "PERCH_X_BEARER_FILE names " + empty + ", which is empty"},
		{"two line breaks", "PERCH_X_BEARER_FILE=" + two, "PERCH_X_BEARER_FILE names " + two + ", which holds a space, a line break"},
		{"absent", "PERCH_X_BEARER_FILE=" + filepath.Join(dir, "none"), "PERCH_X_BEARER_FILE cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load([]string{c.env})
			if err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %v, want %q", err, c.say)
			}
		})
	}
	_, err = load([]string{"PERCH_X_BEARER=canary-3", "PERCH_X_BEARER_FILE=" + good})
	if err == nil || !strings.Contains(err.Error(), "both given") || strings.Contains(err.Error(), "canary") {
		t.Errorf("both: got %v", err)
	}
}

func TestUnknown(t *testing.T) {
	source := config.From([]string{
		"PERCH_LISTN=x", "PERCH_LISTEN=127.0.0.1:0", "PERCH_X_CLIENT_SECRET=s", "PERCH_VERIFIED=f",
		"PERCH_SOMETHING_ELSE_ALTOGETHER=1", "PATH=/bin",
	})
	if err := parse(source, &config.Config{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PERCH_LISTN is no setting of Perch and is ignored; did you mean PERCH_LISTEN?",
		"PERCH_SOMETHING_ELSE_ALTOGETHER is no setting of Perch and is ignored",
	}
	if diff := cmp.Diff(want, source.Unknown("PERCH_VERIFIED")); diff != "" {
		t.Errorf("unknown variables (-want +got):\n%s", diff)
	}
}

func TestShowHidesSecretsAndForgetsNoSetting(t *testing.T) {
	got, err := load([]string{
		"PERCH_ADMIN_TOKEN=canary-canary-canary", "PERCH_X_CLIENT_ID=id", "PERCH_X_CLIENT_SECRET=canary",
		"PERCH_X_BEARER=canary", "PERCH_X_API_KEY=canary", "PERCH_X_API_SECRET=canary", "PERCH_CLOUDFLARE_TOKEN=canary",
	})
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, s := range got.Show() {
		shown[s.Variable] = true
		if strings.Contains(s.Value, "canary") {
			t.Errorf("%s shows its secret", s.Variable)
		}
	}
	source := config.From(nil)
	if err := parse(source, &config.Config{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range source.Known() {
		if !shown[name] && !shown[strings.TrimSuffix(name, "_FILE")] {
			t.Errorf("%s is not shown", name)
		}
	}
	if printed := fmt.Sprintf("%+v %#v", got, got); strings.Contains(printed, "canary-") {
		t.Error("printing the settings shows a secret")
	}
}

func TestUnknownFlagIsNoMistakeOfSettings(t *testing.T) {
	_, err := load(nil, "--no-such-flag")
	if _, mistakes := errors.AsType[config.Mistakes](err); err == nil || mistakes {
		t.Errorf("got %v, want kong's own error", err)
	}
}
