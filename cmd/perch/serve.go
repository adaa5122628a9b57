package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"

	"perch/adapters/httpapi"
	"perch/adapters/telemetry"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

type serveVerb struct {
	config.Config `embed:""`
}

// Run serves until it is stopped.
func (v *serveVerb) Run(ctx context.Context, p *program) error {
	cfg, err := p.settle(v.Config)
	if err != nil {
		return err
	}
	if err := canProveItself(cfg); err != nil {
		return err
	}
	s := untilStopped(ctx)
	defer s.release()
	log := telemetry.NewLogger(p.out, cfg.LogLevel, cfg.LogFormat)

	listeners, cfg, err := listenFor(ctx, cfg)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	if cfg, err = p.withAdminToken(cfg); err != nil {
		return err
	}
	doors, closeHouse, err := openHouse(ctx, cfg, listeners, log)
	if err != nil {
		return err
	}
	defer closeHouse()
	p.tellStart(cfg, listeners)
	err = open(s, cfg.ShutdownGrace, doors)
	p.note("Perch has stopped.\n")
	return err
}

// settle completes the settings and tells of variables that are none.
func (p *program) settle(c config.Config) (config.Config, error) {
	mistakes := p.settings.Settle(&c)
	for _, say := range p.settings.Unknown(notSettings()...) {
		p.note("perch: %s\n", say)
	}
	if len(mistakes) > 0 {
		return c, mistakes
	}
	return c, nil
}

// notSettings are variables that have to do with Perch and set nothing.
func notSettings() []string { return []string{"PERCH_VERIFIED", "PERCH_CHROMIUM"} }

// canProveItself looks at the certificate before anything is made.
func canProveItself(cfg config.Config) error {
	if !cfg.TLS() {
		return nil
	}
	if _, err := httpapi.OpenCertificate(cfg.TLSCertFile, cfg.TLSKeyFile, slog.New(slog.DiscardHandler)); err != nil {
		return config.Mistakes{{Variable: "PERCH_TLS_CERT_FILE", Say: "and PERCH_TLS_KEY_FILE give nothing to speak TLS " +
			"with: " + strings.ReplaceAll(err.Error(), "\n", "; ") +
			". Put a certificate, with its chain, and its key there"}}
	}
	return nil
}

// listenFor opens the public listener and, unless settings want none, the
// operators'. A port that was left to the system goes into the public URL.
func listenFor(ctx context.Context, cfg config.Config) ([]net.Listener, config.Config, error) {
	var listeners []net.Listener
	var taken []error
	for _, l := range []struct{ setting, address string }{
		{"PERCH_LISTEN", cfg.Listen}, {"PERCH_ADMIN_LISTEN", cfg.AdminListen},
	} {
		if l.address == "" {
			continue
		}
		ln, err := listen(ctx, l.setting, l.address)
		if err != nil {
			taken = append(taken, err)
			continue
		}
		listeners = append(listeners, ln)
	}
	if len(taken) > 0 {
		closeAll(listeners)
		return nil, cfg, errors.Join(taken...)
	}
	if cfg.PublicURL == "" {
		cfg.PublicURL = cfg.Scheme() + hostOf(listeners[0])
	}
	return listeners, cfg, nil
}

// closeAll closes listeners that no door has closed.
func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		_ = ln.Close() // closed twice where a door did it
	}
}

// openHouse puts a Perch behind the listeners.
func openHouse(
	ctx context.Context, cfg config.Config, listeners []net.Listener, log *slog.Logger,
) ([]door, func(), error) {
	house, closeHouse, err := wiring.Serve(ctx, cfg, wiring.Version(versionName()), log)
	if err != nil {
		return nil, nil, err
	}
	return houseDoors(house, listeners), closeHouse, nil
}

func houseDoors(house *wiring.House, listeners []net.Listener) []door {
	doors := []door{perchDoor(listeners[0], house.Public)}
	if house.Admin != nil && len(listeners) > 1 {
		doors = append(doors, perchDoor(listeners[1], house.Admin))
	}
	return doors
}

func (p *program) tellStart(cfg config.Config, listeners []net.Listener) {
	at := whereIs(cfg, listeners[0])
	p.note("Perch %s serves clients on %s", versionName(), at)
	if cfg.PublicURL != at {
		p.note(", known to browsers as %s", cfg.PublicURL)
	}
	if len(listeners) > 1 {
		p.note(", and operators on %s", whereIs(cfg, listeners[1]))
	}
	p.note(".\n")
	if say := onLocalhost(cfg); say != "" {
		p.note("No callback URL can be registered: %s.\n", say)
	} else {
		p.note("Register %s at X as callback URL.\n", cfg.Callback())
	}
	if cfg.X.ClientID == "" {
		p.note("PERCH_X_CLIENT_ID is not set: nobody can connect with X until it is, or perch xapps add was used.\n")
	}
}
