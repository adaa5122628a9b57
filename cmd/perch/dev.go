package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"perch/adapters/telemetry"
	"perch/adapters/xhttp/xsim"
	"perch/clients/demo"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/secret"
)

type devVerb struct {
	Listen          string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where clients connect."`
	AdminListen     string `default:"127.0.0.1:8081" placeholder:"HOST:PORT" help:"Where operators connect."`
	XListen         string `name:"x-listen" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Where X in a box listens."`
	DemoListen      string `default:"127.0.0.1:8090" placeholder:"HOST:PORT" help:"Where the page that signs in is."`
	CredentialsFile string `placeholder:"FILE" help:"Write URLs, keys and a grant into this file once everything listens, for scripts."`
	AdminTokenFile  string `placeholder:"FILE" help:"Write the operators' token into this file, for the operators' verbs."`
	LogLevel        string `default:"warn" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"How much is logged: debug, info, warn or error."`
}

// A playground is everything that perch dev runs.
type playground struct {
	public, admin, x, demo net.Listener
	cfg                    config.Config
	sim                    *xsim.Sim
	guest                  guest
}

// Run runs everything until it is stopped.
func (v devVerb) Run(ctx context.Context, p *program) (err error) {
	s := untilStopped(ctx)
	defer s.release()
	g, err := v.playground(ctx)
	if err != nil {
		return err
	}
	defer closeAll(g.listeners())
	log := telemetry.NewLogger(p.err, v.LogLevel, "text")
	house, closeHouse, err := wiring.Serve(ctx, g.cfg, wiring.Version(versionName()), log)
	if err != nil {
		return err
	}
	defer closeHouse()
	g.sim = xsim.New(xsim.Options{Log: log})
	if g.guest, err = welcome(ctx, house, g.sim, urlOf(g.demo)); err != nil {
		return fmt.Errorf("the demo's client application could not be set up: %w", err)
	}
	if err := g.write(v); err != nil {
		return err
	}
	g.tell(p, v.AdminTokenFile)
	page := demo.Handler(demo.Settings{
		BaseURL: g.cfg.PublicURL, ClientID: g.guest.publishable, SimulatorURL: urlOf(g.x),
	})
	return open(s, simulatorGrace, append(
		houseDoors(house, []net.Listener{g.public, g.admin}),
		plainDoor(g.x, g.sim, g.sim.Close),
		plainDoor(g.demo, page, func() {}),
	))
}

// playground listens everywhere and derives the settings from where.
func (v devVerb) playground(ctx context.Context) (*playground, error) {
	g := &playground{}
	var taken []error
	again := "perch dev"
	for _, l := range []struct {
		into          *net.Listener
		flag, address string
	}{
		{&g.public, "--listen", v.Listen}, {&g.admin, "--admin-listen", v.AdminListen},
		{&g.x, "--x-listen", v.XListen}, {&g.demo, "--demo-listen", v.DemoListen},
	} {
		ln, err := listen(ctx, l.flag, l.address)
		if err != nil {
			taken = append(taken, err)
			again += " " + l.flag + "=127.0.0.1:0"
			continue
		}
		*l.into = ln
	}
	if len(taken) > 0 {
		closeAll(g.listeners())
		return nil, errors.Join(append(taken,
			fmt.Errorf("for instance: %s (from the source: go run ./cmd/%s)", again, again))...)
	}
	app := xsim.DefaultApp()
	cfg, err := config.Defaults()
	if err != nil {
		closeAll(g.listeners())
		return nil, err
	}
	cfg.Listen, cfg.AdminListen, cfg.PublicURL = g.public.Addr().String(), g.admin.Addr().String(), urlOf(g.public)
	cfg.Store, cfg.AdminToken = "memory:", secret.New(rand.Text()+rand.Text())
	cfg.X.ClientID, cfg.X.ClientSecret, cfg.X.Bearer = app.ClientID, secret.New(app.ClientSecret), secret.New(app.Bearer)
	cfg.X.APIKey, cfg.X.APISecret = app.APIKey, secret.New(app.APISecret)
	cfg.X.APIURL, cfg.X.AuthorizeURL = urlOf(g.x), urlOf(g.x)+"/i/oauth2/authorize"
	cfg.MaxConnections, cfg.ShutdownGrace = 1000, 2*time.Second
	cfg.LogLevel, cfg.LogFormat = v.LogLevel, "text"
	g.cfg = cfg.Settled()
	if mistakes := g.cfg.Check(); len(mistakes) > 0 {
		closeAll(g.listeners())
		return nil, errors.Join(errors.New("perch dev is for this machine alone"), mistakes)
	}
	return g, nil
}

func (g *playground) listeners() []net.Listener {
	var all []net.Listener
	for _, ln := range []net.Listener{g.public, g.admin, g.x, g.demo} {
		if ln != nil {
			all = append(all, ln)
		}
	}
	return all
}

// tell says where everything is. Of the operators' token it says the file alone.
func (g *playground) tell(p *program, tokenFile string) {
	p.say("Perch is up, with X in a box: no account is needed, and nothing is kept.\n\n")
	fields(p.out, [][]string{
		{"  Try it", urlOf(g.demo) + "/"},
		{"  Perch", g.cfg.PublicURL},
		{"  For operators", urlOf(g.admin)},
		{"  X in a box", urlOf(g.x)},
	})
	p.say("\nOr post as @%s from a terminal:\n\n", g.guest.username)
	p.say("  curl %s/2/tweets \\\n", g.cfg.PublicURL)
	p.say("    -H 'Authorization: Bearer %s' \\\n", g.guest.secretKey.Reveal()) // lives as long as this process
	p.say("    -H 'Perch-Grant: %s' \\\n", g.guest.grant)
	p.say("    -H 'Content-Type: application/json' -d '{\"text\":\"Hello from Perch\"}'\n\n")
	if tokenFile != "" {
		p.say("Or be an operator, of keys, budgets and usage:\n\n  %s --server=%s --admin-token-file=%s apps list\n\n",
			word(os.Args[0]), urlOf(g.admin), word(tokenFile))
	}
	p.say("Ctrl-C ends it.\n")
}
