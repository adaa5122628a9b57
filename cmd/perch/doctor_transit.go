package main

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"perch/adapters/httpapi"
	"perch/domain/client"
)

// soon is how long before its end a certificate is worth a word: whoever renews
// it automatically has done so by then.
const soon = 14 * 24 * time.Hour

// certificate looks at what Perch proves itself with, and at who may speak to it
// in the open.
func (e *exam) certificate(context.Context) {
	const about = "TLS"
	if !e.cfg.TLS() {
		e.plain(about)
		return
	}
	if e.cfg.TLSKeyFile == "" {
		return // reported with the settings
	}
	cert, err := httpapi.OpenCertificate(e.cfg.TLSCertFile, e.cfg.TLSKeyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		e.add(broken, about, "%v; put a certificate, with its chain, and its key there "+
			"(PERCH_TLS_CERT_FILE, PERCH_TLS_KEY_FILE)", err)
		return
	}
	leaf := cert.Chain().Leaf
	if u, err := url.Parse(e.cfg.PublicURL); err == nil && u.Hostname() != "" {
		if leaf.VerifyHostname(u.Hostname()) != nil {
			e.add(broken, about, "the certificate in %s is not for %s, so browsers refuse it; it is for %v %v",
				e.cfg.TLSCertFile, u.Hostname(), leaf.DNSNames, leaf.IPAddresses)
		}
	}
	switch left := time.Until(leaf.NotAfter); {
	case left < soon:
		e.add(doubtful, about, "the certificate ends on %s; put a new one in its place, Perch takes it over by itself",
			leaf.NotAfter.Format(time.DateOnly))
	default:
		e.add(fine, about, "the certificate and its key fit, until %s", leaf.NotAfter.Format(time.DateOnly))
	}
	if info, err := os.Stat(e.cfg.TLSKeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		e.add(doubtful, about, "every user of this machine can read the key; chmod o= %s", e.cfg.TLSKeyFile)
	}
}

func (e *exam) plain(about string) {
	switch host, _, err := net.SplitHostPort(e.cfg.Listen); {
	case len(e.cfg.TrustedProxies) > 0:
		e.add(fine, about, "Perch speaks plain HTTP, with this machine and the proxies in PERCH_TRUSTED_PROXIES alone")
	case err == nil && client.Loopback(host):
		e.add(fine, about, "Perch speaks plain HTTP, with this machine alone")
	}
}
