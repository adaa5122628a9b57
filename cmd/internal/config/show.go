package config

import (
	"strconv"
	"strings"

	"perch/domain/secret"
)

// A Setting is one setting as people may see it.
type Setting struct {
	Variable string
	Value    string // of a secret only whether there is one
}

// Show lists the settings in force, secrets hidden.
func (c Config) Show() []Setting {
	return []Setting{
		{"PERCH_LISTEN", c.Listen},
		{"PERCH_ADMIN_LISTEN", or(c.AdminListen, "off")},
		{"PERCH_PUBLIC_URL", or(c.PublicURL, "(follows from the port)")},
		{"PERCH_TLS_CERT_FILE", or(c.TLSCertFile, "(none: plain HTTP)")},
		{"PERCH_TLS_KEY_FILE", or(c.TLSKeyFile, "(none)")},
		{"PERCH_MAX_CONNECTIONS", strconv.Itoa(c.MaxConnections)},
		{"PERCH_MAX_CONNECTIONS_PER_ADDRESS", strconv.Itoa(c.MaxConnectionsPerAddress)},
		{"PERCH_TRUSTED_PROXIES", or(strings.Join(c.TrustedProxies, ","), "(none)")},
		{"PERCH_STORE", Shown(c.Store)},
		{"PERCH_VAULT", Shown(c.Vault)},
		{"PERCH_REGISTRY", Shown(c.Registry)},
		{counts, Shown(c.Quota)},
		{"PERCH_QUOTA_MODE", c.QuotaMode},
		{"PERCH_QUOTA_DOWN", c.QuotaDown},
		{leases, c.shownLeases()},
		{"PERCH_SINGLE_WRITER", strconv.FormatBool(c.SingleWriter)},
		{"PERCH_MIGRATE", strconv.FormatBool(c.Migrate)},
		{cloudflareToken, hide(c.Cloudflare.Token, "(not set)")},
		{cloudflareURL, c.Cloudflare.URL},
		{"PERCH_KEYSET_FILE", or(c.KeysetFile, "(none: keys end with the process)")},
		{"PERCH_JOURNAL", c.Journal},
		{"PERCH_ADMIN_TOKEN", c.shownAdminToken()},
		{"PERCH_X_CLIENT_ID", or(c.X.ClientID, "(not set)")},
		{"PERCH_X_CLIENT_SECRET", hide(c.X.ClientSecret, "(not set)")},
		{"PERCH_X_BEARER", hide(c.X.Bearer, "(not set)")},
		{"PERCH_X_API_KEY", hide(secret.New(c.X.APIKey), "(not set)")},
		{"PERCH_X_API_SECRET", hide(c.X.APISecret, "(not set)")},
		{"PERCH_X_API_URL", c.X.APIURL},
		{"PERCH_X_AUTHORIZE_URL", c.X.AuthorizeURL},
		{"PERCH_CLIENT_LIMIT_PER_MINUTE", strconv.FormatInt(c.ClientLimit, 10)},
		{"PERCH_LOG_LEVEL", c.LogLevel},
		{"PERCH_LOG_FORMAT", c.LogFormat},
		{"PERCH_SHUTDOWN_GRACE", c.ShutdownGrace.String()},
	}
}

func (c Config) shownLeases() string {
	if c.Leases == "" {
		return "(not needed: nothing is in Workers KV)"
	}
	return Shown(c.Leases)
}

func (c Config) shownAdminToken() string {
	if c.AdminTokenOff {
		return Off
	}
	return hide(c.AdminToken, "(from "+DefaultAdminTokenFile+")")
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func hide(t secret.Text, otherwise string) string {
	if t.Empty() {
		return otherwise
	}
	return t.String()
}
