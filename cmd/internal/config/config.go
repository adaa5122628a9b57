// Package config holds the settings of a Perch: where each comes from, what it
// is without being set, and what is wrong with it.
package config

import (
	"strings"
	"time"

	"perch/domain/secret"
)

// Where things are kept unless settings say otherwise.
const (
	DefaultKeysetFile     = "./perch.keyset.json"
	DefaultJournal        = "./perch.journal"
	DefaultAdminTokenFile = "./perch.admin-token" // #nosec G101 -- a path, not a secret
)

// Off is what turns off what a setting has on by itself.
const Off = "off"

// Config is every setting of perch serve. Each has a flag and a variable; a
// flag wins. An empty variable counts as not set, except PERCH_ADMIN_LISTEN.
// Secrets have no flags of their own, because command lines can be seen by
// other users of a machine: each has a variable, and a variable and a flag that
// name a file which holds it.
type Config struct {
	// Listen is where clients connect: host and port.
	Listen string `env:"PERCH_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where clients connect."`

	// AdminListen is where operators connect. Empty once loaded means nowhere.
	AdminListen string `env:"PERCH_ADMIN_LISTEN" default:"127.0.0.1:8081" blank:"off" placeholder:"HOST:PORT" help:"Where operators connect; off for nowhere."`

	// PublicURL is how browsers reach Perch, without a slash at its end. It
	// stays empty where it follows from a port that is still to be chosen.
	PublicURL string `env:"PERCH_PUBLIC_URL" placeholder:"URL" help:"How browsers reach Perch: https://host. Without it, the address Perch listens on."`

	// TLSCertFile and TLSKeyFile come together. With them both listeners speak TLS.
	TLSCertFile string `env:"PERCH_TLS_CERT_FILE" placeholder:"FILE" help:"The certificate, with its chain, in PEM; with it and its key Perch speaks TLS. The files are read again when they change."`
	TLSKeyFile  string `env:"PERCH_TLS_KEY_FILE" placeholder:"FILE" help:"The certificate's key in PEM."`

	// TrustedProxies are the proxies in front of Perch that are believed when they
	// say who the client is; see Proxies.
	TrustedProxies []string `env:"PERCH_TRUSTED_PROXIES" sep:"," placeholder:"ADDRESSES" help:"The proxies in front of Perch: IP addresses and networks, as 10.0.0.5,192.168.7.0/24. What they say in X-Forwarded-For and X-Forwarded-Proto counts."`

	// MaxConnections is how many connections each listener holds at once,
	// MaxConnectionsPerAddress how many of them one client may have; 0 is no limit.
	MaxConnections           int `env:"PERCH_MAX_CONNECTIONS" default:"10000" placeholder:"NUMBER" help:"How many connections each listener holds at once. One that sends nothing takes some 25 kB."`
	MaxConnectionsPerAddress int `env:"PERCH_MAX_CONNECTIONS_PER_ADDRESS" default:"1000" placeholder:"NUMBER" help:"How many of them one address may have, or one /64 of IPv6; 0 for as many as there are. Trusted proxies may have all."`

	// Store names the backend that everything is kept in: memory:, sqlite:PATH,
	// d1:ACCOUNT/DATABASE or the URL of PostgreSQL, which may hold a password: show
	// it by Shown alone.
	Store string `env:"PERCH_STORE" default:"sqlite:./perch.db" placeholder:"URL" help:"Where everything is kept: sqlite:PATH, postgres://USER@HOST/DATABASE, d1:ACCOUNT/DATABASE, or memory: until Perch ends. Keep a password out of the flag: use the variable, PGPASSWORD or PGPASSFILE. TLS is required unless PostgreSQL is on this machine or the URL says sslmode=disable."`

	// Vault names the backend for grants, Registry the one for client applications,
	// API keys and X Apps, Quota the one for counts of calls. Once loaded they are
	// never empty. The first two may be in Workers KV: kv:ACCOUNT/NAMESPACE; the
	// last in Redis.
	Vault    string `env:"PERCH_VAULT" placeholder:"URL" help:"Where grants are kept, if elsewhere than the rest; also kv:ACCOUNT/NAMESPACE."`
	Registry string `env:"PERCH_REGISTRY" placeholder:"URL" help:"Where client applications, API keys and X Apps are kept, if elsewhere than the rest; also kv:ACCOUNT/NAMESPACE."`
	Quota    string `env:"PERCH_QUOTA" placeholder:"URL" help:"Where calls are counted, if elsewhere than the rest; also rediss://USER@HOST:6379/0 or redis://127.0.0.1:6379."`

	// QuotaMode is exact or block; QuotaDown is what becomes of calls while the
	// store of counts does not answer: closed or open.
	QuotaMode string `env:"PERCH_QUOTA_MODE" default:"exact" placeholder:"MODE" help:"How replicas share limits: exact asks the store for each call; block takes up to a fiftieth of a limit ahead and asks seldom. Neither lets more through."`
	QuotaDown string `env:"PERCH_QUOTA_DOWN" default:"closed" placeholder:"STATE" help:"What becomes of calls while the store of counts does not answer: closed refuses them; open lets them through, counted by each Perch for itself."`

	// Leases names the backend for the heads of what is in Workers KV: what is true
	// at the moment. Once loaded it is empty where nothing is in KV.
	Leases string `env:"PERCH_LEASES" placeholder:"URL" help:"Where the newest versions of what is in Workers KV are kept, because KV is late: d1:…, postgres://…, rediss://USER@HOST:6379/0 or sqlite:PATH."`

	// SingleWriter says that no other Perch writes to the namespaces in KV.
	SingleWriter bool `env:"PERCH_SINGLE_WRITER" help:"This is the only Perch that writes to what is in Workers KV; it keeps the newest versions in ./perch.heads.db."`

	// Migrate has Perch bring the schema of PostgreSQL and D1 up to date at its
	// start. For SQLite it always does.
	Migrate bool `env:"PERCH_MIGRATE" help:"Bring the schema of PostgreSQL or D1 up to date at the start; otherwise perch migrate does."`

	// Cloudflare is how stores there are reached.
	Cloudflare Cloudflare `embed:"" prefix:"cloudflare-" envprefix:"PERCH_CLOUDFLARE_"`

	// KeysetFile holds the keys that seal what is stored. Empty once loaded
	// means keys that live as long as the process, for stores that do too.
	KeysetFile string `env:"PERCH_KEYSET_FILE" placeholder:"FILE" help:"The keys that seal what is stored. Without it, ./perch.keyset.json; with memory: alone, keys that end with Perch."`

	// Journal is the folder for tokens that X gave and the vault does not have
	// yet. "off" once loaded means that they are in memory alone.
	Journal string `env:"PERCH_JOURNAL" placeholder:"FOLDER" help:"A folder on a disk that stays, for the moment between X's answer and the vault's: what X gave is kept there, sealed. Without it, ./perch.journal; with memory: alone, or as off, only in memory."`

	// ClockOff is by how much this process has the time wrong; for tests.
	ClockOff time.Duration `kong:"-"`

	// AdminToken is the founding token, which makes whoever sends it an owner. Empty
	// once loaded means that the file DefaultAdminTokenFile holds it, or is to be
	// made, unless AdminTokenOff says that there is none: PERCH_ADMIN_TOKEN was "off".
	AdminToken     secret.Text `kong:"-"`
	AdminTokenOff  bool        `kong:"-"`
	AdminTokenFile string      `env:"PERCH_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"A file that holds the founding token, which makes whoever has it an owner; or set PERCH_ADMIN_TOKEN, or that to off once there are operators (perch operators add). Without either, ./perch.admin-token, which is made at the first start."`

	// X is the default X App, and where X is.
	X X `embed:"" prefix:"x-" envprefix:"PERCH_X_"`

	// Limits are our own limits on calls; see Rules.
	Limits string `env:"PERCH_LIMITS" default:"app:6000/m" placeholder:"LIMITS" help:"How many calls each address, key, app and grant may make: SUBJECT:CALLS/WINDOW or SUBJECT/CLASS:CALLS/WINDOW, as app:6000/m,key:20/s,grant/write:100/15m; off for no limits. X's own are always kept."`

	// XWindows is on or off.
	XWindows string `name:"x-windows" env:"PERCH_X_WINDOWS" default:"on" placeholder:"ON|OFF" help:"Keep X's rate limits: refuse a call before X would. With off, X is asked and refuses itself."`

	// Cache says how long answers to which reads are kept, in the words of
	// cache.Parse.
	Cache string `env:"PERCH_CACHE" default:"getUsersMe=5m" placeholder:"RULES" help:"For how long answers to which reads are given again, to the same grant: operations of X and times, as getUsersMe=5m getPostsById=30s, or off. Each replica keeps its own, in memory."`

	// LogLevel is debug, info, warn or error; LogFormat is json or text.
	LogLevel  string `env:"PERCH_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"How much is logged: debug, info, warn or error."`
	LogFormat string `env:"PERCH_LOG_FORMAT" default:"json" placeholder:"FORMAT" help:"How it is logged: json or text."`

	// ShutdownGrace is how long requests under way may take to end.
	ShutdownGrace time.Duration `env:"PERCH_SHUTDOWN_GRACE" default:"30s" placeholder:"TIME" help:"How long requests may take to end when Perch is stopped, as 30s."`
}

