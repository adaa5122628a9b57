package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"

	"perch/cmd/internal/config"
)

// transit is how Perch is spoken to over TLS; nil is as usual. The Perch of the
// same settings is known by its certificate, and each by the authorities that this
// machine trusts and those in --ca-file.
func (r remote) transit(p *program) (secure *tls.Config, err error) {
	if file := p.settings.Lookup("PERCH_TLS_CERT_FILE"); r.Server == "" && file != "" {
		if secure, err = toOwn(file); err != nil {
			return nil, err
		}
	}
	if r.CAFile == "" {
		return secure, nil
	}
	text, err := os.ReadFile(r.CAFile) // #nosec G304 -- named by the operator
	if err != nil {
		return nil, config.Mistakes{{Variable: "PERCH_ADMIN_CA_FILE", Say: "cannot be read: " + err.Error()}}
	}
	if secure == nil {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
		if secure.RootCAs, err = x509.SystemCertPool(); err != nil {
			secure.RootCAs = x509.NewCertPool()
		}
	}
	if !secure.RootCAs.AppendCertsFromPEM(text) {
		return nil, config.Mistakes{{Variable: "PERCH_ADMIN_CA_FILE", Say: "names " + r.CAFile +
			", which holds no certificate in PEM"}}
	}
	return secure, nil
}

// distrust says why a certificate is not taken, "" if that is not what is wrong.
func distrust(err error) string {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	name, other := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case unknown:
		return "nobody whom this machine trusts vouches for its certificate; name its authority with --ca-file"
	case other:
		return "its certificate is not for " + name.Host + "; write the name it is for, as --server https://NAME:PORT"
	case invalid:
		return "its certificate has expired, or cannot be used: " + err.Error()
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS; write http://"
	}
	return ""
}
