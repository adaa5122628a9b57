package httpapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/app/operators"
)

// Every test of the door can run over TLS.
var overTLS = flag.Bool("tls", false, "let the doors of all tests speak TLS")

// An authority issues certificates that the clients of tests trust.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
}

// trusted returns the one authority; http.DefaultTransport trusts it too.
var trusted = sync.OnceValue(func() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	a := &authority{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, roots: x509.NewCertPool()}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	a.roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	usual, _ := http.DefaultTransport.(*http.Transport)
	usual.TLSClientConfig = &tls.Config{RootCAs: a.roots, MinVersion: tls.VersionTLS12}
	return a
})

// pair returns a certificate for the names and its key, in PEM.
func (a *authority) pair(t testing.TB, serial int64, until time.Time, names ...string) (cert, key []byte) {
	t.Helper()
	return a.pairFrom(t, serial, time.Now().Add(-2*time.Hour), until, names...)
}

func (a *authority) pairFrom(t testing.TB, serial int64, since, until time.Time, names ...string) (cert, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: since, NotAfter: until, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, &own.PublicKey, a.key)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(own)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// A pairOnDisk is where a certificate and its key are.
type pairOnDisk struct{ cert, key string }

func onDisk(t testing.TB) pairOnDisk {
	dir := t.TempDir()
	return pairOnDisk{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
}

func (p pairOnDisk) write(t testing.TB, cert, key []byte) {
	t.Helper()
	must(t, os.WriteFile(p.cert, cert, 0o600))
	must(t, os.WriteFile(p.key, key, 0o600))
}

// certificate returns one for the doors of tests.
func certificate(t testing.TB) *Certificate {
	t.Helper()
	files := onDisk(t)
	cert, key := trusted().pair(t, 2, time.Now().Add(time.Hour), "perch.example")
	files.write(t, cert, key)
	c, err := OpenCertificate(files.cert, files.key, slog.New(slog.DiscardHandler))
	must(t, err)
	return c
}

// hostOf is host and port of a URL.
func hostOf(base string) string {
	_, host, _ := strings.Cut(base, "://")
	return host
}

// serial is that of the certificate with which the door answers.
func serial(t *testing.T, base string) int64 {
	t.Helper()
	c, ok := dial(t, base).(*tls.Conn)
	if !ok {
		t.Fatal("no TLS")
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestTheDoorSpeaksTLS12AndLaterAndHTTP11(t *testing.T) {
	h := build(t, plan{tls: true})
	hello := func(change func(*tls.Config)) (*tls.Conn, error) {
		cfg := &tls.Config{RootCAs: trusted().roots, ServerName: "127.0.0.1"}
		change(cfg)
		return tls.Dial("tcp", hostOf(h.public), cfg)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if c, err := hello(func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }); err == nil {
			t.Errorf("%s is spoken", tls.VersionName(c.ConnectionState().Version))
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, err := hello(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.NextProtos = version, version, []string{"h2", "http/1.1"}
		})
		if err != nil || c.ConnectionState().NegotiatedProtocol != "http/1.1" {
			t.Errorf("%s: %v, %+v", tls.VersionName(version), err, c)
		}
	}
	if _, err := hello(func(c *tls.Config) { c.NextProtos = []string{"h2"} }); err == nil {
		t.Error("a client that speaks HTTP/2 alone is let in")
	}
	for _, base := range []string{h.public, h.admin} {
		if a := ask(t, "GET", base+"/healthz", ""); a.StatusCode != http.StatusOK || a.TLS == nil {
			t.Errorf("%s: %d", base, a.StatusCode)
		}
	}
}

func TestPlainHTTPToATLSDoorIsToldSo(t *testing.T) {
	h := build(t, plan{tls: true})
	for _, base := range []string{h.public, h.admin} {
		for _, request := range []string{"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "POST /oauth/token HTTP/1.1\r\nHost: a\r\n\r\n"} {
			got := raw(t, "http://"+hostOf(base), request)
			for _, want := range []string{
				"HTTP/1.1 400 ", "https://", "\r\nVary: Origin\r\n", "\r\nX-Content-Type-Options: nosniff\r\n", "\r\nCache-Control: no-store\r\n",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("%q is answered without %q: %q", request, want, got)
				}
			}
		}
		if got := raw(t, "http://"+hostOf(base), "\x00\x01\x02\x03\x04\x05"); strings.Contains(got, "HTTP") {
			t.Errorf("noise: %q", got)
		}
	}
}

func TestASlowOrSilentHandshakeIsCut(t *testing.T) {
	s := newServer(Config{Certificate: certificate(t)}, Services{}, slog.New(slog.DiscardHandler))
	s.app.Server().ReadTimeout = 300 * time.Millisecond
	ln := listenLocal(t)
	run(t, s, ln)
	drip := func(c net.Conn, text string) {
		for i := range len(text) {
			if _, err := c.Write([]byte{text[i]}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	for name, talk := range map[string]func(net.Conn){
		"silent": func(net.Conn) {},
		"slow":   func(c net.Conn) { drip(c, "\x16\x03\x01\x02\x00"+strings.Repeat("\x01", 512)) },
		"header": func(c net.Conn) {
			drip(tls.Client(c, &tls.Config{RootCAs: trusted().roots, ServerName: "127.0.0.1"}), "GET / HTTP/1.1\r\nX: "+strings.Repeat("a", 512))
		},
	} {
		c := dial(t, "http://"+ln.Addr().String())
		go talk(c)
		if _, err := io.Copy(io.Discard, c); timedOut(err) {
			t.Errorf("%s: the connection stays open", name)
		}
	}
}

func TestANewCertificateIsUsedAndABadOneIsNot(t *testing.T) {
	files, log := onDisk(t), &logBuffer{}
	far := time.Now().Add(time.Hour)
	one, oneKey := trusted().pair(t, 11, far, "perch.example")
	two, twoKey := trusted().pair(t, 12, far, "perch.example")
	old, oldKey := trusted().pair(t, 13, time.Now().Add(-time.Minute), "perch.example")
	early, earlyKey := trusted().pairFrom(t, 14, time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour), "perch.example")
	files.write(t, one, oneKey)
	cert, err := OpenCertificate(files.cert, files.key, slog.New(slog.NewTextHandler(log, nil)))
	must(t, err)
	now := time.Now()
	cert.now = func() time.Time { return now } // only this goroutine moves it, and only while nobody shakes hands
	s := newServer(Config{Certificate: cert}, Services{}, slog.New(slog.DiscardHandler))
	ln := listenLocal(t)
	run(t, s, ln)
	seen := func(after time.Duration) int64 {
		now = now.Add(after)
		return serial(t, "https://"+ln.Addr().String())
	}

	for name, bad := range map[string]pairOnDisk{
		"half of another pair": {string(two), string(oneKey)},
		"cut in the middle":    {string(two[:len(two)/2]), string(twoKey)},
		"expired":              {string(old), string(oldKey)},
		"not valid yet":        {string(early), string(earlyKey)},
		"empty":                {"", ""},
	} {
		before := strings.Count(log.String(), "is not used")
		files.write(t, []byte(bad.cert), []byte(bad.key))
		for range 3 { // however often it is asked for within the time of grace
			if got := seen(time.Second); got != 11 {
				t.Fatalf("%s: certificate %d", name, got)
			}
		}
		if strings.Count(log.String(), "is not used") != before {
			t.Errorf("%s: told while it may still be being written", name)
		}
		for range 3 {
			if got := seen(time.Minute); got != 11 {
				t.Fatalf("%s: certificate %d", name, got)
			}
		}
		if strings.Count(log.String(), "is not used") != before+1 {
			t.Errorf("%s: told %d times:\n%s", name, strings.Count(log.String(), "is not used")-before, log)
		}
	}
	must(t, os.Remove(files.key))
	if got := seen(time.Minute); got != 11 {
		t.Errorf("without the key: certificate %d", got)
	}
	files.write(t, two, twoKey)
	if got := seen(time.Minute); got != 12 {
		t.Errorf("the new pair: certificate %d\n%s", got, log)
	}
	files.write(t, one, oneKey)
	if got := seen(time.Second); got != 11 {
		t.Errorf("and back: certificate %d", got)
	}
	if strings.Contains(log.String(), "PRIVATE") || bytes.Contains([]byte(log.String()), oneKey[40:80]) {
		t.Error("the key is in the log")
	}
}

func TestTheEndOfTheCertificateInUseIsToldOnceADayBefore(t *testing.T) {
	files, log := onDisk(t), &logBuffer{}
	soon, soonKey := trusted().pair(t, 31, time.Now().Add(48*time.Hour))
	later, laterKey := trusted().pair(t, 32, time.Now().Add(480*time.Hour))
	files.write(t, soon, soonKey)
	c, err := OpenCertificate(files.cert, files.key, slog.New(slog.NewTextHandler(log, nil)))
	must(t, err)
	now := time.Now()
	c.now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		told  int
	}{{time.Hour, 0}, {24 * time.Hour, 1}, {time.Hour, 1}, {30 * time.Hour, 1}} {
		now = now.Add(step.after)
		c.look()
		if n := strings.Count(log.String(), "the certificate in use ends"); n != step.told {
			t.Errorf("at %v told %d times, want %d", now, n, step.told)
		}
	}
	files.write(t, later, laterKey)
	now = now.Add(time.Minute)
	c.look()
	if n := strings.Count(log.String(), "the certificate in use ends"); n != 1 {
		t.Errorf("with the new one told %d times:\n%s", n, log)
	}
}

func TestWhatIsNoCertificateIsRefused(t *testing.T) {
	far := time.Now().Add(time.Hour)
	one, oneKey := trusted().pair(t, 21, far)
	_, twoKey := trusted().pair(t, 22, far)
	old, oldKey := trusted().pair(t, 23, time.Now().Add(-time.Minute))
	early, earlyKey := trusted().pairFrom(t, 24, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour))
	for say, pair := range map[string][2][]byte{
		"no certificate and its key": {one, twoKey},
		"find any PEM":               {[]byte("no PEM"), oneKey},
		"has expired on":             {old, oldKey},
		"is good only from":          {early, earlyKey},
	} {
		files := onDisk(t)
		files.write(t, pair[0], pair[1])
		if _, err := OpenCertificate(files.cert, files.key, nil); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", say, err)
		}
	}
	if _, err := OpenCertificate("/does/not/exist", "/nor/this", nil); err == nil || !strings.Contains(err.Error(), "/nor/this") {
		t.Errorf("missing files: %v", err)
	}
}

