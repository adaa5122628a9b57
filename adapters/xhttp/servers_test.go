package xhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/secret"
	"perch/domain/xapi"
	"perch/ports"
	"perch/ports/conformance"
)

const canary = "canary-4b1d"

// patient is longer than any test server takes to answer, however busy the machine is.
const patient = 30 * time.Second

// gateway returns a gateway to a test server.
func gateway(t *testing.T, s *httptest.Server) *Gateway {
	t.Helper()
	cfg := Config{
		APIURL: s.URL, AuthorizeURL: s.URL + "/i/oauth2/authorize", UserAgent: "perch/test",
		WaitTimeout: patient, TokenTimeout: patient,
	}
	if s.TLS != nil {
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func server2(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// both runs a test over HTTP/1.1 and over HTTP/2.
func both(t *testing.T, run func(*testing.T, func(*testing.T, http.HandlerFunc) *httptest.Server)) {
	t.Helper()
	t.Run("HTTP/1.1", func(t *testing.T) { run(t, server) })
	t.Run("HTTP/2", func(t *testing.T) { run(t, server2) })
}

// wireServer hands each connection to serve and counts them.
func wireServer(t *testing.T, serve func(n int64, c net.Conn)) (url string, count *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	count = &atomic.Int64{}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := count.Add(1)
			go func() {
				defer func() { _ = c.Close() }()
				serve(n, c)
			}()
		}
	}()
	return "http://" + l.Addr().String(), count
}

// nowhere is an address that refuses connections until the test ends.
func nowhere(t *testing.T) string {
	t.Helper()
	return "http://" + conformance.OwnPort(t)
}

// overdue makes the call with a deadline that is soon over, or later on a machine
// that does not get to send it until then.
func overdue(t *testing.T, call func(context.Context) error) error {
	t.Helper()
	for had := 50 * time.Millisecond; ; had *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), had)
		err := call(ctx)
		cancel()
		if !errors.Is(err, ports.ErrUnsent) || had > 10*time.Second {
			return err
		}
	}
}

// connect makes a first call, so that the connection is a used one. A ping waits for
// some seconds only.
func connect(t *testing.T, g *Gateway) {
	t.Helper()
	err := g.Ping(t.Context())
	for range 9 {
		if err != nil {
			err = g.Ping(t.Context())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func at(t *testing.T, url string) *Gateway {
	t.Helper()
	g, err := New(Config{APIURL: url, WaitTimeout: patient, TokenTimeout: patient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func action(t *testing.T, id string) xapi.Action {
	t.Helper()
	a, ok := xapi.ByID(id)
	if !ok {
		t.Fatalf("the catalogue has no %s", id)
	}
	return a
}

func readMe(t *testing.T) ports.Call {
	t.Helper()
	return ports.Call{Action: action(t, "getUsersMe"), Token: secret.New("x-token"), Length: 0}
}

var (
	confidential = ports.XApp{
		ID: "one", ClientID: "client", ClientSecret: secret.New("client-secret-" + canary),
		APIKey: "api-key", APISecret: secret.New("api-secret-" + canary),
	}
	public = ports.XApp{ID: "two", ClientID: "public-client"}
)
