// Package xhttp is X over HTTP: the gateway through which Perch performs
// actions and asks for tokens. It decides nothing about clients; what X is asked
// is built from the catalogue, and X's host comes from the settings alone.
package xhttp

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

// Where X is.
const (
	DefaultAPIURL       = "https://api.x.com"
	DefaultAuthorizeURL = "https://x.com/i/oauth2/authorize"
)

// Config says where X is and how patient to be. A zero field takes its default.
type Config struct {
	APIURL       string         // DefaultAPIURL
	AuthorizeURL string         // DefaultAuthorizeURL; where users' browsers are sent
	UserAgent    string         // "perch"
	DialTimeout  time.Duration  // for a connection and again for its TLS handshake; 10 s
	WaitTimeout  time.Duration  // from the last byte sent to the reply's header, and for its body to go on; 30 s
	TokenTimeout time.Duration  // for a whole call of the token endpoint; 20 s
	Rest         time.Duration  // how long X is left alone between two tries while it fails; 15 s
	Calls        int            // how many may be under way at once, of each group of actions; 256
	Uploads      int            // the same of uploads and downloads; 64
	TLS          *tls.Config    // for private roots; the system's
	Observer     ports.Observer // told what goes wrong with X, and when it is well again; nobody
}

// Gateway is a ports.TwitterGateway and a ports.Pinger.
type Gateway struct {
	api       string // without a slash at its end
	authorize string
	agent     string
	transport *http.Transport
	tokens    *http.Client
	bearers   bearers
	guard     *guard
	repeats   *budget
	patience  time.Duration
}

var (
	_ ports.TwitterGateway = (*Gateway)(nil)
	_ ports.Pinger         = (*Gateway)(nil)
)

// New returns a gateway to X. It connects to nothing yet. Settings that are
// unsafe or could not work are fault.Invalid.
func New(cfg Config) (*Gateway, error) {
	cfg = cfg.withDefaults()
	if err := checkURL("X's API URL", cfg.APIURL); err != nil {
		return nil, err
	}
	if err := checkURL("X's authorize URL", cfg.AuthorizeURL); err != nil {
		return nil, err
	}
	if !printable(cfg.UserAgent) {
		return nil, fault.New(fault.Invalid, "the user agent must be printable ASCII")
	}
	if cfg.TLS != nil && cfg.TLS.InsecureSkipVerify {
		return nil, fault.New(fault.Invalid, "certificates of X are always verified; name private roots instead")
	}
	g := &Gateway{
		api:       strings.TrimSuffix(cfg.APIURL, "/"),
		authorize: cfg.AuthorizeURL,
		agent:     cfg.UserAgent,
		transport: transport(cfg),
		guard:     newGuard(cfg),
		repeats:   newBudget(),
		patience:  cfg.WaitTimeout,
	}
	g.tokens = &http.Client{
		Transport: once{next: g.transport, agent: g.agent},
		Timeout:   cfg.TokenTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	return g, nil
}

func (c Config) withDefaults() Config {
	for at, value := range map[*string]string{
		&c.APIURL: DefaultAPIURL, &c.AuthorizeURL: DefaultAuthorizeURL, &c.UserAgent: "perch",
	} {
		if *at == "" {
			*at = value
		}
	}
	for at, value := range map[*time.Duration]time.Duration{
		&c.DialTimeout: 10 * time.Second, &c.WaitTimeout: 30 * time.Second, &c.TokenTimeout: 20 * time.Second,
		&c.Rest: 15 * time.Second,
	} {
		if *at <= 0 {
			*at = value
		}
	}
	for at, value := range map[*int]int{&c.Calls: 256, &c.Uploads: 64} {
		if *at <= 0 {
			*at = value
		}
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	return c
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Observe(context.Context, audit.Event) {}

// transport speaks HTTP/2 where X does, sends bytes through as they are, and
// takes no proxy from the environment.
func transport(cfg Config) *http.Transport {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		secure = cfg.TLS.Clone()
		secure.MinVersion = max(secure.MinVersion, tls.VersionTLS12)
	}
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    cfg.DialTimeout,
		ResponseHeaderTimeout:  cfg.WaitTimeout,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           200,
		MaxIdleConnsPerHost:    100,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// checkURL refuses a URL that is not safe to send tokens to. The URL is not
// shown, because it may hold a password.
func checkURL(name, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return fault.New(fault.Invalid, "%s is not an absolute URL; write it as https://host", name)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !client.Loopback(u.Hostname())) {
		return fault.New(fault.Invalid, "%s must use https; http is for 127.0.0.1, [::1] and localhost only", name)
	}
	if u.User != nil || strings.ContainsAny(raw, "?#") {
		return fault.New(fault.Invalid, "%s must have no user, query or fragment", name)
	}
	return nil
}

// Close drops idle connections. Calls under way are not disturbed.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// Ping asks X for a page that costs nothing. Any answer below 500 will do.
func (g *Gateway) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, g.api+"/2/openapi.json", nil)
	if err != nil {
		return fault.New(fault.Internal, "").Because(err)
	}
	req.Header.Set("User-Agent", g.agent)
	res, err := g.transport.RoundTrip(req)
	if err != nil {
		return fault.New(fault.Unavailable, "X cannot be reached").Because(reason(ctx, err))
	}
	_ = res.Body.Close()
	if res.StatusCode >= http.StatusInternalServerError {
		return fault.New(fault.Unavailable, "X answers with status %d", res.StatusCode)
	}
	return nil
}

// printable reports whether s can be a header's value: visible ASCII and spaces.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
