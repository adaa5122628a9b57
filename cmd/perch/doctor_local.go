package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"

	"perch/cmd/internal/config"
	"perch/domain/client"
)

// operators looks at how operators get in.
func (e *exam) operators(context.Context) {
	const about = "operators"
	if e.cfg.AdminListen == "" {
		e.add(fine, about, "they have no listener (PERCH_ADMIN_LISTEN is off)")
		return
	}
	if host, _, err := net.SplitHostPort(e.cfg.AdminListen); err == nil && !client.Loopback(host) {
		e.add(doubtful, about, "%s can be reached from other machines; keep it in a private network", e.cfg.AdminListen)
	}
	file := config.DefaultAdminTokenFile
	_, err := os.Stat(file)
	switch {
	case e.cfg.AdminTokenOff:
		e.add(fine, about, "the founding token is off: each needs a token of his own")
	case !e.cfg.AdminToken.Empty():
		e.add(fine, about, "the founding token is set")
	case errors.Is(err, fs.ErrNotExist):
		e.add(fine, about, "%s does not exist yet; perch serve makes it", file)
	case err != nil:
		e.add(broken, about, "%v; repair it, or set PERCH_ADMIN_TOKEN", err)
	default:
		e.tokenFile(about, file)
	}
}

func (e *exam) tokenFile(about, file string) {
	if _, err := usualToken(e.cfg); err != nil {
		e.add(broken, about, "%v", err)
		return
	}
	e.add(fine, about, "the founding token is in %s", file)
}

// listeners tries whether Perch could listen where it is told to.
func (e *exam) listeners(ctx context.Context) {
	for _, l := range []struct{ setting, address string }{
		{"PERCH_LISTEN", e.cfg.Listen}, {"PERCH_ADMIN_LISTEN", e.cfg.AdminListen},
	} {
		if l.address == "" {
			continue
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.address)
		switch {
		case err == nil:
			_ = ln.Close()
			e.add(fine, "listeners", "%s is free", l.address)
		case !errors.Is(err, syscall.EADDRINUSE):
			e.add(broken, "listeners", "%s cannot be listened on: %s; change %s", l.address, inWords(err), l.setting)
		case e.isPerch(ctx, l.address):
			e.add(fine, "listeners", "a Perch listens on %s already", l.address)
		default:
			e.add(broken, "listeners", "something else listens on %s; stop it, or change %s", l.address, l.setting)
		}
	}
}

// isPerch asks whoever listens at the address for the health that Perch reports.
func (e *exam) isPerch(ctx context.Context, address string) bool {
	ask := asker()
	if e.cfg.TLS() {
		secure, err := toOwn(e.cfg.TLSCertFile)
		if err != nil {
			return false // reported with the certificate
		}
		ask.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: secure}
	}
	host, port, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at := e.cfg.Scheme() + net.JoinHostPort(host, port) + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return false
	}
	res, err := ask.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	var health struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&health)
	return err == nil && health.Status != "" && health.Version != ""
}

// asker asks plain questions: no proxy, no redirects.
func asker() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