// Cloudflare is how what is kept at Cloudflare is reached, and in whose name.
type Cloudflare struct {
	Token     secret.Text `kong:"-"`
	TokenFile string      `env:"TOKEN_FILE" placeholder:"FILE" help:"A file that holds the API token for Cloudflare, or the store Worker's; or set PERCH_CLOUDFLARE_TOKEN."`

	// URL ends in /client/v4, as Cloudflare's own.
	URL string `env:"URL" default:"https://api.cloudflare.com/client/v4" placeholder:"URL" help:"Where Cloudflare's API is, or the store Worker: https://HOST/client/v4. The API itself takes 1200 calls in five minutes."`
}

// X is the X App that settings give, and where X is.
type X struct {
	ClientID string `env:"CLIENT_ID" placeholder:"ID" help:"OAuth 2.0 client ID of the X App."`

	// ClientSecret is empty for a public client.
	ClientSecret     secret.Text `kong:"-"`
	ClientSecretFile string      `env:"CLIENT_SECRET_FILE" placeholder:"FILE" help:"A file that holds its client secret; or set PERCH_X_CLIENT_SECRET."`

	// Bearer is the X App's own token, for app-only actions.
	Bearer     secret.Text `kong:"-"`
	BearerFile string      `env:"BEARER_FILE" placeholder:"FILE" help:"A file that holds its app-only bearer; or set PERCH_X_BEARER."`

	// APIKey and APISecret come together; X gives a bearer for them.
	APIKey        string      `name:"api-key" env:"API_KEY" placeholder:"KEY" help:"Its API key (consumer key), from which a bearer can be had."`
	APISecret     secret.Text `kong:"-"`
	APISecretFile string      `name:"api-secret-file" env:"API_SECRET_FILE" placeholder:"FILE" help:"A file that holds the API key's secret; or set PERCH_X_API_SECRET."`

	APIURL       string `name:"api-url" env:"API_URL" default:"https://api.x.com" placeholder:"URL" help:"Where X's API is."`
	AuthorizeURL string `name:"authorize-url" env:"AUTHORIZE_URL" default:"https://x.com/i/oauth2/authorize" placeholder:"URL" help:"Where X asks users for consent."`

	// Patience is how long X may take to begin an answer, and again for each
	// further piece of it.
	Patience time.Duration `env:"PATIENCE" default:"30s" placeholder:"TIME" help:"How long X may take to begin its answer, and for the rest to go on, as 30s."`

	// Rest is how long X is left alone between two tries while it fails.
	Rest time.Duration `env:"REST" default:"15s" placeholder:"TIME" help:"How long X is left alone between two tries while it fails, as 15s."`

	// Calls and Uploads are how many may be under way at once; the first of each
	// group of actions.
	Calls   int `env:"CALLS" default:"256" placeholder:"NUMBER" help:"How many calls may be under way at X at once: so many reads, so many writes, and so many of messages."`
	Uploads int `env:"UPLOADS" default:"64" placeholder:"NUMBER" help:"How many uploads and downloads may be under way at X at once."`
}

