package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/ports/conformance"
)

// bashTerminal names bash at a terminal among what must be verified.
const bashTerminal = "bash-terminal"

// asPerch has this very program be perch, for shells.
const asPerch = "PERCH_BE_PERCH"

func TestMain(m *testing.M) {
	if os.Getenv(asPerch) != "" {
		p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr}
		os.Exit(p.run(context.Background(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestCompletionOffersWhatMayStandThere(t *testing.T) {
	for line, want := range map[string]string{
		"gr":                                "grants",
		"":                                  "dev serve simulate apps xapps keys grants x usage deliveries operators keyset migrate backup restore doctor completion version",
		"grants ":                           "list revoke import export",
		"--server http://a --json grants l": "list",
		"grants list --st":                  "--state",
		"grants list --state ":              "active suspect revoked",
		"grants list --state s":             "suspect",
		"grants list --state=s":             "--state=suspect",
		"grants list --state = s":           "suspect", // as bash has it
		"grants list --state =":             "active suspect revoked",
		"grants list --json --s":            "--server --state",
		"operators add --role o":            "operator owner",
		"operators --adm":                   "--admin-token --admin-token-file",
		"--js":                              "",
		"completion ":                       "bash zsh fish",
		"apps list --ca-file ":              files,
		"apps list --ca-file=":              files,
		"serve --keyset-file ./k":           files,
		"apps show ":                        "",
		"fly ":                              "dev serve simulate apps xapps keys grants x usage deliveries operators keyset migrate backup restore doctor completion version",
	} {
		words := strings.Split(line, " ")
		r := perch(t, nil, "", append([]string{completes}, words...)...)
		var got []string
		for offer := range strings.Lines(r.out.String()) {
			word, _, _ := strings.Cut(strings.TrimSuffix(offer, "\n"), "\t")
			got = append(got, word)
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" || r.code != exitDone {
			t.Errorf("%q: %s", line, diff)
		}
	}
}

// shell runs a shell in which perch is this program, and its words are
// completed. It returns what the shell wrote.
func shell(t *testing.T, name, script string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		conformance.Absent(t, name, err.Error())
	}
	conformance.Verified(t, name)
	c := exec.CommandContext(t.Context(), path, append(args, "-c", script)...)
	c.Env = shellEnv(t)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func shellEnv(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := "#!/bin/sh\n" + asPerch + "=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "perch"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb", "PS1=$ "}
}

func TestFishCompletesTheLine(t *testing.T) {
	out := shell(t, "fish", "perch completion fish | source; complete -C 'perch grants list --state su'; complete -C 'perch op'",
		"--no-config")
	if !strings.Contains(out, "suspect\n") || !strings.Contains(out, "operators\tOperators: who may run this Perch") {
		t.Errorf("%q", out)
	}
}

func TestZshTakesTheScript(t *testing.T) {
	out := shell(t, "zsh", "autoload -U compinit; compinit -u; source <(perch completion zsh); "+
		"_describe() { print -l -- $names }; words=(perch grants list --state su); CURRENT=5; _perch; print $_comps[perch]", "-f")
	if out != "suspect:suspect\n_perch\n" {
		t.Errorf("%q", out)
	}
}

func TestBashCompletesTheLineAtATerminal(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		conformance.Absent(t, bashTerminal, err.Error())
	}
	terminal, far := openTerminal(t)
	conformance.Verified(t, bashTerminal)
	c := exec.CommandContext(t.Context(), bash, "--norc", "--noprofile", "-i")
	c.Env, c.Stdin, c.Stdout, c.Stderr = shellEnv(t), far, far, far
	c.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(c.Dir, "unmistakable"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ownTerminal(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	screen := &page{}
	go func() { _, _ = io.Copy(screen, terminal) }()
	for _, step := range []struct{ typed, shown string }{
		{"source <(perch completion bash) && echo re''ady\n", "ready\r\n"},
		{"perch gra\t", "perch grants "},
		{"li\t", "perch grants list "},
		{"--sta\t", "perch grants list --state "},
		{"su\t", "perch grants list --state suspect "},
		{"--ca-file unm\t", "--ca-file unmistakable "},
	} {
		if _, err := terminal.WriteString(step.typed); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); !strings.Contains(screen.String(), step.shown); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("after %q the terminal shows %q, not %q", step.typed, screen.String(), step.shown)
			}
		}
	}
}
