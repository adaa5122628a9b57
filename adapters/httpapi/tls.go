package httpapi

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A Certificate is what a door proves itself with: a chain and its key, in two
// files. The files are looked at again while clients come, and what they hold is
// used once it is a good pair. Until then the pair before stays.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time
	current           atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	looked time.Time
	held   [sha256.Size]byte // digest of the files that current is from
	bad    [sha256.Size]byte // digest of files that are no good pair
	since  time.Time         // when bad was first seen; zero if the files are good
	told   bool
	warned *tls.Certificate // the one of which the log says that it ends soon
}

const (
	lookAgain = time.Second     // between two looks at the files
	lastDay   = 24 * time.Hour  // before the end of the certificate in use
	settling  = 5 * time.Second // for whoever writes them one after the other
)

// OpenCertificate reads the pair. It refuses files that cannot be read, are not
// PEM, do not belong together, or hold a certificate that has expired or is not
// valid yet.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	pair, digest, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current.Store(pair)
	c.held, c.looked = digest, c.now()
	return c, nil
}

// Chain is the pair in use.
func (c *Certificate) Chain() *tls.Certificate { return c.current.Load() }

// read returns the pair in the files, and a digest of what they hold, good or not.
func (c *Certificate) read() (pair *tls.Certificate, digest [sha256.Size]byte, err error) {
	chain, err1 := os.ReadFile(c.certFile)
	key, err2 := os.ReadFile(c.keyFile)
	whole := fmt.Appendf(nil, "%d:%v:%v:", len(chain), err1, err2)
	digest = sha256.Sum256(append(append(whole, chain...), key...))
	if err = errors.Join(err1, err2); err != nil {
		return nil, digest, err
	}
	got, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, digest, fmt.Errorf("%s and %s are no certificate and its key: %w", c.certFile, c.keyFile, err)
	}
	switch from, end := got.Leaf.NotBefore, got.Leaf.NotAfter; {
	case c.now().After(end):
		return nil, digest, fmt.Errorf("the certificate in %s has expired on %s", c.certFile, end.Format(time.DateOnly))
	case c.now().Before(from):
		return nil, digest, fmt.Errorf("the certificate in %s is good only from %s on; compare the clock",
			c.certFile, from.Format(time.DateTime))
	}
	return &got, digest, nil
}

// settings are how the door speaks TLS.
func (c *Certificate) settings() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.look()
			return c.current.Load(), nil
		},
	}
}

// look takes new files over. Nobody waits for somebody else's look.
func (c *Certificate) look() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.looked) < lookAgain {
		return
	}
	c.looked = now
	defer c.warn()
	pair, digest, err := c.read()
	switch {
	case digest == c.held:
		c.since, c.told = time.Time{}, false
	case err == nil:
		c.current.Store(pair)
		c.held, c.since, c.told = digest, time.Time{}, false
		c.log.Info("the new certificate is in use", "file", c.certFile, "names", pair.Leaf.DNSNames,
			"until", pair.Leaf.NotAfter)
	case c.since.IsZero() || digest != c.bad:
		c.bad, c.since, c.told = digest, now, false
	case !c.told && now.Sub(c.since) >= settling:
		c.told = true
		c.log.Error("the new certificate is not used, the one before is; repair the files, they are looked at again",
			"err", err, "until", c.current.Load().Leaf.NotAfter)
	}
}

// warn says once of the certificate in use that it ends within a day.
func (c *Certificate) warn() {
	used := c.current.Load()
	if used == c.warned || used.Leaf.NotAfter.Sub(c.now()) > lastDay {
		return
	}
	c.warned = used
	c.log.Error("the certificate in use ends, and clients refuse it then; put a new one in its place",
		"file", c.certFile, "until", used.Leaf.NotAfter)
}

// plainAnswer is for clients that speak HTTP where TLS is spoken.
const plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: " + problemJSON + "\r\nCache-Control: no-store\r\n" +
	"X-Content-Type-Options: nosniff\r\nVary: Origin\r\nConnection: close\r\n\r\n" +
	`{"type":"` + typePrefix + plainHTTP + `","title":"Invalid request","status":400,` +
	`"detail":"HTTPS is spoken here; use https:// in the URL, and replace the credential if one was sent"}` + "\n"

// greet does the handshake. A client that spoke HTTP is told so.
func (c *conn) greet() error {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.from.patience))
	err := secure.Handshake()
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && isHTTP(plain.RecordHeader) {
		_, _ = plain.Conn.Write([]byte(plainAnswer))
	}
	if err != nil {
		c.gone.Store(true) // there is nobody to send a reply to
		return err
	}
	return c.raw.SetWriteDeadline(time.Time{})
}

// isHTTP reports whether the first bytes are those of a request in the open.
func isHTTP(first [5]byte) bool {
	switch string(first[:4]) {
	case "GET ", "HEAD", "POST", "PUT ", "PATC", "DELE", "OPTI":
		return true
	}
	return false
}
