package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"perch/adapters/jws"
	"perch/adapters/keyring"
	"perch/adapters/memory"
	"perch/adapters/telemetry"
	"perch/adapters/xhttp"
	"perch/adapters/xhttp/xsim"
	"perch/app/access"
	"perch/app/actions"
	"perch/app/clients"
	"perch/app/clock"
	"perch/app/deliveries"
	"perch/app/grants"
	"perch/app/health"
	"perch/app/operators"
	"perch/app/quotas"
	"perch/app/replays"
	"perch/app/sessions"
	"perch/app/usage"
	"perch/app/uses"
	"perch/app/xapps"
	"perch/domain/apikey"
	"perch/domain/audit"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/ports"
)

const (
	ada        = "1500000000000000001" // a user of the simulator
	pageOrigin = "https://app.example"
	returnTo   = "https://app.example/back"
	adminToken = "operators-token"
	xAccess    = "x-access-canary"
	xBearer    = "x-bearer-canary"
)

// plan says what differs from the usual house.
type plan struct {
	x      http.Handler // instead of the simulator
	secure bool         // the public URL is https
	limit  quota.Limit  // of each client application
	more   []quota.Rule // of others

	windows bool // X's are kept
	wait    func(*patience)
	apps    func(ports.Applications) ports.Applications
	stores  func(*stores)
	quotas  ports.QuotaStore // instead of the store's
	store   *memory.Store    // nil: a new one
	ring    *keyring.Ring    // nil: a new one
	parts   []health.Part

	proxies []string // that are trusted
	tls     bool     // the doors speak it
	plain   bool     // and never do
	limits  Limits

	operators func(ports.Operators) ports.Operators
	unfounded bool // the founding token is turned off
}

// rules are our own limits.
func (p plan) rules() []quota.Rule {
	if p.limit.Max == 0 {
		return p.more
	}
	return append(p.more, quota.Rule{Subject: quota.Application, Limit: p.limit})
}

// stores are what the services of a house read and write.
type stores struct {
	apps     ports.Applications
	keys     ports.APIKeys
	vault    ports.TokenVault
	codes    ports.Codes
	sessions ports.Sessions
	signing  ports.SigningKeys
}

// A house is everything behind two doors on loopback, with X behind it all.
type house struct {
	t        testing.TB
	sim      *xsim.Sim
	xAt      string // where X is
	public   string // where the public door is
	admin    string
	server   *Server
	services Services
	log      *logBuffer
	app      client.App
	grant    oauth.GrantID
	token    string // of X, of the grant
	pk, sk   string
	quiet    int    // how much X had heard once all was set up
	appOnly  string // a secret key that may act for the app
	tap      *tap   // before X; nil where there is none
}

type silence struct{}

func (silence) Observe(context.Context, audit.Event) {}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func build(t testing.TB, p plan) *house {
	t.Helper()
	h := &house{t: t, sim: xsim.New(xsim.Options{}), log: &logBuffer{}}
	if p.x == nil {
		p.x = h.sim
	}
	x := httptest.NewServer(p.x)
	t.Cleanup(func() { h.sim.Close(); x.CloseClientConnections(); x.Close() })
	h.xAt = x.URL
	gateway, err := xhttp.New(xhttp.Config{APIURL: x.URL, AuthorizeURL: x.URL + "/i/oauth2/authorize"})
	must(t, err)
	t.Cleanup(gateway.Close)

	publicLn, adminLn := listenLocal(t), listenLocal(t)
	scheme := "http://"
	cfg := Config{Version: "test", Proxies: prefixes(p.proxies...), Limits: p.limits}
	if p.tls || *overTLS && !p.plain {
		scheme, cfg.Certificate = "https://", certificate(t)
	}
	h.public, h.admin = scheme+publicLn.Addr().String(), scheme+adminLn.Addr().String()
	issuer := h.public
	if p.secure {
		issuer = "https://perch.example"
	}
	logger := telemetry.NewLogger(h.log, "info", "text")
	h.services = furnish(t, p, gateway, issuer, logger)
	cfg.PublicURL = issuer
	h.server = NewPublic(cfg, h.services, logger)
	if p.wait != nil {
		p.wait(&h.server.wait)
		h.server.app.Server().ReadTimeout = h.server.wait.header
	}
	run(t, h.server, publicLn)
	run(t, NewAdmin(cfg, h.services, logger), adminLn)
	h.register()
	h.quiet = len(h.sim.Ledger())
	return h
}