// A stranger is a listener whose clients seem to come from another machine.
type stranger struct{ net.Listener }

type strangeConn struct{ net.Conn }

func (s stranger) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	return strangeConn{c}, err
}

func (strangeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711} }

func TestPlainHTTPIsSpokenOnlyWithThisMachineAndProxies(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want string // of the public door; operators' has no proxy
	}{
		"a stranger":          {Config{PublicURL: "https://perch.example"}, "HTTP/1.1 403 "},
		"a declared proxy":    {Config{PublicURL: "https://perch.example", Proxies: prefixes("192.0.2.0/28")}, "HTTP/1.1 200 "},
		"beside the proxy":    {Config{PublicURL: "https://perch.example", Proxies: prefixes("192.0.2.2/32")}, "HTTP/1.1 403 "},
		"a stranger over TLS": {Config{PublicURL: "https://perch.example", Certificate: certificate(t)}, "HTTP/1.1 200 "},
	} {
		log, rooms := slog.New(slog.DiscardHandler), Services{Operators: operators.New(operators.Parts{Observer: silence{}})}
		for _, s := range []*Server{NewPublic(c.cfg, Services{}, log), NewAdmin(c.cfg, rooms, log)} {
			ln := listenLocal(t)
			run(t, s, stranger{ln})
			base := "http://"
			if c.cfg.Certificate != nil {
				base = "https://"
			}
			got := raw(t, base+ln.Addr().String(), "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			want := c.want
			if s.admin && c.cfg.Certificate == nil {
				want = "HTTP/1.1 403 "
			}
			if !strings.HasPrefix(got, want) || !strings.Contains(got, "Strict-Transport-Security: max-age=31536000") {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// Attack 27: the header, not the setting.
func TestEveryReplyOverHTTPSHasHSTS(t *testing.T) {
	direct, behindProxy := build(t, plan{secure: true, tls: true}), build(t, plan{secure: true, proxies: []string{"127.0.0.1/32"}})
	const head = " HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\n"
	for name, request := range map[string]string{
		"healthy":        "GET /healthz" + head + "\r\n",
		"no such path":   "GET /nothing" + head + "\r\n",
		"no credential":  "GET /2/users/me" + head + "\r\n",
		"wrong method":   "PUT /healthz" + head + "\r\n",
		"unknown method": "BREW /healthz" + head + "\r\n",
		"bad path":       "GET /../x" + head + "\r\n",
		"no HTTP":        "GET\r\n\r\n",
		"bad header":     "GET /healthz" + head + "X A: 1\r\n\r\n",
		"large header":   "GET /healthz" + head + "X: " + strings.Repeat("a", maxHeader) + "\r\n\r\n",
		"two lengths":    "POST /oauth/token" + head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"preflight":      "OPTIONS /2/users/me" + head + "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n\r\n",
		"a page":         "GET /oauth/authorize?client_id=x" + head + "Accept: text/html\r\n\r\n",
		"the token":      "POST /oauth/token" + head + "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
	} {
		for _, base := range []string{direct.public, direct.admin, behindProxy.public, behindProxy.admin} {
			got := raw(t, base, request)
			if n := strings.Count(got, "Strict-Transport-Security: max-age=31536000\r\n"); n != 1 {
				t.Errorf("%s at %s: %d times: %.400q", name, base, n, got)
			}
		}
	}
	got := raw(t, behind(t, "http://127.0.0.1:1"), "GET /addr HTTP/1.1\r\nHost: a\r\n\r\n")
	if strings.Contains(got, "Strict-Transport-Security") {
		t.Errorf("HSTS where browsers come over http: %q", got)
	}
}