// Callback is the URL to register at X: where X sends browsers back to.
func (c Config) Callback() string { return c.PublicURL + "/oauth/callback" }

// Settled returns the settings with what follows from others filled in.
func (c Config) Settled() Config {
	if c.AdminListen == Off {
		c.AdminListen = ""
	}
	if c.AdminToken.Reveal() == Off {
		c.AdminToken, c.AdminTokenOff = secret.Text{}, true
	}
	if c.Vault == "" {
		c.Vault = c.Store
	}
	if c.Registry == "" {
		c.Registry = c.Store
	}
	if c.Quota == "" {
		c.Quota = c.Store
	}
	c.QuotaMode, c.QuotaDown = or(c.QuotaMode, Exact), or(c.QuotaDown, Closed)
	if c.Leases == "" && c.SingleWriter && c.UsesKV() {
		c.Leases = DefaultLeases
	}
	if c.KeysetFile == "" && (kept(c.Store) || kept(c.Vault) || kept(c.Registry)) {
		c.KeysetFile = DefaultKeysetFile
	}
	if c.Journal == "" {
		c.Journal = "off"
		if kept(c.Vault) {
			c.Journal = DefaultJournal
		}
	}
	if c.PublicURL == "" && !strings.HasSuffix(c.Listen, ":0") && checkAddress("", c.Listen) == nil {
		c.PublicURL = c.Scheme() + c.Listen
	}
	return c
}

// kept reports whether what is in the store outlives the process.
func kept(store string) bool {
	kind, _ := Backend(store)
	return kind != "memory"
}