func furnish(t testing.TB, p plan, x ports.TwitterGateway, issuer string, log *slog.Logger) Services {
	if p.store == nil {
		p.store = memory.Open()
	}
	if p.ring == nil {
		p.ring = keyring.Ephemeral()
	}
	if p.quotas == nil {
		p.quotas = p.store.Quota()
	}
	store, ring := p.store, p.ring
	staff := operators.Parts{
		Operators: store.Operators(), Uses: store.Uses(), Keyring: ring, Observer: telemetry.NewLog(log),
		Founding: secret.New(adminToken),
	}
	if p.operators != nil {
		staff.Operators = p.operators(staff.Operators)
	}
	if p.unfounded {
		staff.Founding = secret.Text{}
	}
	os := operators.New(staff)
	t.Cleanup(os.Close)
	apps := store.Registry().Apps()
	if p.apps != nil {
		apps = p.apps(apps)
	}
	s := stores{apps, store.Registry().Keys(), store.Vault(), store.Codes(), store.Sessions(), store.SigningKeys()}
	if p.stores != nil {
		p.stores(&s)
	}
	xs := xapps.New(store.Registry().XApps(), s.apps, ring, ports.XApp{
		ClientID: "sim-client", ClientSecret: secret.New("sim-secret"), Bearer: secret.New("sim-bearer"),
	})
	rules := quotas.New(p.quotas, p.rules(), p.windows, time.Now)
	us := uses.New(store.Uses())
	cs := clients.New(s.apps, s.keys, ring, xs, us)
	gs := grants.New(grants.Parts{
		Vault: s.vault, Pending: store.Authorizations(), Keyring: ring, X: x, XApps: xs,
		Journal: memory.NewJournal(), Breaker: xhttp.NewBreakers(time.Second, silence{}), Clock: clock.New(store, time.Now),
		Sessions: s.sessions, Observer: silence{}, Callback: issuer + "/oauth/callback",
	})
	ss := sessions.New(sessions.Parts{
		Clients: cs, Apps: cs, Grants: gs, Codes: s.codes, Sessions: s.sessions,
		DPoP: jws.NewProofs(), Signer: jws.New(s.signing, ring, issuer, time.Now), Keyring: ring,
		Quotas: p.quotas, Issuer: issuer, Now: time.Now,
	})
	once := replays.New(replays.Parts{Replies: store.Replies(), Queue: store.Deliveries(), Keyring: ring, Now: time.Now, Issuer: issuer})
	t.Cleanup(once.Close)
	as := actions.New(actions.Parts{
		Grants: gs, Consents: ss, XApps: xs, X: x, Observer: silence{}, Tolls: actions.Tolls(rules),
		Replays: once,
		Apps:    s.apps, Keys: s.keys, Now: time.Now,
	})
	return Services{
		Deliveries: deliveries.New(deliveries.Parts{
			Store: store.Deliveries(), Queue: store.DeliveryQueue(), Replies: store.Replies(), Actions: as, Keyring: ring, Observer: telemetry.NewLog(log),
			Now: time.Now, Room: delivery.Room{Line: 3, App: 10},
		}),
		Gate: access.New(cs, ss), Actions: as,
		Clients: cs, Grants: gs, Sessions: ss, XApps: xs, Operators: os, Health: health.New(p.parts...), Uses: us,
		Quotas: rules, Replays: once,
		Usage: usage.New(nil, store.Usage(), store.Budgets(), s.apps, time.Now),
	}
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func listenLocal(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return ln
}

// narrow has the public door's connections hold little of what their peers do not read.
func (h *house) narrow() {
	h.t.Helper()
	h.server.mu.Lock()
	tcp, ok := h.server.ln.Listener.(*net.TCPListener)
	h.server.mu.Unlock()
	if !ok {
		h.t.Fatal("the door does not listen for TCP")
	}
	socket, err := tcp.SyscallConn()
	must(h.t, err)
	must(h.t, socket.Control(func(fd uintptr) { // connections have it from their listener
		must(h.t, syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 16<<10))
	}))
}

// run serves on ln, and returns when it does: a connection is made before that.
func run(t testing.TB, s *Server, ln net.Listener) {
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	for serving := false; !serving; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		serving = s.ln != nil || s.closed
		s.mu.Unlock()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// register makes the usual application with its keys and a grant of ada's.
func (h *house) register() {
	h.t.Helper()
	ctx := h.t.Context()
	var err error
	h.app, err = h.services.Clients.Register(ctx, client.App{
		Name: "Demo", Origins: []client.Origin{pageOrigin}, RedirectURIs: []string{returnTo},
		Scopes: []string{"tweet.write", "media.write", "like.write"},
	})
	must(h.t, err)
	h.pk = h.key(apikey.Key{App: h.app.ID, Kind: apikey.Publishable})
	h.appOnly = h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret, AppOnly: true})
	token := xAccess
	if issued, err := h.sim.Issue("sim-client", ada, oauth.Everything.List()); err == nil {
		token = issued.Access
	}
	h.token = token
	g, err := h.services.Grants.Import(ctx, h.app.ID, h.app.XApp, grants.Import{
		User: user.User{ID: ada, Username: "ada", Name: "Ada"}, Access: secret.New(token),
		Scopes: oauth.Everything, Expires: time.Now().Add(time.Hour),
	})
	must(h.t, err)
	h.grant = g.ID
	h.sk = h.key(apikey.Key{App: h.app.ID, Kind: apikey.Secret, Grants: []oauth.GrantID{g.ID}})
}

func (h *house) key(k apikey.Key) string {
	h.t.Helper()
	_, text, err := h.services.Clients.IssueKey(h.t.Context(), k)
	must(h.t, err)
	return text.Reveal()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An answer is a reply that was read to its end.
type answer struct {
	*http.Response
	body string
}

// ask sends a request and follows no redirect. Headers are "Name: value" lines.
func ask(t testing.TB, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	must(t, err)
	b, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	return answer{res, string(b)}
}

// json reads the answer's document.
func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("status %d, not JSON: %q", a.StatusCode, a.body)
	}
	return m
}

// operator asks the admin door with the operators' token.
func (h *house) operator(method, path, body string) answer {
	h.t.Helper()
	return ask(h.t, method, h.admin+path, body, "Authorization: Bearer "+adminToken, "Content-Type: application/json")
}

// act performs an action of X with the secret key.
func (h *house) act(method, path, body string, headers ...string) answer {
	h.t.Helper()
	headers = append([]string{"Authorization: Bearer " + h.sk, "Content-Type: application/json"}, headers...)
	return ask(h.t, method, h.public+path, body, headers...)
}
