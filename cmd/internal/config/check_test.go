package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"perch/cmd/internal/config"
)

func parse(source *config.Source, c *config.Config, args ...string) error {
	parser, err := kong.New(c, source.Options()...)
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	return err
}

// load returns the settings that the variables and flags give, as perch does.
func load(environ []string, args ...string) (config.Config, error) {
	var c config.Config
	source := config.From(environ)
	if err := parse(source, &c, args...); err != nil {
		return config.Config{}, err
	}
	if mistakes := source.Settle(&c); len(mistakes) > 0 {
		return c, mistakes
	}
	return c, nil
}

const inD1 = "d1:023e105f4ecef8ad9ca31a8372d0c353/11111111-2222-4333-8444-555555555555"

const (
	behind = "PERCH_TRUSTED_PROXIES=10.0.0.5 "
	inTLS  = "PERCH_TLS_CERT_FILE=c PERCH_TLS_KEY_FILE=k "
)

const (
	inKV      = "kv:023e105f4ecef8ad9ca31a8372d0c353/0123456789abcdef0123456789abcdef"
	inKVToken = "PERCH_CLOUDFLARE_TOKEN=canary "
)

func TestEachMistake(t *testing.T) {
	for _, c := range []struct {
		env      string // separated by spaces
		variable string
		say      string
	}{
		{"PERCH_LISTEN=8080", "PERCH_LISTEN", "no address"},
		{"PERCH_LISTEN=127.0.0.1:http", "PERCH_LISTEN", "ports are numbers"},
		{"PERCH_LISTEN=127.0.0.1:080", "PERCH_LISTEN", "ports are numbers"},
		{"PERCH_ADMIN_LISTEN=nowhere", "PERCH_ADMIN_LISTEN", "no address"},
		{"PERCH_ADMIN_LISTEN=127.0.0.1:8080", "PERCH_ADMIN_LISTEN", "the same address"},
		{inTLS + "PERCH_LISTEN=127.0.0.1:8080 PERCH_ADMIN_LISTEN=0.0.0.0:8080", "PERCH_ADMIN_LISTEN", "the same address"},
		{behind + "PERCH_LISTEN=0.0.0.0:8080", "PERCH_PUBLIC_URL", "must be set"},
		{behind + "PERCH_LISTEN=:8080", "PERCH_PUBLIC_URL", "must be set"},
		{inTLS + "PERCH_LISTEN=:8443", "PERCH_PUBLIC_URL", "must be set"},
		{behind + "PERCH_LISTEN=192.0.2.1:8080", "PERCH_PUBLIC_URL", "uses http"},
		{"PERCH_LISTEN=192.0.2.1:8080", "PERCH_LISTEN", "spoken to in the open; set PERCH_TLS_CERT_FILE"},
		{"PERCH_LISTEN=0.0.0.0:8080 PERCH_PUBLIC_URL=https://perch.example", "PERCH_LISTEN", "or PERCH_TRUSTED_PROXIES"},
		{behind + "PERCH_ADMIN_LISTEN=10.0.0.7:8081", "PERCH_ADMIN_LISTEN", "PERCH_TLS_KEY_FILE, or listen on 127.0.0.1"},
		{"PERCH_ADMIN_LISTEN=:8081", "PERCH_ADMIN_LISTEN", "or listen on 127.0.0.1"},
		{"PERCH_TLS_CERT_FILE=c", "PERCH_TLS_KEY_FILE", "come together"},
		{"PERCH_TLS_KEY_FILE=k PERCH_LISTEN=:8080 PERCH_PUBLIC_URL=https://perch.example", "PERCH_TLS_CERT_FILE", "come together"},
		{inTLS + "PERCH_PUBLIC_URL=http://127.0.0.1:8080", "PERCH_PUBLIC_URL", "though Perch speaks TLS"},
		{"PERCH_MAX_CONNECTIONS=0", "PERCH_MAX_CONNECTIONS", "less than 1"},
		{"PERCH_MAX_CONNECTIONS=many", "PERCH_MAX_CONNECTIONS", "a value like 10000"},
		{"PERCH_MAX_CONNECTIONS_PER_ADDRESS=-1", "PERCH_MAX_CONNECTIONS_PER_ADDRESS", "negative"},
		{"PERCH_PUBLIC_URL=perch.example", "PERCH_PUBLIC_URL", "no absolute URL"},
		{"PERCH_PUBLIC_URL=http://perch.example", "PERCH_PUBLIC_URL", "uses http"},
		{"PERCH_PUBLIC_URL=https://perch.example/", "PERCH_PUBLIC_URL", "without a slash"},
		{"PERCH_PUBLIC_URL=https://perch.example/api", "PERCH_PUBLIC_URL", "has the path"},
		{"PERCH_PUBLIC_URL=https://a:b@perch.example", "PERCH_PUBLIC_URL", "no user"},
		{"PERCH_PUBLIC_URL=https://perch.example?", "PERCH_PUBLIC_URL", "no user"},
		{"PERCH_TRUSTED_PROXIES=10.0.0.0/8,proxy", "PERCH_TRUSTED_PROXIES", "no address and no network"},
		{"PERCH_TRUSTED_PROXIES=10.0.0.5;10.0.0.6", "PERCH_TRUSTED_PROXIES", "no address and no network"},
		{"PERCH_TRUSTED_PROXIES=fe80::1%eth0", "PERCH_TRUSTED_PROXIES", "no address and no network"},
		{"PERCH_TRUSTED_PROXIES=10.0.0.5/8", "PERCH_TRUSTED_PROXIES", "the network 10.0.0.0/8"},
		{"PERCH_TRUSTED_PROXIES=0.0.0.0/0", "PERCH_TRUSTED_PROXIES", "everybody"},
		{"PERCH_TRUSTED_PROXIES=::/0", "PERCH_TRUSTED_PROXIES", "everybody"},
		{"PERCH_TRUSTED_PROXIES=10.0.0.5,128.0.0.0/1", "PERCH_TRUSTED_PROXIES", "everybody"},
		{"PERCH_TRUSTED_PROXIES=10.0.0.0/7", "PERCH_TRUSTED_PROXIES", "wider than /8"},
		{"PERCH_TRUSTED_PROXIES=2000::/15", "PERCH_TRUSTED_PROXIES", "wider than /8, of IPv6 wider than /16"},
		{"PERCH_TRUSTED_PROXIES=::ffff:10.0.0.0/104", "PERCH_TRUSTED_PROXIES", "as IPv4"},
		{"PERCH_STORE=mysql://root:canary@db", "PERCH_STORE", "known are memory:, sqlite:PATH, postgres://"},
		{"PERCH_STORE=perch.db", "PERCH_STORE", "no kind of store"},
		{"PERCH_STORE=sqlite:", "PERCH_STORE", "without a file"},
		{"PERCH_STORE=sqlite::memory:", "PERCH_STORE", "without a file"},
		{"PERCH_STORE=memory:x", "PERCH_STORE", "write memory: alone"},
		{"PERCH_STORE=postgres:perch", "PERCH_STORE", "cannot be read"},
		{"PERCH_STORE=postgres://u:canary#x@db/perch", "PERCH_STORE", "%-escapes"},
		{"PERCH_STORE=postgresql://u:canary/x@db/perch", "PERCH_STORE", "%-escapes"},
		{"PERCH_STORE=postgres://u:canary@db/perch?sslmode=prefer", "PERCH_STORE", "whether TLS is used"},
		{"PERCH_STORE=postgres://u:canary@db/perch?sslmode=verify-full&sslmode=disable", "PERCH_STORE", "whether TLS is used"},
		{"PERCH_CLOUDFLARE_TOKEN=canary PERCH_STORE=d1:", "PERCH_STORE", "write d1:ACCOUNT/DATABASE"},
		{"PERCH_CLOUDFLARE_TOKEN=canary PERCH_VAULT=d1:me/perch", "PERCH_VAULT", "write d1:ACCOUNT/DATABASE"},
		{"PERCH_CLOUDFLARE_TOKEN=canary PERCH_QUOTA=" + inD1 + "/x", "PERCH_QUOTA", "write d1:ACCOUNT/DATABASE"},
		{"PERCH_STORE=" + inD1, "PERCH_CLOUDFLARE_TOKEN", "may edit D1"},
		{"PERCH_CLOUDFLARE_TOKEN=canary PERCH_CLOUDFLARE_URL=store PERCH_QUOTA=" + inD1, "PERCH_CLOUDFLARE_URL", "no absolute URL"},
		{"PERCH_CLOUDFLARE_TOKEN=canary PERCH_CLOUDFLARE_URL=http://h/client/v4 PERCH_STORE=" + inD1, "PERCH_CLOUDFLARE_URL", "in the open"},
		{"PERCH_CLOUDFLARE_TOKEN=canary PERCH_CLOUDFLARE_URL=https://a:canary@h/client/v4 PERCH_STORE=" + inD1, "PERCH_CLOUDFLARE_URL", "no user"},
		{"PERCH_CLOUDFLARE_TOKEN=canary PERCH_CLOUDFLARE_URL=https://h PERCH_STORE=" + inD1, "PERCH_CLOUDFLARE_URL", "end in /client/v4"},
		{"PERCH_MIGRATE=perhaps", "PERCH_MIGRATE", "true or false"},
		{"PERCH_VAULT=tape:", "PERCH_VAULT", "unknown"},
		{"PERCH_QUOTA=redis:canary", "PERCH_QUOTA", "cannot be read"},
		{"PERCH_QUOTA=rediss://u:canary#x@h", "PERCH_QUOTA", "%-escapes"},
		{"PERCH_QUOTA_MODE=fast", "PERCH_QUOTA_MODE", "use exact or block"},
		{"PERCH_QUOTA_DOWN=ajar", "PERCH_QUOTA_DOWN", "use closed or open"},
		{"PERCH_STORE=unix:///run/redis.sock", "PERCH_STORE", "keeps only PERCH_LEASES and PERCH_QUOTA"},
		{inKVToken + "PERCH_STORE=" + inKV, "PERCH_STORE", "can only hold grants and the registry"},
		{inKVToken + "PERCH_QUOTA=" + inKV, "PERCH_QUOTA", "can only hold grants and the registry"},
		{inKVToken + "PERCH_VAULT=kv:perch PERCH_SINGLE_WRITER=true", "PERCH_VAULT", "write kv:ACCOUNT/NAMESPACE"},
		{inKVToken + "PERCH_REGISTRY=kv: PERCH_SINGLE_WRITER=true", "PERCH_REGISTRY", "write kv:ACCOUNT/NAMESPACE"},
		{inKVToken + "PERCH_VAULT=" + inKV, "PERCH_LEASES", "ends the user's grant. Name a store that can"},
		{inKVToken + "PERCH_REGISTRY=" + inKV, "PERCH_LEASES", "or set PERCH_SINGLE_WRITER=true"},
		{inKVToken + "PERCH_VAULT=" + inKV + " PERCH_LEASES=memory:", "PERCH_LEASES", "forgets at the end"},
		{inKVToken + "PERCH_VAULT=" + inKV + " PERCH_LEASES=" + inKV, "PERCH_LEASES", "is to make up for"},
		{inKVToken + "PERCH_VAULT=" + inKV + " PERCH_LEASES=tape:", "PERCH_LEASES", "unknown store"},
		{inKVToken + "PERCH_VAULT=" + inKV + " PERCH_LEASES=redis:canary", "PERCH_LEASES", "cannot be read"},
		{inKVToken + "PERCH_VAULT=" + inKV + " PERCH_LEASES=redis://u:canary#x@h", "PERCH_LEASES", "%-escapes"},
		{inKVToken + "PERCH_VAULT=" + inKV + " PERCH_LEASES=sqlite:h.db PERCH_SINGLE_WRITER=true", "PERCH_LEASES", "both given"},
		{"PERCH_VAULT=" + inKV + " PERCH_SINGLE_WRITER=true", "PERCH_CLOUDFLARE_TOKEN", "is not set"},
		{"PERCH_SINGLE_WRITER=true", "PERCH_SINGLE_WRITER", "nothing is kept there"},
		{"PERCH_LEASES=redis://h", "PERCH_LEASES", "nothing is kept there"},
		{"PERCH_ADMIN_TOKEN=canary", "PERCH_ADMIN_TOKEN", "shorter than 20"},
		{"PERCH_X_CLIENT_SECRET=canary", "PERCH_X_CLIENT_ID", "not set"},
		{"PERCH_X_API_KEY=canary", "PERCH_X_API_SECRET", "come together"},
		{"PERCH_X_API_SECRET=canary", "PERCH_X_API_KEY", "come together"},
		{"PERCH_X_API_URL=api.x.com", "PERCH_X_API_URL", "no absolute URL"},
		{"PERCH_X_API_URL=http://api.x.com", "PERCH_X_API_URL", "uses http"},
		{"PERCH_X_AUTHORIZE_URL=https://x.com/?a=b", "PERCH_X_AUTHORIZE_URL", "no user, query"},
		{"PERCH_CLIENT_LIMIT_PER_MINUTE=many", "PERCH_CLIENT_LIMIT_PER_MINUTE", "a value like 6000"},
		{"PERCH_CLIENT_LIMIT_PER_MINUTE=-1", "PERCH_CLIENT_LIMIT_PER_MINUTE", "negative"},
		{"PERCH_LOG_LEVEL=loud", "PERCH_LOG_LEVEL", "debug, info, warn or error"},
		{"PERCH_LOG_FORMAT=xml", "PERCH_LOG_FORMAT", "json or text"},
		{"PERCH_SHUTDOWN_GRACE=30", "PERCH_SHUTDOWN_GRACE", "a value like 30s"},
		{"PERCH_SHUTDOWN_GRACE=-1s", "PERCH_SHUTDOWN_GRACE", "negative"},
	} {
		t.Run(c.env, func(t *testing.T) {
			_, err := load(strings.Fields(c.env))
			mistakes, ok := errors.AsType[config.Mistakes](err)
			if !ok || len(mistakes) != 1 {
				t.Fatalf("got %v, want one mistake", err)
			}
			if m := mistakes[0]; m.Variable != c.variable || !strings.Contains(m.Say, c.say) {
				t.Errorf("got %q, want %s … %s", m, c.variable, c.say)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Error("the mistake shows a secret")
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := load([]string{
		"PERCH_LISTEN=nonsense", "PERCH_STORE=tape:", "PERCH_SHUTDOWN_GRACE=soon", "PERCH_CLIENT_LIMIT_PER_MINUTE=many",
		"PERCH_X_API_KEY=half", "PERCH_X_BEARER_FILE=/does/not/exist", "PERCH_LOG_LEVEL=loud",
	})
	mistakes, ok := errors.AsType[config.Mistakes](err)
	if !ok {
		t.Fatalf("got %v, want mistakes", err)
	}
	got := map[string]bool{}
	for _, m := range mistakes {
		got[m.Variable] = true
	}
	want := map[string]bool{
		"PERCH_LISTEN": true, "PERCH_STORE": true, "PERCH_SHUTDOWN_GRACE": true, "PERCH_CLIENT_LIMIT_PER_MINUTE": true,
		"PERCH_X_API_SECRET": true, "PERCH_X_BEARER_FILE": true, "PERCH_LOG_LEVEL": true,
	}
	if diff := cmp.Diff(want, got); diff != "" || len(mistakes) != len(want) {
		t.Errorf("%d mistakes (-want +got):\n%s", len(mistakes), diff)
	}
}

func TestGoodSettings(t *testing.T) {
	for _, env := range []string{
		behind + "PERCH_LISTEN=0.0.0.0:8080 PERCH_PUBLIC_URL=https://perch.example",
		behind + "PERCH_LISTEN=:8080 PERCH_PUBLIC_URL=http://127.0.0.1:8080",
		inTLS + "PERCH_LISTEN=:8443 PERCH_ADMIN_LISTEN=:8444 PERCH_PUBLIC_URL=https://perch.example",
		inTLS + "PERCH_LISTEN=perch.example:8443",
		"PERCH_LISTEN=localhost:8080 PERCH_MAX_CONNECTIONS=1 PERCH_MAX_CONNECTIONS_PER_ADDRESS=0",
		"PERCH_LISTEN=[::1]:8080",
		"PERCH_TRUSTED_PROXIES=10.0.0.5,192.168.7.0/24,10.0.0.0/8,2001::/16,2001:db8::/32,::ffff:10.0.0.6",
		"PERCH_LISTEN=127.0.0.1:0 PERCH_ADMIN_LISTEN=127.0.0.1:0",
		"PERCH_STORE=memory: PERCH_X_API_URL=http://127.0.0.1:9090",
		"PERCH_X_API_KEY=k PERCH_X_API_SECRET=s PERCH_CLIENT_LIMIT_PER_MINUTE=0",
		"PERCH_STORE=postgres://perch@db.example/perch PERCH_MIGRATE=true",
		"PERCH_STORE=postgresql://perch:p%23x@db.example:6432/perch?sslmode=require PERCH_QUOTA=memory:",
		"PERCH_STORE=postgres:///perch?host=/var/run/postgresql",
		"PERCH_ADMIN_LISTEN=off PERCH_LISTEN=127.0.0.1:8081",
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_STORE=" + inD1,
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_VAULT=" + inKV + " PERCH_SINGLE_WRITER=true",
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_VAULT=" + inKV + " PERCH_REGISTRY=" + inKV + " PERCH_LEASES=rediss://u:p@h:6379/1",
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_REGISTRY=" + inKV + " PERCH_LEASES=unix:///run/redis.sock",
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_VAULT=" + inKV + " PERCH_LEASES=" + inD1,
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_VAULT=" + inKV + " PERCH_LEASES=postgres:///perch?host=/run/pg",
		"PERCH_REGISTRY=sqlite:r.db",
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_CLOUDFLARE_URL=https://store.example/client/v4/ PERCH_VAULT=" + inD1,
		"PERCH_CLOUDFLARE_TOKEN=t PERCH_CLOUDFLARE_URL=http://127.0.0.1:8787/client/v4 PERCH_QUOTA=" + inD1,
		"PERCH_QUOTA=rediss://u:p%23x@h:6379/0 PERCH_QUOTA_MODE=block PERCH_QUOTA_DOWN=open",
		"PERCH_QUOTA=unix:///run/redis.sock PERCH_QUOTA_MODE=exact PERCH_QUOTA_DOWN=closed",
	} {
		if _, err := load(strings.Fields(env)); err != nil {
			t.Errorf("%s: %v", env, err)
		}
	}
}
