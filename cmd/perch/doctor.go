package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"perch/adapters/keyring"
	"perch/adapters/xhttp"
	"perch/cmd/internal/config"
	"perch/domain/xapp"
	"perch/ports"
)

type doctorVerb struct {
	config.Config `embed:""`
	JSON          bool `name:"json" help:"Answer in JSON, for scripts."`
}

// patience bounds each examination.
const patience = 10 * time.Second

// How a finding ends.
const (
	fine     = "ok"
	doubtful = "warn"
	broken   = "FAIL"
)

// A finding is what was seen of one thing, and what to do.
type finding struct{ verdict, about, say string }

// An exam looks at everything and changes nothing. What one examination opens
// the later ones use; nil where it could not be opened.
type exam struct {
	p        *program
	cfg      config.Config
	mistakes config.Mistakes
	ring     *keyring.Ring
	x        *xhttp.Gateway
	answers  bool // X does
	findings []finding

	keysetErr error  // why ring is nil
	lacks     string // a key that something stored is sealed with and ring has not
	trials    []trial
	sealing   sealing

	suspect, unsettled int // of the grants that were counted

	wasDefault string // client ID that the grants of the default X App were given to
	byDefault  bool   // there are such grants
}

func (e *exam) add(verdict, about, format string, args ...any) {
	e.findings = append(e.findings, finding{verdict, about, fmt.Sprintf(format, args...)})
}

// Run examines everything, whatever it finds on the way, and reports it all.
func (v *doctorVerb) Run(ctx context.Context, p *program) error {
	e := &exam{p: p, cfg: v.Config}
	e.mistakes = p.settings.Settle(&e.cfg)
	for _, look := range []func(context.Context){
		e.settings, e.openKeys, e.stores, e.keyset, e.journal, e.sameXApp, e.operators, e.certificate, e.listeners,
		e.gateway, e.clock, e.credentials, e.redirect,
	} {
		ctx, cancel := context.WithTimeout(ctx, patience)
		look(ctx)
		cancel()
	}
	count := map[string]int{}
	for _, f := range e.findings {
		count[f.verdict]++
	}
	if v.JSON {
		return errors.Join(asJSON(p.out, e.document()), verdictOf(count))
	}
	e.report(count)
	return verdictOf(count)
}

// verdictOf fails where something is to be repaired.
func verdictOf(count map[string]int) error {
	if count[broken] > 0 {
		return errReported
	}
	return nil
}

// document is what was found, for programs. A verdict is ok, warn or fail.
func (e *exam) document() map[string]any {
	settings, findings := []map[string]string{}, []map[string]string{}
	for _, s := range e.cfg.Show() {
		settings = append(settings, map[string]string{"variable": s.Variable, "value": s.Value})
	}
	for _, f := range e.findings {
		findings = append(findings, map[string]string{"verdict": strings.ToLower(f.verdict), "about": f.about, "say": f.say})
	}
	return map[string]any{"settings": settings, "findings": findings}
}

func (e *exam) report(count map[string]int) {
	e.p.say("Settings in force\n")
	var rows [][]string
	for _, s := range e.cfg.Show() {
		rows = append(rows, []string{"  " + s.Variable, s.Value})
	}
	fields(e.p.out, rows)
	e.p.say("\nFindings\n")
	for _, f := range e.findings {
		lines := strings.Split(f.say, "\n")
		for i := range lines {
			lines[i] = printable(lines[i])
		}
		e.p.say("  %-4s  %-12s  %s\n", f.verdict, f.about, strings.Join(lines, "\n"+strings.Repeat(" ", 22)))
	}
	switch {
	case count[broken] > 0:
		e.p.say("\n%d to repair, %d to look at, %d in order.\n", count[broken], count[doubtful], count[fine])
	case count[doubtful] > 0:
		e.p.say("\nNothing to repair, %d to look at, %d in order.\n", count[doubtful], count[fine])
	default:
		e.p.say("\nAll is in order.\n")
	}
}

// settings reports what is wrong with them. The public URL is left to redirect.
func (e *exam) settings(context.Context) {
	bad := 0
	for _, m := range e.mistakes {
		if m.Variable == publicURL {
			continue
		}
		e.add(broken, "settings", "%s", m)
		bad++
	}
	for _, say := range e.p.settings.Unknown(notSettings()...) {
		e.add(doubtful, "settings", "%s", say)
	}
	if bad == 0 {
		e.add(fine, "settings", "they can be read and go together")
	}
}

// xApp is the X App that settings give.
func (e *exam) xApp() ports.XApp {
	x := e.cfg.X
	return ports.XApp{
		ID: xapp.Default, ClientID: x.ClientID, ClientSecret: x.ClientSecret,
		Bearer: x.Bearer, APIKey: x.APIKey, APISecret: x.APISecret,
	}
}
