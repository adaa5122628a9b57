package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"

	"perch/adapters/telemetry"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/secret"
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

// listenFor opens the public listener and, unless settings want none, the
// operators'. A port that was left to the system goes into the public URL.
func listenFor(ctx context.Context, cfg config.Config) ([]net.Listener, config.Config, error) {
	public, err := listen(ctx, "PERCH_LISTEN", cfg.Listen)
	if err != nil {
		return nil, cfg, err
	}
	if cfg.PublicURL == "" {
		cfg.PublicURL = urlOf(public)
	}
	if cfg.AdminListen == "" {
		return []net.Listener{public}, cfg, nil
	}
	admin, err := listen(ctx, "PERCH_ADMIN_LISTEN", cfg.AdminListen)
	if err != nil {
		return nil, cfg, errors.Join(err, public.Close())
	}
	return []net.Listener{public, admin}, cfg, nil
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
	p.note("Perch %s serves clients on %s", versionName(), urlOf(listeners[0]))
	if cfg.PublicURL != urlOf(listeners[0]) {
		p.note(", known to browsers as %s", cfg.PublicURL)
	}
	if len(listeners) > 1 {
		p.note(", and operators on %s", urlOf(listeners[1]))
	}
	p.note(".\nRegister %s at X as callback URL.\n", cfg.Callback())
	if cfg.X.ClientID == "" {
		p.note("PERCH_X_CLIENT_ID is not set: nobody can connect with X until it is, or perch xapps add was used.\n")
	}
}

// withAdminToken gives settings without an operators' token the one from its
// usual file, which is made if there is none.
func (p *program) withAdminToken(cfg config.Config) (config.Config, error) {
	if cfg.AdminListen == "" || !cfg.AdminToken.Empty() {
		return cfg, nil
	}
	file := config.DefaultAdminTokenFile
	token := rand.Text() + rand.Text()
	err := writeNew(file, token+"\n")
	switch {
	case err == nil:
		p.note("Made the operators' token; it is in %s.\n", file)
		cfg.AdminToken = secret.New(token)
		return cfg, nil
	case !errors.Is(err, fs.ErrExist):
		return cfg, fmt.Errorf("the operators' token cannot be kept (%w); set PERCH_ADMIN_TOKEN", err)
	}
	if err := private(file); err != nil {
		return cfg, err
	}
	text, mistakes := p.settings.Secret("PERCH_ADMIN_TOKEN", file)
	cfg.AdminToken = text
	if mistakes = slices.Concat(mistakes, cfg.Check()); len(mistakes) > 0 {
		return cfg, mistakes
	}
	return cfg, nil
}

// private refuses a file that others than its owner may read.
func private(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (mode %04o); run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
	return nil
}

// writeNew writes a file for its owner's eyes only. If there is one already the
// error is fs.ErrExist.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- our own path
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
