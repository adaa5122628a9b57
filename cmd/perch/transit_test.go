package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"perch/cmd/internal/config"
)

// writePair writes a certificate that signs itself, and its key, into files here
// and returns the settings that name them.
func writePair(t *testing.T, name string, from, until time.Duration) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: now.Add(from), NotAfter: now.Add(until),
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: raw},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"PERCH_TLS_CERT_FILE=tls.crt", "PERCH_TLS_KEY_FILE=tls.key"}
}

func TestPerchSpeaksTLSWithClientsOperatorsAndItsOwnCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	pair := writePair(t, "perch.example", -time.Hour, time.Hour)
	r, stop := started(t, quiet(append(pair, "PERCH_STORE=memory:")...), "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	public := between(r.err.String(), "clients on https://", ", and")
	admin := between(r.err.String(), "operators on https://", ".\n")
	if public == "" || admin == "" || !strings.Contains(r.err.String(), "Register https://") {
		t.Fatalf("what is told has no https: %s", &r.err)
	}
	secure, err := toOwn("tls.crt")
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{public, admin} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: through(secure)}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s: %d %v", host, res.StatusCode, res.Header)
		}
	}
	perch(t, append(pair, "PERCH_ADMIN_LISTEN="+admin), "", "apps", "add", "One").says(t, exitDone, "app_")
	perch(t, []string{"PERCH_ADMIN_URL=https://" + admin}, "", "apps", "list").says(t, exitFailed, "certificate")
	perch(t, append(pair, "PERCH_LISTEN="+public, "PERCH_PUBLIC_URL=https://perch.example"), "", "doctor").
		says(t, exitFailed, "a Perch listens on "+public+" already", "warn  TLS           the certificate ends on")
	stop()
}

func TestServeRefusesACertificateThatCannotBeUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	perch(t, quiet("PERCH_TLS_CERT_FILE=no.crt", "PERCH_TLS_KEY_FILE=no.key"), "", "serve").
		says(t, exitMisuse, "PERCH_TLS_CERT_FILE", "open no.crt", "open no.key")
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("it made %v before it failed, %v", files, err)
	}
	perch(t, quiet("PERCH_STORE=memory:", "PERCH_TLS_CERT_FILE=no.crt"), "", "serve").
		says(t, exitMisuse, "PERCH_TLS_KEY_FILE is not set")
	perch(t, quiet("PERCH_STORE=memory:", "PERCH_LISTEN=0.0.0.0:0", "PERCH_PUBLIC_URL=https://perch.example"), "", "serve").
		says(t, exitMisuse, "PERCH_LISTEN (0.0.0.0:0) can be reached from other machines", "PERCH_TRUSTED_PROXIES")
}

func TestServeTellsWhatDoctorTellsOfACallbackOnLocalhost(t *testing.T) {
	t.Chdir(t.TempDir())
	environ := quiet(append(writePair(t, "localhost", -time.Hour, time.Hour),
		"PERCH_STORE=memory:", "PERCH_PUBLIC_URL=https://localhost:18100")...)
	const say = "X refuses callback URLs on localhost; set PERCH_PUBLIC_URL to https://127.0.0.1:18100 and register " +
		"https://127.0.0.1:18100/oauth/callback"
	perch(t, environ, "", "doctor").says(t, exitFailed, "FAIL  redirect      "+say)
	r, stop := started(t, environ, "serve")
	eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
	stop()
	r.says(t, exitDone, "No callback URL can be registered: "+say)
	if strings.Contains(r.err.String(), "Register ") {
		t.Errorf("serve advises to register it all the same: %s", &r.err)
	}
}

func TestEveryAddressOfTheMachineIsNoAddress(t *testing.T) {
	for address, want := range map[string]string{
		":18100": "every address of this machine, port 18100", "0.0.0.0:18100": "every address of this machine, port 18100",
		"[::]:18100": "every address of this machine, port 18100", "127.0.0.1:18100": "https://127.0.0.1:18100",
	} {
		at, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if at.IP == nil { // as a listener's address is
			at.IP = net.IPv6unspecified
		}
		if got := whereIs(config.Config{TLSCertFile: "tls.crt"}, addressed{at: at}); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// addressed is a listener that has an address and nothing else: test servers
// listen on loopback only.
type addressed struct {
	net.Listener
	at net.Addr
}

func (a addressed) Addr() net.Addr { return a.at }

func TestDoctorLooksAtTheCertificate(t *testing.T) {
	x := box(t, 0, "https://perch.example/oauth/callback")
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		names       string
		from, until time.Duration
		change      func() error
		code        int
		say         string
	}{
		"good":    {"perch.example", -day, 90 * day, nil, exitDone, "ok    TLS           the certificate and its key fit, until"},
		"soon":    {"perch.example", -day, 3 * day, nil, exitDone, "warn  TLS           the certificate ends on"},
		"over":    {"perch.example", -day, -time.Hour, nil, exitFailed, "FAIL  TLS           the certificate in tls.crt has expired"},
		"early":   {"perch.example", day, 90 * day, nil, exitFailed, "FAIL  TLS           the certificate in tls.crt is good only from"},
		"another": {"other.example", -day, 90 * day, nil, exitFailed, "not for perch.example, so browsers refuse it; it is for [other.example]"},
		"key of another": {"perch.example", -day, 90 * day, func() error {
			return os.WriteFile("tls.key", []byte("no key"), 0o600)
		}, exitFailed, "are no certificate and its key"},
		"key for all": {"perch.example", -day, 90 * day, func() error { return os.Chmod("tls.key", 0o644) },
			exitDone, "warn  TLS           every user of this machine can read the key; chmod o= tls.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			pair := writePair(t, c.names, c.from, c.until)
			if c.change != nil {
				if err := c.change(); err != nil {
					t.Fatal(err)
				}
			}
			perch(t, boxed(x, x, append(pair, "PERCH_PUBLIC_URL=https://perch.example")...), "", "doctor").says(t, c.code, c.say)
		})
	}
}
