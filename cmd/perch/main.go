// Command perch is Perch, its simulator of X, and the operators' tool for both.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"perch/cmd/internal/config"
)

// verbs is what perch can do.
type verbs struct {
	Dev        devVerb        `cmd:"" help:"Try Perch: in memory, with X in a box and a page that signs in."`
	Serve      serveVerb      `cmd:"" help:"Run Perch."`
	Simulate   simulateVerb   `cmd:"" help:"Run X in a box alone."`
	Apps       appVerbs       `cmd:"" help:"Client applications: the programs that use this Perch."`
	Xapps      xappVerbs      `cmd:"" help:"X Apps: the developer apps of X through which Perch acts."`
	Keys       keyVerbs       `cmd:"" help:"API keys of client applications."`
	Grants     grantVerbs     `cmd:"" help:"Grants: what users have allowed client applications."`
	X          xVerb          `cmd:"" help:"For what the Perch that answers leaves X alone at the moment: limits, caps, credits, outages."`
	Usage      usageVerb      `cmd:"" help:"What calls cost at X, what the cache saved, and what is left of the budgets of those that made them."`
	Deliveries deliveryVerbs  `cmd:"" help:"Deliveries: calls that are performed later."`
	Operators  operatorVerbs  `cmd:"" help:"Operators: who may run this Perch, and how far each may go."`
	Keyset     keysetVerbs    `cmd:"" help:"The keys that seal what is stored: rotate them, reseal, retire old ones."`
	Migrate    migrateVerb    `cmd:"" help:"Bring the schema of a store up to date."`
	Backup     backupVerb     `cmd:"" help:"Copy an SQLite store while Perch serves it."`
	Restore    restoreVerb    `cmd:"" help:"Put a backup of an SQLite store in its place."`
	Doctor     doctorVerb     `cmd:"" help:"Check settings, keys, stores and X, and say what to do."`
	Completion completionVerb `cmd:"" help:"Write what completes perch's words in a shell."`
	Version    versionVerb    `cmd:"" help:"Say which Perch this is."`

	Which versionFlag `name:"version" help:"Say which Perch this is."`
}

// A program is one run of perch: its streams and its variables.
type program struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
	settings *config.Source
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitMisuse = 2 // wrong flags or settings: nothing was done
)

// misuse is a way of calling perch that cannot work.
type misuse string

func (m misuse) Error() string { return string(m) }

// errReported ends a verb that has said already what is wrong.
var errReported = errors.New("reported")

func main() {
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}
	if err := withoutCore(); err != nil {
		p.note("perch: core dumps, which would hold tokens, cannot be turned off: %v\n", err)
		os.Exit(exitFailed)
	}
	os.Exit(p.run(context.Background(), os.Args[1:]))
}

// run does what args say and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	p.settings = config.From(p.environ)
	helped := false
	parser, err := kong.New(&verbs{}, append(p.settings.Options(),
		kong.Name("perch"),
		kong.Description("Perch holds X users' OAuth tokens so that frontends never do.\n\n"+
			"The verbs of operators (apps, xapps, keys, grants, x, usage, deliveries, operators) take --server, "+
			"--admin-token-file, --ca-file, --insecure-http and --json, before the verb or behind it."),
		kong.Writers(p.out, p.err),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: len(args) == 0}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
	)...)
	if err != nil {
		p.note("perch: %v\n", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if args[0] == completes {
		return p.complete(parser.Model.Node, args[1:])
	}
	args, err = behind(parser.Model.Node, args)
	if err != nil {
		p.note("perch: %s\n", misread(err))
		return exitMisuse
	}
	verb, err := parser.Parse(args)
	switch {
	case helped:
		return exitDone
	case err != nil:
		p.note("perch: %s\n", misread(err))
		return exitMisuse
	}
	err = verb.Run()
	if wrong, ok := errors.AsType[misuse](err); ok {
		err = misuse(string(wrong) + "; " + pathOf(verb) + " --help shows how")
	}
	return p.exit(err)
}

// exit tells what went wrong, if anything, and returns the exit code.
func (p *program) exit(err error) int {
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, errReported) {
		p.note("perch: %v\n", err)
	}
	_, settings := errors.AsType[config.Mistakes](err)
	if _, wrong := errors.AsType[misuse](err); wrong || settings {
		return exitMisuse
	}
	return exitFailed
}

// say writes for whoever asked; note writes beside it. A stream that is closed
// cannot be helped.
func (p *program) say(format string, args ...any)  { _, _ = fmt.Fprintf(p.out, format, args...) }
func (p *program) note(format string, args ...any) { _, _ = fmt.Fprintf(p.err, format, args...) }
