package main

import (
	"context"
	"time"

	"perch/adapters/telemetry"
	"perch/adapters/xhttp/xsim"
)

// simulatorGrace is how long requests to X in a box may take to end.
const simulatorGrace = 2 * time.Second

type simulateVerb struct {
	Listen string `default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Where X in a box listens."`
}

// Run runs X in a box until it is stopped.
func (v simulateVerb) Run(ctx context.Context, p *program) error {
	s := untilStopped(ctx)
	defer s.release()
	ln, err := listen(ctx, "--listen", v.Listen)
	if err != nil {
		return err
	}
	sim := xsim.New(xsim.Options{Log: telemetry.NewLogger(p.err, "info", "text")})
	app := xsim.DefaultApp()
	p.say("X in a box is on %s. It forgets everything when it ends.\n\n", urlOf(ln))
	p.say("To use it from perch serve:\n")
	for _, setting := range [][2]string{
		{"PERCH_X_API_URL", urlOf(ln)},
		{"PERCH_X_AUTHORIZE_URL", urlOf(ln) + "/i/oauth2/authorize"},
		{"PERCH_X_CLIENT_ID", app.ClientID},
		{"PERCH_X_CLIENT_SECRET", app.ClientSecret}, // known to everybody
		{"PERCH_X_BEARER", app.Bearer},
	} {
		p.say("  %s=%s\n", setting[0], setting[1])
	}
	return open(s, simulatorGrace, []door{plainDoor(ln, sim, sim.Close)})
}
