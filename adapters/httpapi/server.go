// Package httpapi is the door of Perch: X API v2 as api.x.com serves it, Perch's
// own OAuth 2.0 endpoints, and the operators' REST interface, over HTTP/1.1. It
// takes requests in, asks the application, and hands the answers back. Nothing
// else in the house knows Fiber.
package httpapi

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/app/access"
	"perch/app/actions"
	"perch/app/clients"
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
)

// Config is what the doors need to know.
type Config struct {
	PublicURL string // the issuer, without a slash at its end; https makes cookies Secure and adds HSTS
	Version   string // shown by /healthz

	// Proxies are those that are believed when they say whom they speak for. IPv4
	// is not written as IPv6.
	Proxies []netip.Prefix

	Certificate *Certificate // nil: plain HTTP, for loopback and the proxies alone
	Limits      Limits
}

// Services are what the doors lead to.
type Services struct {
	Deliveries *deliveries.Service

	Gate      *access.Gate
	Actions   *actions.Service
	Clients   *clients.Service
	Grants    *grants.Service
	Sessions  *sessions.Service
	XApps     *xapps.Service
	Operators *operators.Service
	Health    *health.Service
	Uses      *uses.Uses
	Quotas    *quotas.Service
	Usage     *usage.Service
	Replays   *replays.Service
}

// patience is how long the door waits.
type patience struct {
	header time.Duration // for a request's header
	body   time.Duration // for each piece of a body
	small  time.Duration // for all of a body that is small by its shape
	upload time.Duration // for all of an upload
	answer time.Duration // until the answer begins
	write  time.Duration // for each piece of a reply to be taken, or to come from X
	reply  time.Duration // for all of a small reply to be taken
	linger time.Duration // for the peer to read a reply that came early
}

func usual() patience {
	return patience{
		header: 10 * time.Second, body: 30 * time.Second, small: time.Minute, upload: 10 * time.Minute,
		answer: 90 * time.Second, write: time.Minute, reply: 10 * time.Second,
		linger: time.Second,
	}
}

// A Server serves one listener: the public one or the operators'.
type Server struct {
	cfg      Config
	services Services
	log      *slog.Logger
	app      *fiber.App
	admin    bool
	wait     patience
	page     *template.Template
	notices  notices

	base    context.Context // of every request
	cut     context.CancelCauseFunc
	streams context.Context // of replies that do not end by themselves
	endAll  context.CancelCauseFunc

	mu     sync.Mutex
	ln     *listener
	closed bool
}

// NewPublic returns the server that clients and browsers use.
func NewPublic(cfg Config, s Services, log *slog.Logger) *Server {
	srv := newServer(cfg, s, log)
	srv.mount(srv.publicRoutes())
	return srv
}

// NewAdmin returns the server that operators use. It serves nothing of X, and
// stands behind no proxy: none is believed.
func NewAdmin(cfg Config, s Services, log *slog.Logger) *Server {
	cfg.Proxies = nil
	srv := newServer(cfg, s, log)
	srv.admin = true
	srv.mount(srv.adminRoutes())
	return srv
}

// maxHeader is the largest header block that is read.
const maxHeader = 16 << 10

func newServer(cfg Config, services Services, log *slog.Logger) *Server {
	s := &Server{
		cfg: cfg, services: services, log: log, wait: usual(),
		page: template.Must(template.New("page").Parse(pageText)),
	}
	s.base, s.cut = context.WithCancelCause(context.Background())
	s.streams, s.endAll = context.WithCancelCause(s.base)
	s.app = fiber.New(fiber.Config{
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		BodyLimit:                    1,    // all that is read before the route, with its own limit, is known
		Immutable:                    true, // else kept strings change when the next request comes
		ReadBufferSize:               maxHeader,
		ReadTimeout:                  s.wait.header,
		IdleTimeout:                  time.Minute,
		EnableTrustedProxyCheck:      true, // and no proxy is trusted: X-Forwarded-* means nothing
		StrictRouting:                true,
		CaseSensitive:                true,
		DisableStartupMessage:        true,
		DisableDefaultContentType:    true,
		ErrorHandler:                 s.malformed,
	})
	server := s.app.Server()
	server.CloseOnShutdown = true
	server.SecureErrorLogMessage = true
	server.Handler = s.known(server.Handler)
	return s
}

// secure reports whether browsers reach Perch over https.
func (s *Server) secure() bool { return strings.HasPrefix(s.cfg.PublicURL, "https://") }

// Serve answers on ln until Shutdown. It returns nil after that.
func (s *Server) Serve(ln net.Listener) error {
	wrapped := &listener{
		Listener: ln, crowd: newCrowd(s.cfg.Limits, s.trusts, s.log), patience: s.wait.header, linger: s.wait.linger,
	}
	if s.cfg.Certificate != nil {
		wrapped.tls = s.cfg.Certificate.settings()
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ln.Close()
	}
	s.ln = wrapped
	s.mu.Unlock()
	err := s.app.Listener(wrapped)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

var errStopping = errors.New("the server is stopping")

// Shutdown stops accepting and ends streams at once. Requests under way finish;
// when ctx ends those that have not are cut off, and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	ln := s.ln
	s.mu.Unlock()
	s.endAll(errStopping)
	defer s.cut(errStopping)
	if ln == nil {
		return nil
	}
	ln.closeUnused()
	err := s.app.ShutdownWithContext(ctx)
	_ = ln.Close() // in case Fiber has not heard of it yet
	ln.closeAll()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
