package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// A page is what a run writes; it may be read while the run goes on.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// A run of perch, from its variables to its exit code.
type ran struct {
	out, err page
	code     int
}

// perch runs to its end. A verb that should have refused to run is stopped.
func perch(t *testing.T, environ []string, in string, args ...string) *ran {
	t.Helper()
	r := &ran{}
	p := &program{in: strings.NewReader(in), out: &r.out, err: &r.err, environ: environ}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r.code = p.run(ctx, args)
	return r
}

// started runs in the background; stop ends it as a signal would, and waits.
func started(t *testing.T, environ []string, args ...string) (r *ran, stop func()) {
	t.Helper()
	r = &ran{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	p := &program{in: strings.NewReader(""), out: &r.out, err: &r.err, environ: environ}
	go func() {
		defer close(done)
		r.code = p.run(ctx, args)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return r, stop
}

// eventually waits until it is true.
func eventually(t *testing.T, what string, it func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if it() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func (r *ran) says(t *testing.T, code int, texts ...string) {
	t.Helper()
	all := r.out.String() + r.err.String()
	if r.code != code {
		t.Errorf("exit code %d, want %d; it said:\n%s", r.code, code, all)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("does not say %q but:\n%s", text, all)
		}
	}
}

func TestHelpNamesEveryVerb(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}} {
		r := perch(t, nil, "", args...)
		r.says(t, exitDone, "dev", "serve", "simulate", "apps", "xapps", "keys", "grants", "operators", "keyset", "migrate", "doctor", "version")
	}
	perch(t, nil, "", "serve", "--help").says(t, exitDone, "--listen",
		"($PERCH_LISTEN,", "$PERCH_X_CLIENT_SECRET_FILE")
	perch(t, nil, "", "dev", "--help").says(t, exitDone, "127.0.0.1:9090)")
	perch(t, nil, "", "apps", "add", "--help").says(t, exitDone, "what its actions take")
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"apps", "--version"}} {
		perch(t, nil, "", args...).says(t, exitDone, "perch ", "go1.")
	}
}

func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		args string
		say  string
	}{
		{"fly", "; perch --help shows"},
		{"serve --no-such-flag", "no-such-flag; perch serve --help shows"},
		{"keys list", "--app"},
		{"keys", "; perch keys --help shows"},
		{"keys add --app=a --kind=golden", "; perch keys add --help shows"},
		{"keys change k", "say what to change: --name, --grant, --action, --address, --batch or --expires; perch keys change --help"},
		{"keys change k --expires=30d", `--expires is "30d", which is no length of time; write it as 90m or 720h, or never`},
		{"keys rotate k --overlap=1d", `--overlap is "1d", which is no length of time`},
		{"keys add --app=a --expires=30d", `--expires is "30d", which is no length of time; write it as 90m or 720h; perch keys`},
		{"apps change a", "--cookies, --dpop, --limit or a budget; perch apps change --help shows how"},
		{"apps add A --budget-day -1", `--budget-day is "-1", which is no amount; write US dollars, as 5 or 12.50, or 0 for no budget; perch`},
		{"apps change a --grant-budget-month -.5", `--grant-budget-month is "-.5", which is no amount`},
		{"operators change o", "say what to change: --name, --role or --expires; perch operators change --help shows how"},
		{"operators change o --expires=30d", `--expires is "30d", which is no length of time; write it as 90m or 720h, or as never`},
		{"operators add Zoë", "--role"},
		{"operators add Zoë --role=root", "operator"},
		{"grants list --state=good", "suspect"},
		{"completion tcsh", "fish"},
		{"xapps change x", "say what to change"},
		{"xapps change x --api-key=k", "change together"},
		{"apps list --server=perch.example", "PERCH_ADMIN_URL"},
		{"migrate --store=tape:", "known are memory:, sqlite:PATH, postgres://"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := perch(t, []string{"PERCH_ADMIN_TOKEN=t"}, "", strings.Fields(c.args)...)
			r.says(t, exitMisuse, c.say)
			if strings.Contains(r.err.String(), "time: ") {
				t.Errorf("it speaks of its insides: %s", r.err.String())
			}
		})
	}
}
