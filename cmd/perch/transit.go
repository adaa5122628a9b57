package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// toOwn is how the Perch on this machine is spoken to if its certificate is the
// one in the file. It must prove itself with that one or with one that the system
// trusts, under the name that the certificate has: the address is this machine's
// and stands in no certificate.
func toOwn(certFile string) (*tls.Config, error) {
	text, err := os.ReadFile(certFile) // #nosec G304 -- named by the operator
	if err != nil {
		return nil, fmt.Errorf("PERCH_TLS_CERT_FILE cannot be read: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	block, _ := pem.Decode(text)
	if block == nil || !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("PERCH_TLS_CERT_FILE names %s, which holds no certificate in PEM", certFile)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the certificate in %s cannot be read: %w", certFile, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: oneName(leaf)}, nil
}

// oneName is a name that the certificate is good for, "" if it has none.
func oneName(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "perch", 1)
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return ""
}

// through returns a transport that speaks TLS as secure says; nil is as usual.
func through(secure *tls.Config) http.RoundTripper {
	usual, ok := http.DefaultTransport.(*http.Transport)
	if !ok || secure == nil {
		return http.DefaultTransport
	}
	own := usual.Clone()
	own.TLSClientConfig = secure
	return own
}
